"""Every attack that fits a message, each with its row, and the one whose reconstruction explains the message best.

Attacks minimise different things; the choice rests on :func:`common_loss` alone, never on a true image.
The one attack outside this choice, :mod:`~fedprivacy.attacks.inversion.dictionary`, goes before all of them wherever it
was made, whatever the losses: it plays the training of a whole client, which here is taken as one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from fedprivacy import parts
from fedprivacy.attacks.inversion.analytic import analytic, first_linear
from fedprivacy.attacks.inversion.clock import Clock
from fedprivacy.attacks.inversion.common_loss import common_loss
from fedprivacy.attacks.inversion.cosine import CosineSettings, cosine
from fedprivacy.attacks.inversion.dlg import DlgSettings, dlg
from fedprivacy.attacks.inversion.exact.read import read_exactly
from fedprivacy.attacks.inversion.exact.spear import EXACT, SpearSettings, dense_relu
from fedprivacy.attacks.inversion.gradients import one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.label_recovery import Public, recover_labels
from fedprivacy.attacks.inversion.outside import reconstructed
from fedprivacy.attacks.inversion.prior import PriorSettings, prior
from fedprivacy.attacks.inversion.reconstruction import Reconstruction
from fedprivacy.attacks.inversion.unroll import UnrollSettings, local_steps
from fedprivacy.config.base import UsageError

Message = Mapping[str, Tensor]
CLEARLY, EXPLAINS = 0.5, 0.1


@dataclass(frozen=True)
class BestSettings:
    """Settings of the attacks; the seconds that all of them may take together (None: no limit); and the common loss
    below which a message counts as explained, so that no further attack is started.
    """

    dlg: DlgSettings = field(default_factory=DlgSettings)
    cosine: CosineSettings = field(default_factory=CosineSettings)
    local_steps: UnrollSettings = field(default_factory=UnrollSettings)
    prior: PriorSettings = field(default_factory=PriorSettings)
    spear: SpearSettings = field(default_factory=SpearSettings)
    seconds: float | None = None
    explained: float = 1e-6


@dataclass(frozen=True, eq=False)
class AttackRow:
    """One attack on T targets: common loss [T] (NaN where it failed), its cost, and why it did not run, if so.

    ``settled`` [T]: where no further attack is needed.
    """

    attack: str
    found: Reconstruction | None
    loss: Tensor
    cpu_seconds: float
    settled: Tensor
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """``images`` [T, B, C, H, W], label distributions and common loss [T] of the attack named in ``chosen`` [T].

    Where every restart of every attack met values that are not finite, images are NaN, the name is empty, and
    ``errors`` has a line.
    """

    images: Tensor
    targets: Tensor
    loss: Tensor
    chosen: tuple[str, ...]
    rows: tuple[AttackRow, ...]
    errors: tuple[str, ...]


def attacks_for(model: nn.Module, knowledge: Knowledge) -> tuple[str, ...]:
    """Names of the attacks that fit the message, cheapest first."""
    adam = knowledge.adam is not None
    hard = knowledge.records > 1 or knowledge.steps > 1 or adam
    public = ("prior",) if hard and knowledge.public_images > 1 and knowledge.labels != "joint" else ()
    carried = knowledge.adam is not None and bool(knowledge.adam.past)
    several = knowledge.shared == "update" and (knowledge.steps > 1 or knowledge.clip is not None or carried)
    whole = knowledge.zeros == "known" and not knowledge.low_rank
    linear = whole and not adam and (several or knowledge.records > 1)
    names: tuple[str, ...] = (EXACT,) if linear and dense_relu(model, knowledge) else ()
    if several:
        return public if public and adam else (*names, "local-steps", *public)
    names += ("analytic",) if first_linear(model, knowledge) else ()
    if adam:
        return (*names, "cosine", *(public or ("local-steps",)))
    if knowledge.shared == "gradient" or knowledge.lr is not None:
        names += ("dlg",) if knowledge.labels == "joint" else ("idlg",)
    return (*names, "cosine", *public)


def best_of(
    model: nn.Module,
    parameters: Message,
    observed: Sequence[Message],
    knowledge: Knowledge,
    generator: torch.Generator,
    public: Public | None = None,
    settings: BestSettings = BestSettings(),
    attacks: Sequence[str] | None = None,
    labels: Tensor | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Outcome:
    """Run ``attacks`` (None: all that fit) on T ``observed`` messages, all sent at the weights ``parameters``.

    Labels follow the card: given, recovered from each message, or found by the attack (``joint``); ``labels`` [T, B]
    are those of whoever knows or recovered them otherwise. ``progress`` is told the share of attacks that are done.
    Raises UsageError for an attack that does not fit.
    """
    labels = _labels(model, parameters, observed, knowledge, public) if labels is None else labels
    clock = Clock(settings.seconds)
    joint = None if knowledge.labels == "joint" else labels
    work: dict[str, Callable[[], Reconstruction]] = {
        EXACT: lambda: read_exactly(
            model, parameters, observed, knowledge, labels, generator, public, settings.spear, share()
        ),
        "analytic": lambda: _analytic(model, parameters, observed, knowledge, labels),
        "dlg": lambda: dlg(model, parameters, observed, knowledge, None, generator, settings.dlg, share()),
        "idlg": lambda: dlg(model, parameters, observed, knowledge, labels, generator, settings.dlg, share()),
        "cosine": lambda: cosine(model, parameters, observed, knowledge, labels, generator, settings.cosine, share()),
        "local-steps": lambda: local_steps(
            model, parameters, observed, knowledge, joint, generator, settings.local_steps, share()
        ),
    }
    if public is not None:
        work["prior"] = lambda: prior(
            model, parameters, observed, knowledge, labels, public, generator, settings.prior, share()
        )
    fitting = tuple(name for name in attacks_for(model, knowledge) if name in work)
    names = fitting if attacks is None else tuple(attacks)
    for name in names:
        if parts.outside(name) or name in parts.known("reconstruction"):
            work[name] = partial(reconstructed, name, model, parameters, observed, knowledge, labels, generator)
        elif name not in fitting:
            raise UsageError(f"inversion: '{name}' does not fit this message. Fitting: {', '.join(fitting)}.")
    rows: list[AttackRow] = []

    def share() -> Clock:
        return clock.part(1 / (len(names) - len(rows)))

    for name in names:
        why_not = ""
        if rows and clock.over:
            why_not = f"the budget of {settings.seconds:g} s was spent"
        elif rows and bool(torch.stack([row.settled for row in rows]).any(0).all()):
            why_not = "an earlier attack explains every message"
        progress(len(rows) / len(names))
        if why_not:
            nothing = torch.full((len(observed),), torch.nan, dtype=torch.float64)
            rows.append(AttackRow(name, None, nothing, 0.0, nothing > 0, why_not))
            continue
        start = time.process_time()
        found = work[name]()
        cost = time.process_time() - start
        loss = common_loss(model, parameters, observed, knowledge, found.images, found.targets)
        rows.append(AttackRow(name, found, loss, cost, _settled(name, loss, knowledge, settings)))
    return _chosen(rows)


def _chosen(rows: Sequence[AttackRow]) -> Outcome:
    ran = [(row, row.found) for row in rows if row.found is not None]
    if not ran:
        raise UsageError("inversion: no attack was named, or the budget allows none.")
    settled = torch.stack([row.settled for row, _ in ran])
    loss, choice = _preferred(torch.stack([row.loss for row, _ in ran]), settled)
    at = list(enumerate(choice.tolist()))
    lost = loss.isinf()
    images = torch.stack([ran[best][1].images[target].double().cpu() for target, best in at])
    images[lost] = torch.nan
    return Outcome(
        images,
        torch.stack([ran[best][1].targets[target].double().cpu() for target, best in at]),
        torch.where(lost, torch.nan, loss),
        tuple("" if lost[target] else ran[best][0].attack for target, best in at),
        tuple(rows),
        tuple(f"target {target}: every restart of every attack failed" for target, _ in at if lost[target]),
    )


def _settled(name: str, loss: Tensor, knowledge: Knowledge, settings: BestSettings) -> Tensor:
    """Which messages [T] need no further attack: those that are explained, and those of several steps on different
    records that were read exactly. These come in no order, and another attack would fit records to a wrong one."""
    if name == EXACT and knowledge.divided:
        return loss.isfinite()
    return loss.nan_to_num(torch.inf) < settings.explained


def _preferred(losses: Tensor, settled: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and number of the attack chosen for each target, from ``losses`` [attacks, T], cheapest attack first.

    The lowest loss wins. But where an earlier attack leaves less than a tenth of the message unexplained, a later one
    has to halve that: two that explain it so well differ by what the attacker does not know of the training, and the
    closed form depends on it least. One that ``settled`` [attacks, T] a message is not held against later ones.
    """
    worth = torch.where(losses.isfinite(), losses, torch.inf)
    loss, choice = worth[0].clone(), torch.zeros(losses.shape[1], dtype=torch.long)
    for place in range(1, len(worth)):
        better = worth[place] < torch.where(loss < EXPLAINS, loss * CLEARLY, loss)
        better &= ~settled[:place].any(0)
        loss, choice = torch.where(better, worth[place], loss), torch.where(better, place, choice)
    return loss, choice


