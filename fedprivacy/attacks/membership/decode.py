"""From what a client sent to log-probabilities, in float64, counting what the wire's number format clamped.

A prediction of exactly 0 or 1 has no logarithm or margin. It stands for "nearer than the format can say", so it becomes
the format's own resolution and is counted: an attack on 8-bit predictions meets a floor that float32 does not have.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedprivacy.adversary.threat import Float, Int
from fedprivacy.attacks.membership.logits import binary_logp, log_softmax

Form = Literal["logits", "probabilities", "labels", "losses"]
Floor = dict[str, int]

HARD_LABEL = "hard-label"
"""Key of ``floor``: only the predicted class was sent, so margins hold nothing but right or wrong."""
UNIFORM_REST = "uniform-rest"
"""Key of ``floor``: only the true class's probability was sent; the other classes are a uniform fill."""

RESOLUTION: dict[str, tuple[float, float]] = {
    "float64": (2.0**-1074, 1 - 2.0**-53),
    "float32": (2.0**-149, 1 - 2.0**-24),
    "float16": (2.0**-24, 1 - 2.0**-11),
    "bfloat16": (2.0**-133, 1 - 2.0**-8),
    "uint8": (1 / 255, 254 / 255),
}
"""Wire format -> its smallest positive number and its largest number below 1 (uint8: the grid k/255)."""

MOST_BITS = 8
RESOLUTION |= {f"grid-{b}": (1 / (2**b - 1), 1 - 1 / (2**b - 1)) for b in range(2, MOST_BITS + 1)}

ENOUGH_ROWS = 8
"""Rows from which values on a grid are no coincidence."""


def decode(
    values: NDArray[np.generic],
    form: Form,
    *,
    temperature: float = 1.0,
    dtype: str | None = None,
    labels: Int | None = None,
    classes: int | None = None,
) -> tuple[Float, Floor]:
    """Log-probabilities [n, C] of the received ``values`` [n, columns], and how many values were clamped.

    ``form``: ``logits`` or ``probabilities`` with C columns, or one column for P(class 1) of a two-class task;
    ``labels`` (predicted class, one column; needs ``classes``); ``losses`` (cross-entropy in nats, one column; needs
    ``classes`` and the records' ``labels`` [n]). ``dtype`` is the wire format, by default that of ``values``; uint8
    means the grid k/255, already divided. A public ``temperature`` T is undone: ``T * logp``, renormalised.

    The counts: ``zero`` and ``one`` (values raised to the smallest positive number, lowered to the largest below
    1), ``hard-label`` and ``uniform-rest`` (rows whose distribution is a fill). Raises ValueError for NaN, positive
    infinity, a shape that does not fit the form, or an unknown format.
    """
    name = dtype or np.dtype(values.dtype).name
    sent = np.asarray(values)
    if sent.ndim == 1:
        sent = sent[:, None]
    if sent.ndim != 2 or sent.shape[1] == 0:
        raise ValueError(f"predictions must be [n, columns], not {sent.shape}")
    if form == "labels":
        return _labels(sent, classes)
    if name not in RESOLUTION or not np.issubdtype(sent.dtype, np.floating):
        raise ValueError(f"{form} in {name} cannot be decoded; formats: {', '.join(RESOLUTION)}, as fractions")
    if not temperature > 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")
    wide = sent.astype(np.float64)
    unusable = int((np.isnan(wide) | np.isposinf(wide)).sum())
    if unusable:
        raise ValueError(f"{unusable} of {wide.size} received {form} are NaN or infinite")
    smallest, largest = RESOLUTION[name]
    if form == "logits":
        logp, floor = _logits(wide, smallest)
    elif form == "probabilities":
        logp, floor = _probabilities(wide, smallest, largest)
    elif form == "losses":
        if temperature != 1.0:
            raise ValueError("a temperature cannot be undone from losses; they are taken at temperature 1")
        return _losses(wide, smallest, labels, classes)
    else:
        raise ValueError(f"no form of predictions is named {form!r}")
    return (logp if temperature == 1.0 else log_softmax(temperature * logp)), floor


