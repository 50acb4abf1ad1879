"""Exact records of a whole batch, from the gradient of a first dense layer with a ReLU behind it.

Dimitrov, Baader, Mueller, Vechev, "SPEAR: Exact Gradient Inversion of Batches in Federated Learning" (2024). Nobody
tells the attack how many records there are: the rank does. It needs no learning rate, and no step count as long as all
steps are on the same records; where both are known, it follows the ReLUs that large steps turn. Behind a convolution
the layer reads features and not the record, so there it does not apply; nor after noise, pruning, or an optimiser that
scales each coordinate, which leave no low rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.analytic import first_linear
from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.exact.basis import APART, SURE, Basis, Layer, best_basis, independent, settled
from fedprivacy.attacks.inversion.exact.factors import Factors, factors
from fedprivacy.attacks.inversion.exact.head import head_behind
from fedprivacy.attacks.inversion.exact.search import Directions, Rows, Search, merged
from fedprivacy.attacks.inversion.exact.slopes import slopes_by, told_labels
from fedprivacy.attacks.inversion.exact.steps import Steps, together
from fedprivacy.attacks.inversion.exact.turns import in_turn, one_by_one
from fedprivacy.attacks.inversion.gradients import frozen_copy, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.label_recovery import Public
from fedprivacy.attacks.membership.traps.layer import dead_below_zero
from fedprivacy.config.base import UsageError

EXACT = "spear"
FINEST = 1e-11
"""Least size of a derivative that is told from zero, beside derivatives of norm 1."""
GUIDED = 4
"""Times that a better basis may guide the search before it goes on at random."""
POOL = 8
"""Directions that are kept, for each record that there is."""


@dataclass(frozen=True)
class SpearSettings:
    """At most ``rounds`` of ``starts`` each, ``sweeps`` of reweighting a start (0: random submatrices alone).

    The search ends ``patience`` rounds after the last basis that was better. A derivative below ``margin`` times what
    rounding leaves of it is zero. A basis of a score below ``sound`` is not taken for the records, since a wrong one
    guesses the ReLUs of some of them; over several steps ReLUs change, so that a right one scores less too. Where no
    simulation tells either, each single record has to score ``least``: right ones behind four to ten steps scored .90
    to .95, wrong ones from .79 on, so that a wrong one among many right ones can still pass.
    """

    starts: int = 128
    rounds: int = 40
    sweeps: int = 25
    margin: float = 30.0
    patience: int = 10
    sound: float = 0.9
    least: float = 0.85


@dataclass(frozen=True, eq=False)
class Exact:
    """``images`` [R, C, H, W] in pixels and their ``labels`` [R]; the score ``match``, and the ``least`` of one
    of them; ``gap`` of the spectrum."""

    images: Tensor
    labels: Tensor
    match: float
    least: float
    gap: float

    @property
    def note(self) -> str:
        """What speaks for it, and how far it is from its bound."""
        size = len(self.images)
        return (
            f"{size} records by the rank of the first layer, the last one {self.gap:.0e} times above rounding; "
            f"{self.match:.2%} of the layer's ReLUs agree with the records found, of each at least {self.least:.2%}"
        )


def dense_relu(model: nn.Module, knowledge: Knowledge) -> str | None:
    """Name of the first layer, where it is dense, reads the whole record, and has a ReLU behind it; else None."""
    name = first_linear(model, knowledge)
    if name is None:
        return None
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    probe = torch.full((8, *knowledge.input_shape), 0.5).to(layer.weight)
    fits = layer is not model and dead_below_zero(model, layer, knowledge.to_input(probe))
    return name if fits else None


def seen(model: nn.Module, observed: Mapping[str, Tensor], knowledge: Knowledge) -> Factors | None:
    """Factors of the first layer's gradient behind a message; None where the attack does not fit."""
    name = dense_relu(model, knowledge)
    if name is None or knowledge.zeros == "unknown" or knowledge.low_rank:
        return None
    return factors(observed[f"{name}.weight"], observed[f"{name}.bias"])


