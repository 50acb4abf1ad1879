"""Each adversary of a run looks at what it received of one federation; what it saw is written, no coin and no model.

An observation that fails is written with its cause, so that the report shows the failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fedprivacy import catalog, folder, parts, seeds
from fedprivacy.adversary.threat import Adversary, Bool, view_of
from fedprivacy.attacks.labels.observe import LabelEstimates, observe_labels
from fedprivacy.attacks.membership.headline import STACK
from fedprivacy.config.run import RunConfig
from fedprivacy.data.canaries import canaries
from fedprivacy.data.records import Division
from fedprivacy.federation import engine, phases
from fedprivacy.federation.environment import Environment, Part, round_half_up
from fedprivacy.federation.interfaces import Defense, FederatedProtocol, SharesPredictions
from fedprivacy.federation.knowledge import Knowledge, Observation, Observed, Rules
from fedprivacy.study.resolve import resolve
from fedprivacy.study.traps import lay_traps, remove_traps
from fedprivacy.wire.transcript import Transcript

ARRAYS = ("population_logp", "reference_logp", "reference_population_logp", "surrogate_logp", "scores")
SIMULATED = ("simulated_logp", "simulated_population_logp", "simulated_in")


def observed_path(place: Path, adversary: Adversary, observation: str) -> Path:
    """Where a federation's folder holds what an adversary observed."""
    return place / "observed" / f"{adversary.name}--{parts.title(observation)}.safetensors"


def observe_all(
    config: RunConfig,
    env: Environment,
    division: Division,
    defense: Defense | None,
    done: engine.Federation,
    root: int,
    place: Path,
    shadow: bool = False,
) -> None:
    """Write what every adversary of ``config`` observes, each under its own name.

    Of a ``shadow`` federation only what serves as a reference.
    """
    protocol = resolve(config).protocol()
    known = known_candidates(config, division, root)
    planted: list[Transcript] | None = None
    for adversary, name in resolve(config).observations:
        observation = catalog.observation(name)
        knowledge = brought(config, env, division, root, observation)
        transcripts = [done.transcript]
        if shadow and getattr(observation, "alone", False) and not stacks_alone(config):
            continue
        if getattr(observation, "reads_planted", False):
            planted = planted or plant(protocol, config, env, defense, done, knowledge, root, place)
            transcripts = planted
        path = observed_path(place, adversary, name)
        try:
            if getattr(observation, "reads_traps", False):
                transcripts = lay_traps(protocol, env, defense, done, adversary, knowledge, place)
            observed = observation.observe(view_of(transcripts, adversary), knowledge)
            save_observed(path, observed if known is None else observed.restricted(known))
        except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
            folder.write_arrays(path, {}, {"failed": str(error) or type(error).__name__})
        remove_traps(place)


def brought(config: RunConfig, env: Environment, division: Division, root: int, observation: Observation) -> Knowledge:
    """What an adversary brings to one of its observations."""
    protocol = resolve(config).protocol()
    follows = bool(getattr(observation, "needs_courses", False))
    return Knowledge(
        config.attack,
        seeds.value(root, "adversary"),
        env.dataset,
        np.concatenate([division.pool(client) for client in range(len(division.candidates))]),
        division.auxiliary,
        env.workbench.with_training(config.training),
        common_start(protocol, env) if getattr(observation, "needs_start", False) else None,
        known_candidates(config, division, root),
        rules(protocol, config, env, division, initial=not follows),
        given_starts(env) if follows else None,
        wire=resolve(config).wire,
    )


def stacks_alone(config: RunConfig) -> bool:
    """Whether shadow federations are decoded jointly too, at the target's cost each, for a stack to learn from."""
    attack = config.attack
    asked = STACK in (*attack.statistics, attack.headline)
    return attack.shadows > 0 and (asked or (attack.effort == "thorough" and not attack.statistics))


def stacks(config: RunConfig, observations: Sequence[str]) -> bool:
    """Whether what one adversary observes is stacked: where shadow federations hold all of it."""
    attack = config.attack
    if not attack.shadows or (attack.statistics and STACK not in attack.statistics and attack.headline != STACK):
        return False
    alone = any(getattr(catalog.observation(name), "alone", False) for name in observations)
    return stacks_alone(config) or not alone


def rules(
    protocol: FederatedProtocol, config: RunConfig, env: Environment, division: Division, initial: bool = True
) -> Rules:
    """What everybody who takes part is told; the state before round 1 where clients start alike, if ``initial``."""
    state = protocol.init(env).state if initial and config.training.init == "shared" else None
    return Rules(protocol, division, lambda other: catalog.defense(config, other), state)


def given_starts(env: Environment) -> Mapping[str, Part] | None:
    """The weights that the clients of each architecture were given, before anything that one did alone."""
    if env.settings.training.init != "shared":
        return None
    parts = phases.start(env).state.parts
    return {env.architecture(client): parts[phases.model_part(client)] for client in range(env.clients)}


def known_candidates(config: RunConfig, division: Division, root: int) -> Bool | None:
    """Which candidates [n], client after client, the adversary knows: a named draw of each pool; None for all."""
    share = config.attack.known_share
    if share == 1:
        return None
    found = []
    for client in range(len(division.candidates)):
        number = len(division.pool(client))
        draw = seeds.numpy_generator(root, "adversary", "known", client).permutation(number)
        found.append(draw < max(1, round_half_up(share * number)))
    return np.concatenate(found)


