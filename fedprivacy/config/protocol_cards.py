"""One card a protocol: what `fedprivacy list protocols` shows, where the class lives, and its settings. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedprivacy.config import protocols as options
from fedprivacy.config.base import Part


@dataclass(frozen=True)
class Card:
    """What a user asks before choosing a protocol; everything holds for the defaults."""

    title: str
    crosses_the_wire: str
    """What leaves a client, and what comes back."""
    public_data: bool
    """Needs public records."""
    labelled: bool
    """Needs labels on public records."""
    heterogeneous_models: bool
    """Clients may have different architectures."""
    weighting: str
    """How clients of unequal size count."""
    source: str
    target: str
    """``module:Class`` of the implementation."""
    options: type[Part]
    own_heads: bool = False
    """Clients may have outputs for their own classes alone: no model of theirs is merged with another's."""
    guessed: str = ""
    """What the paper leaves open, or could not be read, and was chosen here."""
    between_neighbours: bool = False
    """Clients send to their neighbours in a topology, without a server."""
    bound: Literal["", "lower", "upper"] = ""
    """Whether it is no protocol at all but what protocols are held against: nothing exchanged, or everything."""


OUTSIDE = Card(
    "A protocol from outside",
    "what its releases say",
    public_data=False,
    labelled=False,
    heterogeneous_models=True,
    weighting="as it does it",
    source="code from outside",
    target="",
    options=Part,
    own_heads=True,
)
"""What is known of a protocol that comes from outside: what it needs, it says itself."""

