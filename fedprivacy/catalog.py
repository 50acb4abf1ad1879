"""The one place that knows every implementation: literal names, and where each lies.

Importing this costs no torch. Implementations are imported when they are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fedprivacy import parts
from fedprivacy.config.base import build
from fedprivacy.config.protocol_cards import CARDS, OUTSIDE, Card
from fedprivacy.data.names import SOURCES
from fedprivacy.defenses import names as defenses
from fedprivacy.models.names import MODELS

if TYPE_CHECKING:
    from fedprivacy.federation.interfaces import FederatedProtocol
    from fedprivacy.federation.knowledge import Observation

ATTACKS: dict[str, str] = {
    "membership": "was this record in a client's training data? From what crossed the wire, by any statistic",
    "labels": "which classes does a client hold? From shared predictions, models or prototypes",
    "theft": "how far does the server's copy of a client's model agree with it? From shared predictions, by round",
    "inversion": "what do a client's records look like? From updates record by record, from predictions by class",
}

EVERY = "all"
"""In the place of an attack: all that the protocol and its settings give something to."""

STATISTICS: dict[str, str] = {
    "loss": "margin of the true class; no references",
    "confidence": "largest probability; label-free",
    "entropy": "negative entropy; label-free",
    "mentr": "modified entropy (Song and Mittal 2021)",
    "correct": "right or wrong; all that hard labels allow",
    "population": "rank among the adversary's own non-members of the class",
    "calibrated": "log-probability minus its mean over references (Watson et al. 2022)",
    "ratio": "probability over its mean under references; the default where there are any",
    "base-online": "log-probability against in and out references (BASE)",
    "base-offline": "log-probability against out references (BASE)",
    "rmia": "robust membership inference (Zarifzadeh et al. 2024)",
    "lira-online": "likelihood ratio with in and out references (Carlini et al. 2022)",
    "lira-offline": "one-sided likelihood ratio, out references (Carlini et al. 2022)",
    "coop-lira": "the same, with the other clients of the federation as references; no extra training",
    "distil-lira": "the same, with surrogates of the target as references",
    "fedmia": "mean over rounds of the Co-op score",
    "bavaria": "Student-t likelihood ratio with a pooled prior",
    "trajectory": "linear discriminant on the margins of all rounds",
    "stack": "all rounds, statistics and observations of an adversary, combined as shadow federations teach; made with "
    "--effort thorough, or where it is asked for",
    "joint": "log-odds decoded for all candidates together, summed over rounds; the default where an attack gives them",
}

NEED_SHADOWS = frozenset({"base-online", "lira-online", "bavaria", "trajectory", "stack"})
"""Statistics that compare with references which were trained on the candidate; only shadow federations give them."""

RECIPES: dict[str, str] = {
    "gupta2025": "face masks, 5 clients, 12 rounds: FedAvg, layer-wise and mutual learning, with ablations",
}


PAGES: dict[str, str] = {
    "leakage": "what each seat learns of membership, protocol by protocol, at equal power, knowledge and accuracy",
    "verdict": "is sharing predictions private? Leakage over the share of the pool that is known, on any data",
}
"""Recipes of ours with code of their own: pages that are made anew on anybody's data."""