def _labels(
    model: nn.Module, parameters: Message, observed: Sequence[Message], knowledge: Knowledge, public: Public | None
) -> Tensor:
    if knowledge.given_labels is not None:
        return torch.tensor(knowledge.given_labels).repeat(len(observed), 1)
    return torch.stack([recover_labels(model, parameters, message, knowledge, public) for message in observed])


def _analytic(
    model: nn.Module, parameters: Message, observed: Sequence[Message], knowledge: Knowledge, labels: Tensor
) -> Reconstruction:
    """:func:`analytic` on each message; records that it does not find stay mid-grey, with the labels left over.

    The image of a single record does not hang on its label: where that is not known, each class is tried.
    """
    if knowledge.records == 1 and knowledge.labels == "joint":
        card = replace(knowledge, labels="recovered")
        tried = [
            _analytic(model, parameters, observed, card, torch.full_like(labels, c)) for c in range(knowledge.classes)
        ]
        choice = torch.stack([one.loss for one in tried]).nan_to_num(torch.inf).argmin(0).tolist()
        picked = list(enumerate(choice))
        return replace(
            tried[0],
            targets=torch.stack([tried[c].targets[t] for t, c in picked]),
            loss=torch.stack([tried[c].loss[t] for t, c in picked]),
        )
    shape = (len(observed), knowledge.records, *knowledge.input_shape)
    images, known = torch.full(shape, 0.5, dtype=torch.float64), labels.clone()
    for target, message in enumerate(observed):
        if not all(bool(value.isfinite().all()) for value in message.values()):
            continue
        guesses = analytic(model, parameters, message, knowledge, labels[target])
        images[target, : len(guesses.images)] = guesses.images
        left = labels[target].tolist()
        for label in guesses.labels.tolist():
            left.remove(label)
        known[target] = torch.tensor([*guesses.labels.tolist(), *left])
    targets = one_hot(known, knowledge.classes, torch.float64)
    loss = common_loss(model, parameters, observed, knowledge, images, targets)
    return Reconstruction(images, targets, loss, torch.zeros(len(observed), dtype=torch.long), 1, len(observed))