CARDS: dict[str, Card] = {
    "mutual": Card(
        "Distributed mutual learning",
        "up: predictions on a public fold; down: the peers' predictions",
        public_data=True,
        labelled=True,
        heterogeneous_models=True,
        weighting="uniform over peers",
        source="Gupta 2025, arXiv 2503.05803",
        target="fedprivacy.protocols.mutual:Mutual",
        options=options.MutualOptions,
    ),
    "fedavg": Card(
        "Federated averaging",
        "up: weights, n_k; down: their mean",
        public_data=False,
        labelled=False,
        heterogeneous_models=False,
        weighting="n_k (option: uniform)",
        source="McMahan et al. 2017, arXiv 1602.05629",
        target="fedprivacy.protocols.fedavg:FedAvg",
        options=options.FedAvgOptions,
    ),
    "fedprox": Card(
        "Federated averaging with a proximal term",
        "up: weights, n_k; down: their mean",
        public_data=False,
        labelled=False,
        heterogeneous_models=False,
        weighting="n_k (option: uniform)",
        source="Li et al. 2020, arXiv 1812.06127",
        target="fedprivacy.protocols.fedprox:FedProx",
        options=options.FedProxOptions,
    ),
    "layerwise-async": Card(
        "Layer groups in turn",
        "up: one group of layers, validation accuracy; down: the group, averaged and trained by the server",
        public_data=True,
        labelled=True,
        heterogeneous_models=False,
        weighting="validation accuracy",
        source="Gupta, Fadlullah, Fouda 2022, doi 10.1109/IoTaIS56727.2022.9975908",
        target="fedprivacy.protocols.layerwise_async:LayerwiseAsync",
        options=options.LayerwiseOptions,
    ),
    "fedasync": Card(
        "Asynchronous federated optimisation",
        "up: weights, whenever a client is done; down: the present model",
        public_data=False,
        labelled=False,
        heterogeneous_models=False,
        weighting="by staleness; fast clients count more often",
        source="Xie et al. 2019, arXiv 1903.03934",
        target="fedprivacy.protocols.fedasync:FedAsync",
        options=options.FedAsyncOptions,
    ),
    "fedbuff": Card(
        "Buffered asynchronous aggregation",
        "up: an update, whenever a client is done; down: the present model",
        public_data=False,
        labelled=False,
        heterogeneous_models=False,
        weighting="uniform, by staleness; fast clients count more often",
        source="Nguyen et al. 2022, arXiv 2106.06639",
        target="fedprivacy.protocols.fedbuff:FedBuff",
        options=options.FedBuffOptions,
    ),
    "fml": Card(
        "Federated mutual learning",
        "up: a shared model (meme), never the private one; down: the mean of the memes",
        public_data=False,
        labelled=False,
        heterogeneous_models=True,
        weighting="uniform (option: n_k)",
        source="Shen et al. 2020, arXiv 2006.16765",
        target="fedprivacy.protocols.fml:Fml",
        own_heads=True,
        guessed="the weights of the memes in their mean (equal), the schedule of alpha and beta (from published code)",
        options=options.FmlOptions,
    ),
    "fedkd": Card(
        "Federated distillation with low-rank updates",
        "up: factors of a small shared model's update; down: factors of the mean update",
        public_data=False,
        labelled=False,
        heterogeneous_models=True,
        weighting="uniform",
        source="Wu et al. 2022, arXiv 2108.13323",
        target="fedprivacy.protocols.fedkd:FedKd",
        own_heads=True,
        guessed="what travels (updates of a round, as in the published code, where the paper says gradients), and that "
        "the loss between hidden states counts once",
        options=options.FedKdOptions,
    ),
    "fedckd": Card(
        "Distillation from two teachers of one's own past",
        "up: weights, n_k; down: their mean",
        public_data=False,
        labelled=False,
        heterogeneous_models=False,
        weighting="n_k (option: uniform)",
        source="arXiv 2411.03569",
        target="fedprivacy.protocols.fedckd:FedCkd",
        guessed="the weights of both teachers, the temperature, and a first round without a teacher of one's own",
        options=options.FedCkdOptions,
    ),
    "fedmd": Card(
        "Model distillation between different models",
        "up: logits on public records; down: their mean",
        public_data=True,
        labelled=True,
        heterogeneous_models=True,
        weighting="uniform (option: validation accuracy)",
        source="Li and Wang 2019, arXiv 1910.03581",
        target="fedprivacy.protocols.fedmd:FedMd",
        options=options.FedMdOptions,
    ),
    "ds-fl": Card(
        "Distillation with entropy-reduced consensus",
        "up: probabilities on public records; down: their sharpened mean",
        public_data=True,
        labelled=False,
        heterogeneous_models=True,
        weighting="uniform",
        source="Itahara et al. 2021, arXiv 2008.06180",
        target="fedprivacy.protocols.ds_fl:DsFl",
        options=options.DsFlOptions,
    ),
    "cfd": Card(
        "Compressed federated distillation",
        "up: quantised, entropy-coded labels of fixed public records; down: the server's",
        public_data=True,
        labelled=False,
        heterogeneous_models=True,
        weighting="uniform",
        source="Sattler et al. 2021, arXiv 2012.00632",
        target="fedprivacy.protocols.cfd:Cfd",
        options=options.CfdOptions,
    ),
    "feddf": Card(
        "Ensemble distillation at the server",
        "up: weights, n_k; down: the fused model",
        public_data=True,
        labelled=True,
        heterogeneous_models=True,
        weighting="n_k for the mean, uniform for the teachers",
        source="Lin et al. 2020, arXiv 2006.07242",
        target="fedprivacy.protocols.feddf:FedDf",
        options=options.FedDfOptions,
    ),
    "fedproto": Card(
        "Federated prototype learning",
        "up: mean features of the own classes; down: the mean prototypes",
        public_data=False,
        labelled=False,
        heterogeneous_models=True,
        weighting="uniform over the holders of a class (option: counts)",
        source="Tan et al. 2022, arXiv 2105.00243",
        target="fedprivacy.protocols.fedproto:FedProto",
        own_heads=True,
        options=options.FedProtoOptions,
    ),
    "profe": Card(
        "Prototypes and a student from peer to peer",
        "to neighbours: 16-bit weights of a student, class prototypes; no server",
        public_data=False,
        labelled=False,
        heterogeneous_models=True,
        weighting="uniform over neighbours and self",
        source="arXiv 2412.11207",
        target="fedprivacy.protocols.profe:ProFe",
        own_heads=True,
        guessed="the weights of all terms and how they fade (from code of the same group), topology, plain averaging",
        options=options.ProFeOptions,
        between_neighbours=True,
    ),
    "dfedavg": Card(
        "Decentralised federated averaging",
        "to neighbours: weights; no server",
        public_data=False,
        labelled=False,
        heterogeneous_models=False,
        weighting="Metropolis-Hastings over the topology (option: uniform over neighbours and self)",
        source="Sun, Li, Wang 2021, arXiv 2104.11375",
        target="fedprivacy.protocols.dfedavg:DFedAvg",
        options=options.DFedAvgOptions,
        between_neighbours=True,
    ),
    "gossip-mutual": Card(
        "Mutual learning between neighbours",
        "to neighbours: weights, as teachers on private records; no server",
        public_data=False,
        labelled=False,
        heterogeneous_models=True,
        weighting="uniform over neighbours",
        source="in the setting of Khalil et al. 2024, arXiv 2402.01863",
        target="fedprivacy.protocols.gossip_mutual:GossipMutual",
        guessed="all of it: a design of its own in a known setting",
        options=options.GossipMutualOptions,
        between_neighbours=True,
    ),
    "fedkd-hybrid": Card(
        "Common layers and predictions together",
        "up: weights of common layers, n_k, logits on public records; down: their means",
        public_data=True,
        labelled=False,
        heterogeneous_models=True,
        weighting="n_k for layers (option: uniform), uniform for logits",
        source="arXiv 2501.04066",
        target="fedprivacy.protocols.fedkd_hybrid:FedKdHybrid",
        guessed="the loss on the public records (divergence from the mean logits alone), its passes, the order",
        options=options.FedKdHybridOptions,
    ),
    "local": Card(
        "No exchange",
        "nothing",
        public_data=False,
        labelled=False,
        heterogeneous_models=True,
        weighting="none",
        source="lower bound",
        target="fedprivacy.protocols.local:Local",
        own_heads=True,
        options=options.LocalOptions,
        bound="lower",
    ),
    "central": Card(
        "One model on everybody's records",
        "all records, to one place",
        public_data=False,
        labelled=False,
        heterogeneous_models=False,
        weighting="every record once",
        source="upper bound",
        target="fedprivacy.protocols.central:Central",
        options=options.CentralOptions,
        bound="upper",
    ),
}
"""Every protocol by its name on the command line."""
