"""The membership observations, and from what each is made: a rule on what an adversary sees. No torch in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fedprivacy.adversary.position import EAVESDROPPER
from fedprivacy.adversary.seats import default_adversaries
from fedprivacy.adversary.sight import Played, Sight, Wire
from fedprivacy.config.base import UsageError
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.release import MODELS, PREDICTIONS, PROTOTYPES, UPDATES, WEIGHTS


@dataclass(frozen=True)
class ObservationCard:
    """``target``: ``module:Class``; ``reads``: kinds of what clients send that it is made of; ``allowed``: whether an
    adversary's sight has them."""

    target: str
    reads: frozenset[str]
    allowed: Callable[[Sight], bool]
    plays: Played | None = None
    """What the adversary plays of the clients, where it does: everybody has to know how they train."""


def probes(sight: Sight) -> bool:
    """A server plants records where clients answer queries."""
    return sight.active_server and sight.wire.answers_queries


def traps(sight: Sight) -> bool:
    """A server sends weights of its own making where clients train what they are sent, and gets them back."""
    sent = [r for r in sight.releases if r.trains_what_it_is_sent and r.receivers == SERVER]
    return sight.active_server and bool(sent) and sight.wire.federation.rounds > 1


def predictions(sight: Sight) -> bool:
    """Anybody's predictions, or what was made of several."""
    return bool(sight.each(PREDICTIONS) or sight.together(PREDICTIONS))


def each_ones_answers(sight: Sight) -> bool:
    """Predictions of single clients, whole."""
    return bool(sight.each(PREDICTIONS))


def played_answers(sight: Sight) -> bool:
    """Predictions of single clients whose training can be simulated: that of the last layer alone is not."""
    return each_ones_answers(sight) and not sight.wire.defended.head_alone


def played_probes(sight: Sight) -> bool:
    """Planted records, where the training of those who answer can be simulated."""
    return probes(sight) and not sight.wire.defended.head_alone


def neighbours_models(sight: Sight) -> bool:
    """Whole models that clients send each other."""
    return any(r.receivers == "neighbours" and sight.whole(r) for r in sight.each(WEIGHTS))


def uploads(sight: Sight) -> bool:
    """Whole models of single clients, their own."""
    sent = [r for r in sight.each(WEIGHTS) if r.receivers != "neighbours" and not r.architecture]
    return any(map(sight.whole, sent))


def small_uploads(sight: Sight) -> bool:
    """Whole models that travel in the place of the clients' own."""
    sent = [r for r in sight.each(WEIGHTS) if r.receivers != "neighbours" and r.architecture]
    return any(map(sight.whole, sent))


def updates(sight: Sight) -> bool:
    """Updates of single clients."""
    return bool(sight.each(UPDATES))


def changes(sight: Sight) -> bool:
    """Changes of models: of single clients, or of what a server made of several, which consecutive broadcasts tell.

    Where that is no mean of a round's (models mixed in as they come, a buffer, a mean that the server trains on), the
    mean is what is played, and the rest of the change is noise to whoever decodes it.
    Clients who share predictions as well train on more than their own records: they are played along their course, by
    whoever sees all that they are told, or plays who tells it. Layers that several architectures have in common may be
    too few to tell much.
    """
    mixed = sight.together(MODELS)
    if not sight.each(PREDICTIONS) and not sight.together(PREDICTIONS):
        return bool(sight.each(MODELS) or mixed)
    means = [r for r in mixed if r.of in ("mean", "weighted")]
    sent = sight.wire.model
    followed = sent is not None and sent.by_course and "answers" in sight.wire.played
    followed = followed and len(sight.wire.federation.architectures) == 1
    return followed and sight.all_that_clients_hear and bool(sight.each(MODELS) or means)


def noised_steps(sight: Sight) -> bool:
    """Changes of single clients' models by clipped gradients of records as they are, and known noise."""
    training = sight.wire.federation.training
    plain = not training.weight_decay and not training.augmentation
    own = any(r.loss != "more" and not r.architecture for r in sight.each(MODELS))
    return sight.wire.defended.noised_steps and plain and own