def observe_label_shares(
    config: RunConfig, env: Environment, division: Division, done: engine.Federation, root: int, place: Path
) -> None:
    """Write every passive adversary's estimate of the clients' label distributions."""
    for adversary, source in resolve(config).label_seats:
        knowledge = Knowledge(
            config.attack,
            seeds.value(root, "adversary", "labels"),
            env.dataset,
            np.concatenate([division.pool(client) for client in range(len(division.candidates))]),
            division.auxiliary,
            env.workbench.with_training(config.training),
            common_start(resolve(config).protocol(), env) if source == "models" else None,
            wire=resolve(config).wire,
        )
        path = labels_path(place, adversary)
        try:
            found = observe_labels(view_of([done.transcript], adversary), knowledge, source)
        except (ValueError, FloatingPointError) as error:
            folder.write_arrays(path, {}, {"failed": str(error)})
            continue
        arrays = {f"shares/{name}": shares for name, shares in found.shares.items()}
        header = {"order": list(found.shares), "observation": found.observation, "notes": list(found.notes)}
        folder.write_arrays(path, {**arrays, "prior": found.prior}, header)


def load_label_shares(path: Path) -> LabelEstimates | str:
    """The estimates that :func:`observe_label_shares` wrote, or the cause of a failure."""
    arrays, header = folder.read_arrays(path)
    if "failed" in header:
        return str(header["failed"])
    shares = {name: arrays[f"shares/{name}"] for name in header["order"]}
    return LabelEstimates(shares, arrays["prior"], header["observation"], tuple(header["notes"]))


def labels_path(place: Path, adversary: Adversary) -> Path:
    """Where a federation's folder holds an adversary's estimates of label distributions."""
    return place / "observed" / f"{adversary.name}--labels.safetensors"


def common_start(protocol: FederatedProtocol, env: Environment) -> Part | None:
    """The weights that everybody begins from: those of the model that travels, or of the clients; None for neither.

    None too where the server begins from one client's model and the others from models of their own.
    """
    parts = protocol.init(env).state.parts
    if "server/model" in parts:
        start = parts["server/model"]
        shared = [parts.get(f"client-{client}/model") is start for client in range(env.clients)]
        return start if all(shared) or not any(shared) else None
    return parts.get("client-0/model") if env.settings.training.init == "shared" else None


def plant(
    protocol: FederatedProtocol,
    config: RunConfig,
    env: Environment,
    defense: Defense | None,
    done: engine.Federation,
    knowledge: Knowledge,
    root: int,
    place: Path,
) -> list[Transcript]:
    """What an active server receives that plants candidates, and its own records, in the public folds.

    Where an audit chose canaries, they alone are planted, ahead of the adversary's own records.
    ``last``: the honest rounds, then alternative last rounds. ``spread``, and for a protocol whose last round cannot be
    played by itself: one run with a share of each fold replaced.
    Of a static set the same records stand in every round, so there is room for one fold of probes in all.
    """
    rng = seeds.numpy_generator(root, "adversary", "probes")
    if config.canaries.number is None:
        probes = rng.permutation(np.concatenate([knowledge.candidates, knowledge.auxiliary]))
    else:
        guessed = np.concatenate(canaries(env.division, config.canaries, root))
        probes = np.concatenate([rng.permutation(knowledge.candidates[guessed]), rng.permutation(knowledge.auxiliary)])
    share, regular = config.attack.planted_share, env.division.public
    if config.attack.schedule == "last" and isinstance(protocol, SharesPredictions):
        last = engine.probe_last_round(protocol, env, done.before_last, probes, share, place / "probes", defense)
        return [rounds_before(done.transcript, env.rounds), *last]
    if is_static(config):
        fold = next(engine.planted_folds(probes, regular[0], share))
        planted = dict.fromkeys(range(1, env.rounds + 1), fold)
    else:
        planted = engine.spread_probes(probes, regular, share)
    return [engine.run(protocol, env.with_planted(planted), place / "active", defense).transcript]


def is_static(config: RunConfig) -> bool:
    """Whether the same public records are used in every round."""
    return any(release.fixed_fold for release in resolve(config).wire.releases)


def rounds_before(transcript: Transcript, last: int) -> Transcript:
    """The rounds before the last one."""
    folds = tuple(fold for fold in transcript.folds if fold.round < last)
    kept = transcript.restricted(lambda message: message.round < last)
    return Transcript(kept.messages, folds, kept.store)


def save_observed(path: Path, observed: Observed) -> None:
    """What an adversary observed, as safetensors."""
    arrays = {"logp": observed.logp, "seen": observed.seen, "clean": observed.clean}
    for name in (*ARRAYS, *SIMULATED):
        values = getattr(observed, name)
        if values is not None:
            arrays[name] = values
    folder.write_arrays(path, arrays, {"floor": dict(observed.floor), "notes": list(observed.notes)})


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
        **{name: arrays[name] for name in (*ARRAYS, *SIMULATED) if name in arrays},
    )
