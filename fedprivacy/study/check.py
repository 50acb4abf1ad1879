"""What can be found wrong with a configuration without torch or data: names, and what does not go together."""

from __future__ import annotations

from typing import Any

from fedprivacy import catalog, parts
from fedprivacy.adversary.sight import Wire
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.config.inversion import METHODS, InversionConfig
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.defenses import names as defenses
from fedprivacy.models.names import MODELS
from fedprivacy.wire.release import of_clients


def settings(config: RunConfig) -> None:
    """Raise UsageError for a name that does not exist, or settings that no protocol of that kind can follow."""
    defenses.check(config.defense)
    used, training = catalog.card(config.protocol), config.training
    for attack in config.attack.attacks:
        if attack not in catalog.ATTACKS:
            raise UsageError(f"No attack '{attack}' exists. {near_miss(attack, catalog.ATTACKS)}")
    for model in (training.model, *training.client_models):
        parts.exists("model", model, MODELS)
    if training.local_steps is not None and config.defense.name == "dp-sgd":
        raise UsageError("--local-steps: defense dp-sgd counts epochs; use --local-epochs, or another defense.")
    if len(set(training.client_models)) > 1 and not used.heterogeneous_models:
        raise UsageError(
            f"--client-models: protocol {config.protocol} needs one architecture for all clients; "
            f"different ones work with {catalog.able('heterogeneous_models')}."
        )
    if training.heads == "own" and not used.own_heads:
        raise UsageError(
            f"--heads own: protocol {config.protocol} merges models or compares predictions class by class, so all "
            f"need the same outputs; own ones work with {catalog.able('own_heads')}."
        )


def what_is_sent(config: RunConfig, wire: Wire, options: Any) -> None:
    """Raise UsageError where the defense cannot act on what crosses the wire."""
    defenses.check_releases(config.defense, config.protocol, of_clients(wire.releases), options)


def topology(config: RunConfig, wire: Wire) -> None:
    """Raise UsageError where a topology is asked for and everything passes a server, or where nobody would be heard."""
    asked = config.topology != RunConfig.model_fields["topology"].default
    between = any(release.receivers == "neighbours" for release in wire.releases)
    if asked and wire.has_server and not between:
        raise UsageError(passes_server(config.protocol))
    if between and config.clients < 2:
        raise UsageError(f"--clients: protocol {config.protocol} sends to neighbours, so it needs at least 2 clients.")


def passes_server(protocol: str) -> str:
    """Why a topology is refused where messages pass a server."""
    return (
        f"--topology: protocol {protocol} passes a server, so a topology does nothing; neighbours send to each other "
        f"in {catalog.able('between_neighbours')}."
    )


def guesses(config: RunConfig) -> None:
    """Raise UsageError where an audit is to guess more canaries than there can be."""
    asked, candidates = config.canaries, config.data.candidates
    if asked.guesses is None or config.data.layout != "pools" or (asked.number is None and candidates is None):
        return
    each = (asked.number or 0) * (2 if asked.coins == "pair" else 1) or config.clients * (candidates or 0)
    if asked.guesses > config.seeds * each:
        raise UsageError(f"--guesses: {asked.guesses} guesses need as many canaries; there are {config.seeds * each}.")


def membership(attack: AttackConfig, inclusion: float) -> None:
    """Raise UsageError where a membership game cannot be played or scored so."""
    if inclusion >= 1:
        raise UsageError("--attack membership needs non-members: --inclusion must be below 1, such as 0.5.")
    if attack.known_share < 1 and attack.shadows:
        raise UsageError(
            "--known-share: an adversary that does not know all candidates cannot train federations on them; "
            "use --shadows 0."
        )
    if not attack.shadows:
        for statistic in {*attack.statistics, attack.headline} & catalog.NEED_SHADOWS:
            raise UsageError(f"statistic {statistic} needs references that trained on a candidate: add --shadows 8.")
    statistics(attack)


def statistics(attack: AttackConfig) -> None:
    """Raise UsageError where a statistic or the headline does not exist."""
    for statistic in (*attack.statistics, *filter(None, [attack.headline])):
        parts.exists("statistic", statistic, catalog.STATISTICS)


def stated_labels(config: RunConfig, wire: Wire) -> None:
    """Raise UsageError where labels are to be handed over, and which records were used is known to nobody."""
    if wire.model is not None and wire.model.named_batches:
        return
    strong = "inversion" in config.attack.attacks and config.attack.inversion.knowledge == "strong"
    if strong and config.training.local_steps is not None and catalog.from_outside(config.protocol):
        raise UsageError(
            "--knowledge strong: which records a loop of one's own draws in --local-steps is known to the loop alone, "
            "so their labels cannot be handed over; take its steps from game.batches(client, round), use --knowledge "
            "fair, or leave --local-steps out."
        )


def inversion(wanted: InversionConfig, rounds: int) -> None:
    """Raise UsageError where an inversion attack does not exist, or where it is to begin after the last round."""
    if wanted.first_round > rounds:
        raise UsageError(f"--first-round: there is no round {wanted.first_round} of {rounds}; use 1 to {rounds}.")
    for method in wanted.methods:
        if parts.outside(method) or method in parts.known("reconstruction"):
            parts.exists("reconstruction", method, METHODS)
        elif method not in METHODS:
            raise UsageError(f"--methods: no inversion attack '{method}' exists. Known: {', '.join(METHODS)}.")
