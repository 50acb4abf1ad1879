"""From an adversary's view to reconstructed records. No coin, no private record and no client's batch is in here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.adversary.inversion import Source
from fedprivacy.adversary.threat import View
from fedprivacy.attacks.inversion.best import BestSettings, Outcome, attacks_for, best_of
from fedprivacy.attacks.inversion.clock import Clock
from fedprivacy.attacks.inversion.cosine import CosineSettings
from fedprivacy.attacks.inversion.dictionary import DICTIONARY, mixtures, of_mixture, with_mixture
from fedprivacy.attacks.inversion.dlg import DlgSettings
from fedprivacy.attacks.inversion.exact.spear import EXACT, SpearSettings
from fedprivacy.attacks.inversion.from_imprint import from_imprint
from fedprivacy.attacks.inversion.from_predictions import from_predictions
from fedprivacy.attacks.inversion.guess import TOLD, class_means, with_guess
from fedprivacy.attacks.inversion.knowledge import Knowledge as Card
from fedprivacy.attacks.inversion.label_recovery import Public, last_layer
from fedprivacy.attacks.inversion.labels_behind import Mixtures, StatedLabels, labels_behind
from fedprivacy.attacks.inversion.messages import Sent, client_updates, mean_updates, of_one_start, whole
from fedprivacy.attacks.inversion.plans import Plans, noised, unmoved
from fedprivacy.attacks.inversion.prior import PriorSettings
from fedprivacy.attacks.inversion.recovered import Reconstructions, Recovered
from fedprivacy.attacks.inversion.situation import Situation, told
from fedprivacy.attacks.inversion.unroll import UnrollSettings
from fedprivacy.config.inversion import METHODS
from fedprivacy.data.pixels import PixelScale, pixel_scale
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge

SMOOTH = ("lenet-sigmoid",)
ROUNDING = 2.0**-23
"""Part of the weights by which a float32 message may be off, at most."""
ROUND = 2
"""Iterations that a round of the search for exact records counts for, up to as many as it makes by default."""
PAIR_BYTES = 2**28
"""Memory of all curvature pairs together."""

Progress = Callable[[float], None]


def observe_inversion(
    view: View,
    knowledge: Knowledge,
    source: Source,
    stated: StatedLabels | None = None,
    progress: Progress = lambda share: None,
) -> Reconstructions:
    """Reconstruct what ``source`` allows. Raises ValueError where nothing can be attempted, and says why."""
    scale = pixel_scale(knowledge.dataset, knowledge.auxiliary)
    clock, steps = Clock(knowledge.attack.seconds), knowledge.attack.steps
    if steps is not None:
        wanted = knowledge.attack.inversion.model_copy(update={"iterations": steps})
        knowledge = replace(knowledge, attack=knowledge.attack.model_copy(update={"inversion": wanted}))
    if source == "predictions":
        return from_predictions(view, knowledge, scale, clock, progress)
    name = knowledge.wire.travelling(0)
    if source == "imprint":
        return from_imprint(view, knowledge, scale, name)
    model = knowledge.workbench.module(name)
    return _from_updates(view, knowledge, source, model, scale, clock, stated or {}, progress)


def _from_updates(
    view: View,
    knowledge: Knowledge,
    source: Source,
    model: nn.Module,
    scale: PixelScale,
    clock: Clock,
    stated: StatedLabels,
    progress: Progress,
) -> Reconstructions:
    wanted = knowledge.attack.inversion
    names = frozenset(name for name, _ in model.named_parameters())
    read = mean_updates if source == "aggregate" else client_updates
    every = (one for one in read(view, knowledge, names) if one.round >= wanted.first_round)
    if knowledge.wire.model is not None and knowledge.wire.model.reference == "start":
        every = (one for one in every if one.first)
    sent = list(islice(every, wanted.messages))
    if not sent:
        raise ValueError("no update in sight starts from weights that the adversary knows")
    groups = of_one_start(sent)
    found: list[Recovered] = []
    notes: dict[str, None] = {}
    plans = Plans(model, knowledge, scale, names)
    mixed, why_not = _mixtures(view, knowledge, source, sent, scale, plans, clock)
    means = None
    if len(knowledge.auxiliary) and not wanted.methods:
        means = class_means(_public(knowledge, scale), len(knowledge.dataset.classes))
    for place, group in enumerate(groups):

        def done(share: float, place: int = place) -> None:
            progress((place + share) / len(groups))

        left: list[tuple[list[Sent], Clock | None]] = [(same, None) for same in plans.alike(group)]
        while left:
            same, spent = left.pop(0)
            plan = plans.of(same[0])
            if plan.kind == "classes" and wanted.methods == (DICTIONARY,) and not why_not:
                keys = [(one.round, one.client) for one in same]
                found += [of_mixture(one, mixed[key]) for one, key in zip(same, keys, strict=True) if key in mixed]
                continue
            part = spent or clock.part(1 / (len(groups) - place))
            outcome, labels = _attacked(same, plans, model, knowledge, scale, part, names, stated, mixed, done)
            missed = [one for one, loss in zip(same, outcome.loss.tolist(), strict=True) if math.isnan(loss)]
            if plan.exact_only and missed:
                notes |= dict.fromkeys(_said(outcome))
                exact = zip(same, _recovered(same, plan, outcome, labels), strict=True)
                found += [own for one, own in exact if one not in missed]
                plans.without_rank(missed)
                more, why_not = _mixtures(view, knowledge, source, missed, scale, plans, clock)
                mixed = {**mixed, **more}
                left = [*((again, part) for again in plans.alike(missed)), *left]
                continue
            own = _recovered(same, plan, outcome, labels)
            notes |= dict.fromkeys([*outcome.errors, *_said(outcome)])
            if plan.kind == "classes":
                own, guessed = _classwise(own, mixed, means)
                notes |= dict.fromkeys([TOLD] if guessed else [])
            found += own
    planned = [plans.of(one) for group in groups for one in group]
    if clock.over:
        notes[f"stopped by the budget of {clock.seconds:g} s: another machine may get further"] = None
    if why_not:
        notes[f"dictionary was not run: {why_not}"] = None
    attempts = told(planned, knowledge.settings.training.optimizer, sent[0].merged)
    notes = dict.fromkeys(attempts) | notes
    dropout = any(isinstance(part, nn.Dropout) and part.p > 0 for part in model.modules())
    card = _card_rows(planned[0], knowledge, "; ".join(attempts), dropout)
    title = {"updates": "clients' updates", "aggregate": "mean update of all clients"}[source]
    return Reconstructions(title, tuple(found), card, tuple(notes))


def _classwise(own: Sequence[Recovered], mixed: Mixtures, means: Tensor | None) -> tuple[list[Recovered], bool]:
    """What attacks gave of classes, with what goes before them: a mixture where there is one, else the public
    ``means`` (None where methods were asked for, or nothing is public); and whether any of it was guessed."""
    found, guessed = [], False
    for one in own:
        mixture = mixed.get((one.round, one.client))
        if mixture is None and means is not None:
            guessed, one = True, with_guess(one, means)
        found.append(with_mixture(one, mixture))
    return found, guessed


def _mixtures(
    view: View,
    knowledge: Knowledge,
    source: Source,
    sent: Sequence[Sent],
    scale: PixelScale,
    plans: Plans,
    clock: Clock,
) -> tuple[Mixtures, str]:
    """Mixtures of the updates that are sought class by class, or whose labels nothing else tells; or why there are
    none."""
    wanted = knowledge.attack.inversion
    if source != "updates":
        return {}, ""
    asked = not wanted.methods or DICTIONARY in wanted.methods
    many = [one for one in sent if (asked and plans.of(one).kind == "classes") or plans.of(one).card.adam is not None]
    try:
        return (mixtures(view, knowledge, many, scale, clock) if many else {}), ""
    except ValueError as error:
        return {}, str(error)


def _attacked(
    sent: Sequence[Sent],
    plans: Plans,
    model: nn.Module,
    knowledge: Knowledge,
    scale: PixelScale,
    clock: Clock,
    names: frozenset[str],
    stated: StatedLabels,
    mixed: Mixtures,
    progress: Progress,
) -> tuple[Outcome, Tensor]:
    """The outcome of all attacks on ``sent``, and the labels that they began from."""
    wanted, before, plan = knowledge.attack.inversion, sent[0].before, plans.of(sent[0])
    state = dict(before)
    observed = [whole(one.change, before, names) for one in sent]
    card, headless = plan.card, last_layer(model)[0] not in sent[0].change
    if plan.exact_only:
        observed = [plans.undecayed(one, plan.steps) for one in sent]
    if plan.one_step and card.lr is not None and card.clip is None:
        observed = [_gradient(one, state, card, knowledge.settings.training.weight_decay) for one in observed]
        card = replace(card, shared="gradient")
    if plan.kind == "records" and (headless or "dlg" in wanted.methods):
        card = replace(card, labels="joint")
    public = _public(knowledge, scale)
    labels = labels_behind(sent, observed, plan, card, model, public, stated, mixed, headless)
    fitting = attacks_for(model, card)
    methods = [name for name in fitting if not wanted.methods or name in wanted.methods]
    if plan.kind == "classes":
        methods = [name for name in methods if name == "cosine"]
    if plan.exact_only:
        methods = [name for name in methods if name == EXACT]
    if headless:
        untold: tuple[str, ...] = ("cosine",) if card.records > 1 or card.steps > 1 else ()
        untold += () if knowledge.wire.travelling(0) in SMOOTH else ("local-steps",)
        methods = [name for name in methods if name not in untold]
    methods += [name for name in wanted.methods if name not in METHODS]
    if not methods:
        raise ValueError(f"none of {', '.join(wanted.methods)} fits these messages; these do: {', '.join(fitting)}")
    generator = seeds.generator(knowledge.root, "inversion", sent[0].round, sent[0].client)
    settings = _settings(knowledge.wire.travelling(0), len(sent), plan.kind, card, knowledge, clock)
    rounded = max(ROUNDING * unmoved(before, one.change) for one in sent)
    rounded = max([rounded, *(noised(one.change, card) for one in sent)])
    settings = replace(settings, explained=max(settings.explained, rounded))
    outcome = best_of(model, state, observed, card, generator, public, settings, methods, labels, progress)
    return outcome, labels


def _gradient(update: Mapping[str, Tensor], start: Part, card: Card, decay: float) -> dict[str, Tensor]:
    """The loss gradient behind one step of SGD with weight decay; what is unknown stays zero."""
    rate = card.lr or 1.0
    found = {name: change / -rate for name, change in update.items()}
    if decay:
        found = {name: slope - decay * start[name].double() for name, slope in found.items()}
    if card.zeros == "known":
        return found
    return {name: torch.where(update[name] == 0, 0.0, slope) for name, slope in found.items()}


def _public(knowledge: Knowledge, scale: PixelScale) -> Public:
    """The adversary's own records."""
    ids, data = knowledge.auxiliary, knowledge.dataset
    return torch.from_numpy(scale.pixels(data.x_train[ids])), torch.from_numpy(data.y_train[ids])


