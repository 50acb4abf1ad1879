"""What is counted beforehand is what is done: every local training and every message of every protocol under noise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import releases_of
from fedprivacy.privacy import PostProcessing
from fedprivacy.privacy.accountant import claim
from fedprivacy.study.resolve import resolve
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.wire.parties import SERVER, client_index

UNIFORM = {"weighting": "uniform"}
VOTED = {"peer_mode": "mean"}
NAMES = {
    "dp-sgd": {"epsilon": 4.0},
    "dp-fedavg": {"epsilon": 8.0, "options": {"clip": 1.0}},
    "gaussian": {"epsilon": 8.0, "options": {"clip": 1.0}},
    "laplace": {"epsilon": 8.0, "options": {"clip": 1.0}},
    "randomized-response": {"epsilon": 8.0},
    "noisy-vote": {"epsilon": 8.0},
}


def settings(protocol: str, defense: str, **more: Any) -> RunConfig:
    fields = CARDS[protocol].options.model_fields
    wanted = {**UNIFORM, **(VOTED if defense == "noisy-vote" else {})}
    options = {name: value for name, value in wanted.items() if name in fields}
    return RunConfig.model_validate(
        {
            "protocol": protocol,
            "options": options,
            "clients": 3,
            "rounds": 2,
            "data": {"dataset": "digits", "candidates": 24, "public_size": 6, "auxiliary": 10},
            "training": {"model": "mlp-small", "local_epochs": 1, "batch_size": 8},
            "defense": {"name": defense, **NAMES[defense]},
            **more,
        }
    )


def able(protocol: str, defense: str, **more: Any) -> tuple[RunConfig, Environment] | str:
    """The run, or why the combination is refused before any training."""
    config = settings(protocol, defense, **more)
    try:
        resolve(config)
        env, _ = resolve(config).environment(0)
        made = resolve(config).protocol
        made.check(env)
        resolve(config).defense(env)
        engine.prepared(env, resolve(config).defense(env))
        made.init(engine.prepared(env, resolve(config).defense(env)))
    except UsageError as refused:
        return str(refused)
    return config, env


MORE: list[dict[str, Any]] = [{}, {"participation": 0.67, "dropout_rate": 0.3}]


@pytest.mark.parametrize("more", MORE, ids=["all", "lossy"])
@pytest.mark.parametrize("defense", NAMES)
@pytest.mark.parametrize("protocol", [name for name in CARDS if name not in ("central", "local")])
def test_counted_is_done(
    protocol: str, defense: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = able(protocol, defense, **more)
    if isinstance(found, str):
        pytest.skip(found)
    config, env = found
    trained: Counter[int] = Counter()
    plain = DpSgd.__call__

    def spied(self: DpSgd, learner: Any, records: Any, epochs: int, seed: Any, *rest: Any) -> Any:
        trained[int(seed[1][1])] += 1
        return plain(self, learner, records, epochs, seed, *rest)

    monkeypatch.setattr(DpSgd, "__call__", spied)
    protocol_of_run, made = resolve(config).protocol, resolve(config).defense(env)
    assert made is not None
    done = engine.run(protocol_of_run, env, tmp_path, made)
    counted = [event for event in done.events if not isinstance(event.mechanism, PostProcessing)]
    if defense == "dp-sgd":
        assert Counter(e.client for e in counted if e.release == "training") == trained
    else:
        names = {release.kind: release.name for release in releases_of(protocol_of_run, env)}
        sent = Counter((client_index(m.sender), names[m.kind]) for m in done.transcript.messages if m.sender != SERVER)
        paid = Counter((e.client, e.release) for e in counted)
        assert all(paid[key] >= number for key, number in sent.items())
        if not more.get("dropout_rate") and protocol != "profe":
            assert paid == sent
    assert claim(done.events, 1e-5).epsilon <= config.defense.epsilon * 1.001 + 1e-6  # type: ignore[operator]


def test_the_last_revisit_is_paid_for() -> None:
    """FedMD's tested models have trained once more than the messages tell."""
    epsilons = {}
    for revisit in (False, True):
        found = able("fedmd", "dp-sgd", options={"last_revisit": revisit})
        assert not isinstance(found, str)
        config, env = found
        made = resolve(config).defense(env)
        assert made is not None
        events = made.events(env, releases_of(resolve(config).protocol, env))
        epsilons[revisit] = len([e for e in events if e.release == "training"])
    assert epsilons == {False: 6, True: 9}


@pytest.mark.parametrize("protocol", ["fedbuff", "fedasync"])
@pytest.mark.parametrize("speeds", ["equal", "lognormal", "half-normal"])
def test_the_clock_is_foreseen(protocol: str, speeds: str, tmp_path: Path) -> None:
    config = settings(protocol, "dp-fedavg", participation=0.67).model_copy(
        update={"defense": RunConfig().defense, "options": {"speeds": speeds}}
    )
    env, _ = resolve(config).environment(3)
    done = engine.run(resolve(config).protocol, env, tmp_path)
    sent = [(client_index(m.sender), m.round) for m in done.transcript.messages if m.sender != SERVER]
    assert [(work.client, work.round) for work in env.work] == sent
