"""Each adversary of a run looks at what it received of one federation; what it saw is written, no coin and no model.

An observation that fails is written with its cause, so that the report shows the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fedprivacy import folder, parts, seeds
from fedprivacy.adversary.threat import Adversary, Bool, view_of
from fedprivacy.attacks.membership.headline import STACK
from fedprivacy.config.run import AttackConfig
from fedprivacy.data.records import Division
from fedprivacy.federation import phases
from fedprivacy.federation.environment import Environment, Part, Work, round_half_up
from fedprivacy.federation.interfaces import Defense
from fedprivacy.federation.knowledge import Knowledge, Observation, Observed, Rules
from fedprivacy.study.attempt import attempt
from fedprivacy.study.planted import plant
from fedprivacy.study.ran import Ran, common_start
from fedprivacy.study.resolved import Study
from fedprivacy.study.traps import lay_traps, remove_traps
from fedprivacy.study.variants import stacks_alone
from fedprivacy.wire.transcript import Transcript

ARRAYS = ("population_logp", "reference_logp", "reference_population_logp", "surrogate_logp", "scores")
SIMULATED = ("simulated_logp", "simulated_population_logp", "simulated_in")


def observed_path(place: Path, adversary: Adversary, observation: str) -> Path:
    """Where a federation's folder holds what an adversary observed."""
    return place / "observed" / f"{adversary.name}--{parts.title(observation)}.safetensors"


def looks(study: Study, shadow: bool = False) -> Mapping[Adversary, Sequence[str]]:
    """What each adversary looks at by itself: all but what another in its place saw alike, as an active server and a
    passive one do of an honest run. Of a ``shadow`` federation only what serves as a reference."""
    found: dict[Adversary, list[str]] = {}
    taken = set()
    for adversary, name in study.seats.observations:
        decoded_alone = getattr(study.observation(name), "alone", False) and not stacks_alone(study.attack)
        if (adversary.position, name) not in taken and not (shadow and decoded_alone):
            taken.add((adversary.position, name))
            found.setdefault(adversary, []).append(name)
    return found


def observe_all(ran: Ran) -> None:
    """Write what every adversary observes, each under its own name."""
    for adversary, names in looks(ran.study, ran.shadow).items():
        look(ran, adversary, names)
    share_alike(ran.study, ran.place, ran.shadow)


def look(ran: Ran, adversary: Adversary, names: Sequence[str]) -> None:
    """Write what one adversary observes."""
    study = ran.study
    known = known_candidates(study.attack.known_share, ran.game.division, ran.root)
    planted: list[Transcript] | None = None
    for name in names:
        observation = study.observation(name)
        knowledge = brought(ran, observation)
        transcripts = [ran.done.transcript]
        path = observed_path(ran.place, adversary, name)
        lays = getattr(observation, "reads_traps", False)
        with attempt(path):
            if getattr(observation, "reads_planted", False):
                planted = planted or plant(ran, knowledge)
                transcripts = planted
            if lays:
                transcripts = lay_traps(ran, adversary, knowledge)
            observed = observation.observe(view_of(transcripts, adversary), knowledge)
            save_observed(path, observed if known is None else observed.restricted(known))
        if lays:
            remove_traps(ran.place)


def share_alike(study: Study, place: Path, shadow: bool = False) -> None:
    """Write what one adversary saw as another in its place did under its own name too."""
    first = {
        (a.position, name): observed_path(place, a, name) for a, names in looks(study, shadow).items() for name in names
    }
    for adversary, name in study.seats.observations:
        path, alike = observed_path(place, adversary, name), first.get((adversary.position, name))
        if alike is not None and alike != path:
            folder.write_arrays(path, *folder.read_arrays(alike))


def brought(ran: Ran, observation: Observation) -> Knowledge:
    """What an adversary brings to one of its observations."""
    study, env, division = ran.study, ran.env, ran.game.division
    follows = bool(getattr(observation, "needs_courses", False))
    return ran.knowledge(
        start=common_start(ran.protocol, env) if getattr(observation, "needs_start", False) else None,
        known=known_candidates(study.attack.known_share, division, ran.root),
        rules=rules(study, env, division, initial=not follows),
        starts=given_starts(env) if follows else None,
    )


def stacks(attack: AttackConfig, alone: bool) -> bool:
    """Whether what one adversary observes is stacked: where shadow federations hold all of it.

    ``alone``: whether some of it is decoded in one federation by itself.
    """
    if not attack.shadows or (attack.statistics and STACK not in attack.statistics and attack.headline != STACK):
        return False
    return stacks_alone(attack) or not alone


def rules(study: Study, env: Environment, division: Division, initial: bool = True) -> Rules:
    """What everybody who takes part is told; the state before round 1 where clients start alike, if ``initial``.

    Noise is calibrated to the work of the run, as its claim is, and not to one that an adversary's seeds would draw.
    """
    shared = initial and study.federation.training.init == "shared"
    defense = partial(_calibrated, study.defense, env.work)
    return Rules(study.protocol, division, defense, study.protocol.init(env).state if shared else None)


def _calibrated(
    build: Callable[[Environment], Defense | None], work: tuple[Work, ...], own: Environment
) -> Defense | None:
    """A defense with the seeds of an environment of one's ``own`` and the noise for the ``work`` of a run."""
    return build(replace(own, planned=work))


def given_starts(env: Environment) -> Mapping[str, Part] | None:
    """The weights that the clients of each architecture were given, before anything that one did alone."""
    if env.settings.training.init != "shared":
        return None
    parts = phases.start(env).state.parts
    return {env.architecture(client): parts[phases.model_part(client)] for client in range(env.clients)}


def known_candidates(share: float, division: Division, root: int) -> Bool | None:
    """Which candidates [n], client after client, who knows ``share`` of each pool knows: a named draw; None for all."""
    if share == 1:
        return None
    found = []
    for client in range(len(division.candidates)):
        number = len(division.pool(client))
        draw = seeds.numpy_generator(root, "adversary", "known", client).permutation(number)
        found.append(draw < max(1, round_half_up(share * number)))
    return np.concatenate(found)


def save_observed(path: Path, observed: Observed) -> None:
    """What an adversary observed, as safetensors."""
    arrays = {"logp": observed.logp, "seen": observed.seen, "clean": observed.clean}
    for name in (*ARRAYS, *SIMULATED):
        values = getattr(observed, name)
        if values is not None:
            arrays[name] = values
    header = {"floor": dict(observed.floor), "notes": list(observed.notes), "measured": dict(observed.measured)}
    folder.write_arrays(path, arrays, header)


def load_observed(path: Path) -> Observed | str:
    """The observation that :func:`observe_all` wrote, or the cause of its failure."""
    arrays, header = folder.read_arrays(path)
    if "failed" in header:
        return str(header["failed"])
    return Observed(
        arrays["logp"],
        arrays["seen"],
        arrays["clean"],
        floor=header["floor"],
        notes=tuple(header["notes"]),
        measured=header.get("measured", {}),
        **{name: arrays[name] for name in (*ARRAYS, *SIMULATED) if name in arrays},
    )