def spear(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Mapping[str, Tensor],
    knowledge: Knowledge,
    generator: torch.Generator,
    public: Public | None = None,
    settings: SpearSettings = SpearSettings(),
    clock: Clock = UNLIMITED,
    made: Factors | None = None,
) -> Exact | None:
    """All records behind one message; None where no basis was found. Raises UsageError where the attack does not fit.

    ``public`` records say which rows are seldom active, which lets larger batches be found. ``made``: what :func:`seen`
    made of the message, where that is known. Records of steps of their own come in the order of their steps, if each
    had one and its ReLUs or, where these are the same, its derivatives tell. Where all records were in each of several
    steps, and those found do not explain every ReLU, a second search follows the steps as they are simulated.
    """
    name, made = dense_relu(model, knowledge), made or seen(model, observed, knowledge)
    if name is None or made is None:
        raise UsageError(
            "inversion: 'spear' needs a first dense layer with a ReLU behind it, and a gradient of low rank; use "
            "'cosine'."
        )
    like = torch.zeros(1, dtype=torch.float64)
    twin = frozen_copy(model, parameters, knowledge, like)
    head = head_behind(twin, name, parameters, knowledge)
    layer = Layer.sent(made, *(parameters[f"{name}.{part}"].to(like) for part in ("weight", "bias")))
    shown = None
    if public is not None:
        shown = knowledge.to_input(public[0].to(like)), one_hot(public[1], knowledge.classes, like.dtype)
    rounding = max(FINEST, settings.margin / (made.gap * len(made.left) ** 0.5))
    turned, steps = one_by_one(knowledge, made.rank), Steps(twin, name, knowledge, observed, made)

    def told(basis: Basis) -> Told:
        inputs, slopes = layer.records(basis).view(-1, *knowledge.input_shape), layer.slopes(basis)
        return Told(inputs, -slopes if knowledge.shared == "update" else slopes, basis.zero)

    def labels_of(own: Told) -> Tensor:
        return told_labels(twin, name, own.inputs, own.slopes, knowledge.classes)

    def worth(basis: Basis) -> float:
        return in_turn(twin, name, knowledge, *told(basis)).match if turned else basis.match

    def followed(tried: Tried) -> Tried:
        """The same as steps on its own records would have met it, where that explains it better."""
        own = told(tried.basis)
        inside = knowledge.to_input(knowledge.to_pixels(own.inputs).clamp(0, 1))
        met, _ = steps.on(inside, one_hot(labels_of(own), knowledge.classes, like.dtype))
        again = met.read(tried.basis.q.T, tried.basis.zero)
        return tried if again is None or again.match <= tried.worth else Tried(met, again, again.match)

    def searched(layer: Layer, slopes: Tensor | None, nearer: Callable[[Tried], Tried]) -> Tried | None:
        rows = Rows.unknown(len(made.left), head) if slopes is None else public_rows(slopes, head)
        search = Search(made.left, rows, rounding, clock)
        return _searched(search, made, layer, generator, settings, clock, worth, turned, nearer)

    best = searched(layer, None if shown is None else slopes_by(twin, name, *shown), lambda tried: tried)
    if together(knowledge):
        best = None if best is None else followed(best)
        if best is None or not (best.basis.sure or clock.over):
            start, slopes = (layer, None) if shown is None else steps.on(*shown)
            other = searched(start, slopes, followed)
            best = max((one for one in (best, other) if one is not None), key=lambda one: one.worth, default=None)
    if best is None or best.worth < settings.sound:
        return None
    if turned:
        own = told(best.basis)
        turns = in_turn(twin, name, knowledge, *own)
        return Exact(knowledge.to_pixels(own.inputs[turns.order]), turns.labels, turns.match, turns.least, made.gap)
    basis = settled(best.layer, best.basis, rounding)
    own = told(basis)
    return Exact(knowledge.to_pixels(own.inputs), labels_of(own), basis.match, float(basis.agreed.min()), made.gap)


class Tried(NamedTuple):
    """A ``basis``, the ``layer`` that it was read with, and what it is ``worth``, in [0, 1]."""

    layer: Layer
    basis: Basis
    worth: float


class Told(NamedTuple):
    """Records ``inputs`` [B, ...] as the model reads them, their derivatives ``slopes`` [B, m] by the first layer's
    output, and where these are ``zero``."""

    inputs: Tensor
    slopes: Tensor
    zero: Tensor


def _searched(
    search: Search,
    made: Factors,
    layer: Layer,
    generator: torch.Generator,
    settings: SpearSettings,
    clock: Clock,
    worth: Callable[[Basis], float],
    turned: bool,
    nearer: Callable[[Tried], Tried],
) -> Tried | None:
    """The best basis of all rounds, read with ``layer`` or with what ``nearer`` made of it for the best one so far."""
    size = made.rank
    found, best, improved = Directions.none(size, len(made.left)), None, 0
    for number in range(settings.rounds):
        sure = best is not None and (best.worth >= SURE if turned else best.basis.sure)
        done = sure or (best is not None and number - improved > settings.patience)
        if done or (number and clock.over):
            break
        known = found.chosen(torch.tensor(independent(found, size), dtype=torch.long)).likely
        found = merged(found, search.drawn(settings.starts, generator, settings.sweeps, known), POOL * size)
        for _ in range(GUIDED):
            if best is not None and clock.over:
                break
            at = layer if best is None else best.layer
            basis, value = _best(at, found, worth, turned)
            tried = None if basis is None else nearer(Tried(at, basis, value))
            if tried is None or (best is not None and tried.worth <= best.worth):
                break
            best, improved = tried, number
            found = merged(found, search.guided(best.basis.silent, settings.sweeps), POOL * size)
    return best


def _best(layer: Layer, found: Directions, worth: Callable[[Basis], float], plain: bool) -> tuple[Basis | None, float]:
    """The basis of highest ``worth`` among those that begin with the directions least astray, and with the sparsest.

    ``plain``: without any exchange too, which goes by the ReLUs of the weights that were sent.
    """
    best, most = None, -1.0
    orders, size = (found.nearest, found) if bool(found.astray.any()) else (found,), found.vectors.shape[1]
    for order, apart in product(orders, APART):
        chosen = independent(order, size, apart)
        if len(chosen) < size or (best is not None and (most >= SURE if plain else best.sure)):
            continue
        tried = [layer.read(order.vectors[chosen], order.zero[chosen])] if plain else []
        for basis in (*tried, best_basis(layer, order, chosen)):
            value = -1.0 if basis is None else worth(basis)
            if value > most:
                best, most = basis, value
    return best, most


def public_rows(slopes: Tensor, head: Tensor | None = None) -> Rows:
    """How often public records, of derivatives ``slopes`` [n, m], activate each row, and how strongly their loss then
    depends on it."""
    active = (slopes != 0).double()
    size = (slopes.square().sum(0) / active.sum(0).clamp_min(1)).sqrt()
    return Rows(active.mean(0), size, head)