def _settings(model: str, targets: int, kind: str, card: Card, knowledge: Knowledge, clock: Clock) -> BestSettings:
    wanted, device = knowledge.attack.inversion, str(knowledge.workbench.device)
    smooth, image = model in SMOOTH, card.input_shape[1] > 1
    size = card.records * int(torch.Size(card.input_shape).numel()) * targets * wanted.restarts
    pairs = max(10, min(300, PAIR_BYTES // (8 * size)))
    dlg = DlgSettings(
        outer=max(1, round(wanted.iterations * 0.65 / 20)),
        history=pairs,
        restarts=wanted.restarts,
        space="spectrum" if image else "pixels",
        device=device,
    )
    grid = ((0.1,) if smooth else (0.01, 0.001)) if image else (0.0,)
    iterations = wanted.iterations
    if kind == "classes":
        grid, iterations = grid[:1], math.ceil(wanted.iterations / 2)
    cosine = CosineSettings(iterations, grid, wanted.restarts, device=device)
    unroll = UnrollSettings("lbfgs" if smooth else "signed", dlg, cosine)
    seconds = None if clock.seconds is None else clock.part(1).seconds
    prior = PriorSettings(refine=replace(cosine, tv=grid[:1]))
    spear = SpearSettings(rounds=min(SpearSettings.rounds, math.ceil(wanted.iterations / ROUND)))
    return BestSettings(dlg, cosine, unroll, prior, spear, seconds=seconds)


def _recovered(sent: Sequence[Sent], plan: Situation, outcome: Outcome, labels: Tensor) -> list[Recovered]:
    found = []
    for place, one in enumerate(sent):
        images = outcome.images[place].numpy()
        if not torch.isfinite(outcome.images[place]).all():
            images = images[:0]
        others = {
            row.attack: row.found.images[place].double().cpu().numpy()
            for row in outcome.rows
            if row.found is not None and bool(row.found.images[place].isfinite().all())
        }
        marks = outcome.targets[place].argmax(1).numpy() if plan.kind == "records" else labels[place].numpy()
        name, loss = outcome.chosen[place], float(outcome.loss[place])
        found.append(Recovered(one.round, one.client, one.number, plan.kind, images, marks, name, loss, others))
    return found


def _said(outcome: Outcome) -> list[str]:
    """What the attacks have to say, and which were not run."""
    found = [note for row in outcome.rows if row.found is not None for note in row.found.notes]
    return found + [f"{row.attack} was not run: {row.why_not}" for row in outcome.rows if row.why_not]


def _card_rows(plan: Situation, knowledge: Knowledge, attempts: str, dropout: bool) -> dict[str, str]:
    rows, wanted = plan.card.rows(), knowledge.attack.inversion
    if plan.kind == "classes":
        rows["records"] = f"one image for each of {plan.card.records} classes"
        rows["labels"] = "every class"
        rows["local steps"] = "not followed: the update is taken as one step"
    else:
        rows["labels"] = {
            "strong": "given",
            "fair": "recovered from the update",
            "blind": "read off the signs of the update",
        }[wanted.knowledge]
    mode = "training, with dropout whose masks are not known" if dropout else "training; the same as evaluation here"
    rows["mode of the client"] = mode
    defense = knowledge.wire.defense
    if defense != "none":
        rows["defense"] = f"{defense}, " + ("known to the attacker" if wanted.adaptive else "unknown to the attacker")
    return {"preset": wanted.knowledge, **rows, "attempted": attempts}
