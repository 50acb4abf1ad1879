"""Rounds without a server: everybody sends its model to its neighbours in the topology."""

from __future__ import annotations

from collections.abc import Mapping

from fedprivacy.federation.environment import Environment, Part
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import client_name
from fedprivacy.wire.payload import Weights

Heard = dict[int, dict[int, Part]]
"""By client, the models that its neighbours sent it, by their number."""


def exchanged(channel: Channel, env: Environment, round: int, models: Mapping[int, Part], purpose: str = "") -> Heard:
    """Each sender of the round sends its model to all of its neighbours. Who drops out hears nothing either: one that
    listened without being heard would count for less in the mean of all models.
    """
    graph = env.settings.graph
    heard: Heard = {client: {} for client in env.participants(round)}
    senders = env.senders(round)
    for sender in senders:
        receivers = graph.neighbours(sender)
        if receivers:
            names = [client_name(peer) for peer in receivers]
            copy = channel.send(client_name(sender), names, Weights(models[sender]), purpose).tensors
            for peer in receivers:
                if peer in senders:
                    heard[peer][sender] = copy
    return heard
