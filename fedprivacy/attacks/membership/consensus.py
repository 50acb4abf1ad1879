"""What a peer gets out of a consensus: the others' mean, where the aggregation can be undone.

Of a plain mean m over K clients a peer knows its own part: ``(K m - own) / (K - 1)``. Sharpening does not hide m. The
entropy reduction of DS-FL is ``s = softmax(m / T)`` on probabilities, and since m sums to one, ``m = T log s + c`` with
``c = (1 - T sum log s) / C``; ``s = m^b / sum m^b`` is undone by the power 1/b. A mean weighted by what only the server
knows, a merge by a defense, and the predictions of a server's own model cannot be undone.
"""

from __future__ import annotations

import numpy as np

from fedprivacy.adversary.threat import Float
from fedprivacy.attacks.membership.logits import log_softmax
from fedprivacy.config.run import RunConfig
from fedprivacy.federation.interfaces import round_half_up


def undone(values: Float, config: RunConfig) -> Float | None:
    """The plain mean [N, C] behind the consensus ``values`` [N, columns] of a protocol; None where it is lost.

    One sigmoid column stays one column. Float64; exact but for the wire's rounding.
    """
    options = config.options
    if merged_by_defense(config) or parties(config) is None:
        return None
    if config.protocol == "fedmd":
        return values if options.get("consensus_weights", "uniform") == "uniform" else None
    if config.protocol == "fedkd-hybrid":
        return values
    if config.protocol != "ds-fl":
        return None
    rule = options.get("aggregation", "era")
    if rule == "sa":
        return values
    pairs = np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values
    if (pairs <= 0).any():
        return None
    if rule == "era":
        heat = float(options.get("temperature", 0.1))
        mean = heat * np.log(pairs)
        mean = mean + (1 - mean.sum(axis=1, keepdims=True)) / pairs.shape[1]
    else:
        mean = np.exp(log_softmax(np.log(pairs) / float(options.get("sharpness", 1.5))))
    return mean[:, 1:] if values.shape[1] == 1 else mean


def merged_by_defense(config: RunConfig) -> bool:
    """Whether a trusted server adds noise to the mean, or counts votes in its place."""
    return config.defense.name == "noisy-vote" or config.defense.options.get("placement") == "aggregator"


def parties(config: RunConfig) -> int | None:
    """How many clients a mean is over, as everybody who knows the configuration knows; None where some drop out."""
    if config.dropout_rate:
        return None
    return max(1, round_half_up(config.participation * config.clients))


def others(mean: Float, own: Float, number: int) -> Float:
    """Mean of the ``number - 1`` others from the ``mean`` of all and one's ``own`` part. ValueError for one client."""
    if number < 2:
        raise ValueError("there are no others in a mean over one client")
    return np.asarray((number * mean - own) / (number - 1))