def noised_changes(sight: Sight) -> bool:
    """Changes of models under known noise, each client's by one of two that are known."""
    return sight.wire.defended.noised_releases and sight.wire.one_coin_a_client and changes(sight)


def noised_answers(sight: Sight) -> bool:
    """Predictions under known noise, each client's by one of two models that are known."""
    wire = sight.wire
    own = each_ones_answers(sight) and not wire.defended.merges
    return wire.defended.noised_releases and wire.one_coin_a_client and own


def one_model(sight: Sight) -> bool:
    """A whole model that mixes several clients, where no single one's is in sight."""
    return not sight.each(MODELS) and any(map(sight.whole, sight.together(WEIGHTS)))


def one_update(sight: Sight) -> bool:
    """Updates that mix several clients, where no single one's is in sight."""
    return not sight.each(MODELS) and bool(sight.together(UPDATES))


def class_means(sight: Sight) -> bool:
    """Class prototypes, of single clients or mixed."""
    return bool(sight.each(PROTOTYPES) or sight.together(PROTOTYPES))


_AT = "fedprivacy.attacks.membership.observations"
_JOINT = "fedprivacy.attacks.membership.joint"

ACTIVE: Mapping[str, ObservationCard] = {
    "joint-probes": ObservationCard(f"{_AT}.joint_predictions:JointProbes", PREDICTIONS, played_probes, "answers"),
    "probes": ObservationCard(f"{_AT}.probes:Probes", PREDICTIONS, probes),
    "traps": ObservationCard(f"{_AT}.traps:Traps", MODELS, traps),
}
"""What a server observes that departs from the protocol."""

PASSIVE: Mapping[str, ObservationCard] = {
    "noised-updates": ObservationCard(
        "fedprivacy.attacks.membership.joint.noised:NoisedUpdates", MODELS, noised_steps, "training"
    ),
    "coin-updates": ObservationCard(f"{_JOINT}.coins:CoinUpdates", MODELS, noised_changes, "training"),
    "coin-answers": ObservationCard(f"{_AT}.coin_answers:CoinAnswers", PREDICTIONS, noised_answers, "answers"),
    "joint-updates": ObservationCard(f"{_JOINT}.updates:JointUpdates", MODELS, changes, "training"),
    "joint-predictions": ObservationCard(
        f"{_AT}.joint_predictions:JointPredictions", PREDICTIONS, played_answers, "answers"
    ),
    "surrogate": ObservationCard(f"{_AT}.surrogate:Surrogate", PREDICTIONS, predictions),
    "students": ObservationCard(f"{_AT}.weights:Students", WEIGHTS, neighbours_models),
    "uploaded-weights": ObservationCard(f"{_AT}.weights:UploadedWeights", WEIGHTS, uploads),
    "uploaded-memes": ObservationCard(f"{_AT}.weights:UploadedMemes", WEIGHTS, small_uploads),
    "decoded-updates": ObservationCard(f"{_AT}.weights:DecodedUpdates", UPDATES, updates),
    "global-model": ObservationCard(f"{_AT}.weights:GlobalModel", WEIGHTS, one_model),
    "global-from-updates": ObservationCard(f"{_AT}.weights:GlobalFromUpdates", UPDATES, one_update),
    "prototypes": ObservationCard(f"{_AT}.prototypes:Prototypes", PROTOTYPES, class_means),
}
"""What whoever is told as much observes, and follows the protocol or not: an active server sees all that a passive one
sees."""

OBSERVATIONS: Mapping[str, ObservationCard] = {**ACTIVE, **PASSIVE}


def observable(sight: Sight) -> tuple[str, ...]:
    """Names of the observations that an adversary can make. UsageError where there is none, and says why.

    An active one makes those of a passive one too, of the run in which it plants and forges nothing; where nothing is
    to be planted or forged it is none.
    """
    active = sight.adversary.power == "active"
    if sight.me is not None and sight.wire.federation.clients == 1:
        raise _none(sight, "there is no other client")
    cards = {name: card for name, card in _cards(sight).items() if card.plays in (None, *sight.wire.played)}
    able = tuple(name for name, card in cards.items() if card.allowed(sight))
    if set(able) & set(ACTIVE if active else PASSIVE):
        return able
    raise _none(sight, _why_not_active(sight) if active else _why_not(sight))


