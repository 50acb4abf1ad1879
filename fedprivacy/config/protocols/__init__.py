"""Settings of each protocol. No torch in here, so a typo is answered at once."""

from fedprivacy.config.protocols.averaging import (
    ClockOptions,
    FedAsyncOptions,
    FedAvgOptions,
    FedBuffOptions,
    FedProxOptions,
    LayerwiseOptions,
)
from fedprivacy.config.protocols.bounds import CentralOptions, LocalOptions
from fedprivacy.config.protocols.gossip import DFedAvgOptions, GossipMutualOptions
from fedprivacy.config.protocols.mutual import MutualOptions
from fedprivacy.config.protocols.pairs import FedCkdOptions, FedKdOptions, FmlOptions, ProFeOptions
from fedprivacy.config.protocols.prototypes import FedProtoOptions
from fedprivacy.config.protocols.public import CfdOptions, DsFlOptions, FedDfOptions, FedKdHybridOptions, FedMdOptions

__all__ = [
    "CentralOptions",
    "CfdOptions",
    "ClockOptions",
    "DFedAvgOptions",
    "DsFlOptions",
    "FedAsyncOptions",
    "FedAvgOptions",
    "FedBuffOptions",
    "FedCkdOptions",
    "FedDfOptions",
    "FedKdHybridOptions",
    "FedKdOptions",
    "FedMdOptions",
    "FedProtoOptions",
    "FedProxOptions",
    "FmlOptions",
    "GossipMutualOptions",
    "LayerwiseOptions",
    "LocalOptions",
    "MutualOptions",
    "ProFeOptions",
]