def grid_bits(values: NDArray[np.generic]) -> int | None:
    """Bits b of the coarsest uniform grid ``k / (2^b - 1)`` that all probabilities lie on; None for none up to 8.

    1 says that nothing but the class was sent. Whoever receives numbers sees whether they are quantised.
    """
    p = np.asarray(values, dtype=np.float64)
    if len(p) < ENOUGH_ROWS or p.min() < 0 or p.max() > 1:
        return None
    for bits in range(1, MOST_BITS + 1):
        steps = p * (2**bits - 1)
        if np.abs(steps - np.rint(steps)).max() < 1e-4:
            return bits
    return None


def decode_sent(
    values: NDArray[np.generic], form: Form, rows: Int, *, labels: Int | None = None, classes: int
) -> tuple[Float, Floor]:
    """:func:`decode` of some ``rows`` of a message [N, columns], with the format that the whole message shows.

    ``labels`` [len(rows)] are those of the chosen records. A row all of whose probabilities were rounded to 0 is
    uniform.
    """
    bits = grid_bits(values) if form == "probabilities" else None
    chosen = np.asarray(values)[rows]
    if bits is None:
        return decode(chosen, form, classes=classes, labels=labels)
    if bits > 1:
        return decode(chosen, form, dtype=f"grid-{bits}", classes=classes)
    hard = chosen.argmax(axis=1) if chosen.shape[1] > 1 else np.rint(chosen[:, 0]).astype(np.int64)
    logp, floor = decode(hard[:, None], "labels", classes=classes)
    if chosen.shape[1] > 1:
        logp[~chosen.any(axis=1)] = -np.log(classes)
    return logp, floor


def _logits(z: Float, smallest: float) -> tuple[Float, Floor]:
    masked = np.isneginf(z)
    if z.shape[1] == 1:
        if masked.any():
            raise ValueError(f"{int(masked.sum())} of {z.size} received logits are infinite")
        return binary_logp(z[:, 0]), {}
    if masked.all(axis=1).any():
        raise ValueError("a row of logits is minus infinity throughout")
    if not masked.any():
        return log_softmax(z), {"zero": 0}
    return log_softmax(np.where(masked, np.log(smallest), log_softmax(z))), {"zero": int(masked.sum())}


def _probabilities(p: Float, smallest: float, largest: float) -> tuple[Float, Floor]:
    zero = p <= 0
    if p.shape[1] > 1:
        return log_softmax(np.log(np.where(zero, smallest, p))), {"zero": int(zero.sum())}
    one = p >= 1
    column = np.where(zero, smallest, np.where(one, largest, p))[:, 0]
    logp = np.stack([np.log1p(-column), np.log(column)], axis=-1)
    return logp, {"zero": int(zero.sum()), "one": int(one.sum())}


def _labels(sent: NDArray[np.generic], classes: int | None) -> tuple[Float, Floor]:
    if classes is None or classes < 2:
        raise ValueError("decoding labels needs the number of classes")
    column = sent[:, 0].astype(np.int64)
    if sent.shape[1] != 1 or (column != sent[:, 0]).any() or column.min() < 0 or column.max() >= classes:
        raise ValueError(f"labels must be one column of whole numbers from 0 to {classes - 1}")
    z = np.full((len(column), classes), np.log(np.finfo(np.float64).tiny))
    z[np.arange(len(column)), column] = 0.0
    return log_softmax(z), {HARD_LABEL: len(column)}


def _losses(sent: Float, smallest: float, labels: Int | None, classes: int | None) -> tuple[Float, Floor]:
    if labels is None or classes is None or classes < 2:
        raise ValueError("decoding losses needs the records' labels and the number of classes")
    if sent.shape != (len(labels), 1) or (sent < 0).any():
        raise ValueError(f"losses must be one column of {len(labels)} non-negative numbers")
    zero = sent[:, 0] == 0
    loss = np.where(zero, smallest, sent[:, 0])
    rest = np.log(-np.expm1(-loss)) - np.log(classes - 1)
    logp = np.repeat(rest[:, None], classes, axis=1)
    logp[np.arange(len(labels)), labels] = -loss
    return logp, {"zero": int(zero.sum()), UNIFORM_REST: len(loss)}