def what_is_read(wire: Wire, names: Iterable[str]) -> str:
    """In words, what clients send that observations ``names`` are made of; what a part from outside reads is not known,
    and is taken for what they send first."""
    kinds = [OBSERVATIONS[name].reads if name in OBSERVATIONS else frozenset[str]() for name in names]
    return " and ".join(dict.fromkeys(map(wire.called, kinds))) or wire.what_is_sent


def _cards(sight: Sight) -> Mapping[str, ObservationCard]:
    return OBSERVATIONS if sight.adversary.power == "active" else PASSIVE


UNPLAYED: dict[Played, str] = {
    "training": "how a client trains is known to its own loop alone; one that goes by game.training, with "
    "cross-entropy on the labels, can be played",
    "answers": "what a client does between two answers is known to the protocol alone; one with a method course(heard) "
    "can be played",
}
"""Why nobody can play a client."""


def unplayed(sight: Sight) -> tuple[str, ...]:
    """What an adversary could decode jointly if it could play a client, and why it cannot; a line each."""
    missed: dict[Played, list[str]] = {}
    for name, card in _cards(sight).items():
        if card.plays is not None and card.plays not in sight.wire.played and card.allowed(sight):
            missed.setdefault(card.plays, []).append(name)
    return tuple(f"not decoded jointly ({', '.join(names)}): {UNPLAYED[why]}" for why, names in missed.items())


def no_room(sight: Sight) -> str:
    """Why nothing that an adversary sees can be decoded for all candidates together; empty where something can be."""
    if any(card.plays is not None and card.allowed(sight) for card in _cards(sight).values()):
        return ""
    if sight.each(PREDICTIONS) and sight.wire.defended.head_alone:
        return "private training of the last layer alone is not played"
    if sight.each(MODELS):
        return "clients share predictions too, and nothing says where in their training weights are sent"
    if sight.together(PREDICTIONS):
        return "it sees no client's own predictions, only what the server makes of several"
    return "it sees no client's own model or predictions"


def _why_not_active(sight: Sight) -> str:
    if sight.adversary.position == EAVESDROPPER:
        return "an eavesdropper only listens"
    if sight.adversary.position != SERVER:
        return "no active attack of a client is known here"
    if sight.wire.defended.hides_each:
        return "the defense shows the server sums alone, so it cannot read the answer of a single client"
    if any(r.trains_what_it_is_sent for r in sight.releases):
        return "the server's first message follows round 1, and traps are read in a later one: use --rounds 2 or more"
    return (
        f"clients that share {sight.wire.what_is_sent} answer no queries and train no model that the server made, so "
        "there is no fold to plant candidates in and no row to lay a trap in"
    )


def _why_not(sight: Sight) -> str:
    wire = sight.wire
    if wire.silent:
        return "nothing is sent"
    if sight.adversary.position == SERVER and not wire.has_server:
        return "there is no server, nodes send to their neighbours"
    parts = [r.whole_after for r in sight.releases if r.reads in MODELS and not sight.whole(r)]
    known = [rounds for rounds in parts if rounds is not None]
    if known:
        return (
            f"a whole model has crossed the wire only after {max(known)} rounds, and the run ends after "
            f"{wire.federation.rounds}: use --rounds {max(known)} or more"
        )
    return "no whole model crosses the wire" if parts else "nothing that it receives tells of a record"


def _none(sight: Sight, why: str) -> UsageError:
    known = " or ".join(default_adversaries(sight.wire)) or "another protocol"
    return UsageError(
        f"--adversary {sight.adversary.name}: no membership observation of protocol {sight.wire.protocol}: {why}; "
        f"use {known}."
    )
