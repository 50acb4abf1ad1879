"""What a peer gets out of a consensus: the others' mean, where the aggregation can be undone.

Of a plain mean m over K clients a peer knows its own part: ``(K m - own) / (K - 1)``. Sharpening does not hide m. The
entropy reduction of DS-FL is ``s = softmax(m / T)`` on probabilities, and since m sums to one, ``m = T log s + c`` with
``c = (1 - T sum log s) / C``; ``s = m^b / sum m^b`` is undone by the power 1/b. A mean weighted by what only the server
knows, a merge by a defense, and the predictions of a server's own model cannot be undone.
"""

from __future__ import annotations

import numpy as np

from fedprivacy.adversary.sight import Wire
from fedprivacy.adversary.threat import Float
from fedprivacy.attacks.membership.logits import log_softmax


def undone(values: Float, wire: Wire) -> Float | None:
    """The plain mean [N, C] behind the server's predictions ``values`` [N, columns]; None where it is lost.

    One sigmoid column stays one column. Float64; exact but for the wire's rounding.
    """
    sent = wire.consensus
    if sent is None or sent.of != "mean" or wire.defended.merges or wire.heads is None:
        return None
    if sent.sharpened is None:
        return values
    pairs = np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values
    if (pairs <= 0).any():
        return None
    if sent.sharpened.rule == "softmax":
        mean = sent.sharpened.parameter * np.log(pairs)
        mean = mean + (1 - mean.sum(axis=1, keepdims=True)) / pairs.shape[1]
    else:
        mean = np.exp(log_softmax(np.log(pairs) / sent.sharpened.parameter))
    return mean[:, 1:] if values.shape[1] == 1 else mean


def others(mean: Float, own: Float, number: int) -> Float:
    """Mean of the ``number - 1`` others from the ``mean`` of all and one's ``own`` part. ValueError for one client."""
    if number < 2:
        raise ValueError("there are no others in a mean over one client")
    return np.asarray((number * mean - own) / (number - 1))