TABLES: dict[str, str] = {
    "audits": "what an audit shows of an honest epsilon: private training, noise on updates and on predictions",
    "counts": "how many records of each class lie behind an update, by steps, optimiser and model",
    "dishonest-server": "what a server learns that lays traps in the model that it sends, and what that costs",
    "decoding": "how well a passive server reads weights as training, model, knowledge and defense change",
    "decoding-predictions": "what helps and hinders joint decoding of predictions",
    "frontier": "accuracy and leakage over epsilon, for noise on predictions, on updates and in private training",
    "inversion": "what a client's records look like from weights and from predictions, with pictures",
    "protocols": "every protocol on the same skewed clients: accuracy and bytes",
    "shen2020": "federated mutual learning: own accuracy under skew and tasks, different models, alpha and beta",
    "theft": "how far a server copies a client's model from predictions, by protocol, round and public records",
    "wu2022": "FedKD: quality over bytes, and the energy schedule",
    "rischke2020": "compressed federated distillation: bytes over accuracy",
    "sanchez2024": "ProFe: traffic against decentralised averaging, on a ring and on a random graph",
    "wang2024": "FedCKD: two teachers of one's own past, with what a client has who trains once more",
    "li2025": "FedKD-hybrid: common layers and predictions together, on one class against all others",
    "protocol-checks": "every protocol on data that are hard on it, a few rounds: does training stay finite",
    "regularised": "leakage of predictions and of weights with weight decay, augmentation and early stopping",
    "combine": "how several observed rounds become one score, by statistic and protocol",
    "setup-f": "membership statistics on the same models, with few and with many references",
    "setup-l": "label distributions inferred from predictions, by how much clients differ",
    "setup-p": "one over-fitted federation under each observation, statistic by statistic",
}
"""Recipes of ours that are rows and columns: see ``study.tables``."""


def card(name: str) -> Card:
    """What a protocol is; UsageError with a suggestion where there is none of that name."""
    return OUTSIDE if from_outside(name) else CARDS[name]


def from_outside(name: str) -> bool:
    """Whether a protocol comes from outside the package.

    UsageError with a suggestion where there is none of that name.
    """
    return name.startswith(parts.RECORDING) or parts.exists("protocol", name, CARDS)


def options(name: str, values: Mapping[str, Any]) -> Any:
    """A protocol's own settings, validated; a protocol from outside is its own settings."""
    if from_outside(name):
        return protocol(name, values)
    return build(card(name).options, dict(values), f"protocol {name}")


def protocol(name: str, values: Mapping[str, Any]) -> FederatedProtocol:
    """The protocol of that name with its settings."""
    if from_outside(name):
        from fedprivacy.protocols import outside

        return outside.made(name, values)
    made: FederatedProtocol = _imported(card(name).target)(options(name, values))
    return made


def lower_bound() -> str:
    """The protocol in which nothing is exchanged."""
    return next(name for name, used in CARDS.items() if used.bound == "lower")


def sending() -> list[str]:
    """The protocols that send something, to name to a user."""
    return [name for name, used in CARDS.items() if not used.bound]


def able(needed: str) -> str:
    """The protocols whose card says that they can do what the field ``needed`` is about, to name to a user."""
    return ", ".join(name for name, used in CARDS.items() if getattr(used, needed))


def known_statistics(names: Iterable[str]) -> None:
    """Raise UsageError where a statistic does not exist."""
    for name in names:
        parts.exists("statistic", name, STATISTICS)


def described(kind: str) -> dict[str, str]:
    """Name -> one line, for ``fedprivacy list``."""
    if kind == "attacks":
        return ATTACKS
    if kind == "statistics":
        return STATISTICS
    if kind == "models":
        return MODELS
    if kind == "datasets":
        return {name: source.about for name, source in SOURCES.items()}
    if kind == "recipes":
        return RECIPES | PAGES | TABLES
    proof = {True: "proven", False: "no proof, epsilon infinite"}
    none = {"none": "messages cross the wire as they are; epsilon is infinite"}
    return none | {name: f"{used.about} ({proof[used.proven]})" for name, used in defenses.DEFENSES.items()}


def own(name: str) -> list[str]:
    """What of fedprivacy's own has that name, such as ``protocol``."""
    kinds = {"statistics": "statistic", "models": "model", "datasets": "data set", "defenses": "defense"}
    found = [word for kind, word in kinds.items() if name in described(kind)]
    return [*(["protocol"] if name in CARDS else []), *found]


def observation(name: str) -> Observation:
    """The observation of that name."""
    from fedprivacy.adversary.observations import OBSERVATIONS

    if name not in OBSERVATIONS:
        from fedprivacy.attacks.membership.observations import outside

        return outside.observation(name)
    made: Observation = _imported(OBSERVATIONS[name].target)()
    return made


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
