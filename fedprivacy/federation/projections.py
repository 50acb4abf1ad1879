"""A learned linear map between the features of two models, local to a client: ``W_h`` of FedKD (arXiv 2108.13323).

Also what lets models of different feature sizes share prototypes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.training.learner import Learner
from fedprivacy.wire.parties import client_name


def projection_part(client: int) -> str:
    """Name of the part with a client's projection; empty where sizes agree and none is needed."""
    return f"{client_name(client)}/projection"


def projection_moments_part(client: int) -> str:
    """Name of the part with the optimiser state of a client's projection."""
    return f"{client_name(client)}/projection-moments"


def projection_start(env: Environment, client: int, inputs: int, outputs: int) -> dict[str, Part]:
    """Parts of a new projection [outputs, inputs]: orthogonal; as models do, all start alike or each for itself."""
    name: tuple[str | int, ...] = ("initial", "projection", env.architecture(client))
    if env.settings.training.init == "independent":
        name = (*name, client)
    weight = torch.empty(outputs, inputs)
    nn.init.orthogonal_(weight, generator=seeds.generator(env.root, *name))
    return {projection_part(client): {"weight": weight}, projection_moments_part(client): {}}


def without_projection(client: int) -> dict[str, Part]:
    """Parts of a client that needs no projection."""
    return {projection_part(client): {}, projection_moments_part(client): {}}


def load_projection(env: Environment, state: FederationState, client: int) -> Learner | None:
    """A learner with the client's projection; None where it has none."""
    part = state.parts[projection_part(client)]
    if not part:
        return None
    outputs, inputs = part["weight"].shape
    module = nn.Linear(inputs, outputs, bias=False)
    module.load_state_dict(dict(part))
    persistent = env.settings.training.optimizer_state == "persistent"
    moments = state.parts[projection_moments_part(client)] if persistent else None
    return Learner(module.to(env.workbench.device), env.workbench.config, env.workbench.device, moments)


def store_projection(env: Environment, client: int, learner: Learner | None) -> dict[str, Part]:
    """The parts of a projection after training."""
    if learner is None:
        return without_projection(client)
    keep = env.settings.training.optimizer_state == "persistent"
    moments = learner.moments() if keep else {}
    return {projection_part(client): learner.weights(), projection_moments_part(client): moments}


def projected(features: Tensor, projection: Learner | None) -> Tensor:
    """Features [B, d] after the projection, or as they are."""
    if projection is None:
        return features
    mapped: Tensor = projection.module(features)
    return mapped
