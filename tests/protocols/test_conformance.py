"""What every protocol of the catalog must keep, whatever it does: PROTOCOL x PROPERTY.

Runs are small and real: 8x8 digits, three clients, two rounds. A protocol that cannot do what is asked must say so in
one line before any training.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.protocols import ClockOptions
from fedprivacy.data.records import Division
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment, FederationState
from fedprivacy.federation.interfaces import FederatedProtocol, RoundOutcome, releases_of
from fedprivacy.study.resolve import resolve
from fedprivacy.wire.codec import same_bits, value_bytes
from fedprivacy.wire.parties import SERVER, client_index, client_name

Configure = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A protocol with settings that keep it short."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.options)
        return f"{self.name}({settings})" if settings else self.name


def short(name: str) -> dict[str, Any]:
    """One pass where the default is several, few steps where it is thousands."""
    found: dict[str, Any] = {}
    for field, info in CARDS[name].options.model_fields.items():
        if field.endswith("epochs") and info.default > 1:
            found[field] = 1
        if field in ("steps", "patience"):
            found[field] = 4
    return found


CASES = [Case(name) for name in CARDS] + [
    Case("mutual", (("average_weights", True),)),
    Case("mutual", (("update_order", "sequential"),)),
    Case("mutual", (("peer_mode", "mean"), ("payload", "logits"), ("public_optimizer", "persistent"))),
    Case("mutual", (("payload", "losses"),)),
    Case("mutual", (("payload", "labels"), ("kl_direction", "peer_own"))),
    Case("fedavg", (("weighting", "uniform"), ("public_labels", True))),
    Case("layerwise-async", (("normalise", "clients"), ("deep_every", 1))),
    Case("local", (("public_labels", True),)),
    Case("central", (("public_labels", True), ("match", "steps"))),
]

conforming = pytest.mark.parametrize("case", CASES, ids=repr)


@pytest.fixture
def configured(small_config: Configure) -> Callable[..., Any]:
    """Builds the configuration of a case, changed."""

    def build(case: Case, **changes: Any) -> Any:
        config = small_config(
            protocol=case.name, options={**short(case.name), **dict(case.options)}, **{"rounds": 2, **changes}
        )
        resolve(config)
        return config

    return build


def made(config: Any) -> tuple[FederatedProtocol, Environment]:
    return resolve(config).protocol, resolve(config).environment(config.seed)[0]


@cache
def finished(case: Case, config: str, where: Path) -> engine.Federation:
    """The plain run of a case, once for all tests that look at it."""
    from fedprivacy.config.run import RunConfig

    protocol, env = made(RunConfig.model_validate_json(config))
    return engine.run(protocol, env, where / repr(case))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the plain runs."""
    return tmp_path_factory.mktemp("runs")


def plain(case: Case, configured: Any, runs: Path) -> engine.Federation:
    return finished(case, configured(case).model_dump_json(), runs)


def ran_or_refused(config: Callable[[], Any], where: Path) -> engine.Federation | None:
    """The run, or None where the protocol refuses in one line, before it trains or writes."""
    try:
        protocol, env = made(config())
        return engine.run(protocol, env, where)
    except UsageError as error:
        assert str(error).strip() and "\n" not in str(error)
        assert not where.exists()
        return None


def assert_same_state(a: FederationState, b: FederationState) -> None:
    assert a.round == b.round and list(a.parts) == list(b.parts)
    for part in a.parts:
        assert same_bits(a.parts[part], b.parts[part]), part


def bits(value: Any) -> str:
    """A digest of arrays, tensors and what holds them."""
    state = hashlib.sha256()

    def feed(item: Any) -> None:
        if isinstance(item, np.ndarray):
            state.update(f"{item.dtype}{item.shape}".encode() + np.ascontiguousarray(item).tobytes())
        elif isinstance(item, Tensor):
            feed(item.detach().numpy())
        elif isinstance(item, Mapping):
            for name, content in item.items():
                state.update(str(name).encode())
                feed(content)
        elif isinstance(item, list | tuple):
            for content in item:
                feed(content)
        elif dataclasses.is_dataclass(item):
            feed([getattr(item, field.name) for field in dataclasses.fields(item)])
        else:
            state.update(repr(item).encode())

    feed(value)
    return state.hexdigest()


@dataclass(frozen=True)
class Watched:
    """A protocol whose rounds may not change the state they are given."""

    inner: FederatedProtocol

    def check(self, env: Environment) -> None:
        self.inner.check(env)

    def init(self, env: Environment) -> RoundOutcome:
        return self.inner.init(env)

    def models(self, state: FederationState, env: Environment) -> Any:
        return self.inner.models(state, env)

    def round(self, state: FederationState, round: int, env: Environment, channel: Any) -> RoundOutcome:
        before = bits(state)
        outcome = self.inner.round(state, round, env, channel)
        assert bits(state) == before, "a round changed the state it was given"
        assert outcome.state.round == round
        return outcome


@pytest.mark.parametrize("name", CARDS)
def test_every_card_leads_to_a_protocol(name: str, small_config: Configure) -> None:
    assert isinstance(resolve(small_config(protocol=name)).protocol, FederatedProtocol)


@conforming
def test_equal_seeds_give_equal_bits_and_inputs_stay_untouched(
    case: Case, configured: Any, runs: Path, tmp_path: Path
) -> None:
    protocol, env = made(configured(case))
    before = bits([env.dataset, env.division, env.members])
    with torch.random.fork_rng():
        torch.randn(17)  # the global stream decides nothing
        again = engine.run(Watched(protocol), env, tmp_path)
    assert bits([env.dataset, env.division, env.members]) == before
    first = plain(case, configured, runs)
    assert_same_state(first.state, again.state)
    assert first.history == again.history and first.events == again.events
    assert first.transcript.messages == again.transcript.messages
    for file in (tmp_path / "checkpoint").iterdir():
        assert file.read_bytes() == (runs / repr(case) / "checkpoint" / file.name).read_bytes()


@conforming
def test_another_seed_gives_another_run(case: Case, configured: Any, runs: Path, tmp_path: Path) -> None:
    other = engine.run(*made(configured(case, seed=1)), tmp_path)
    assert bits(other.state) != bits(plain(case, configured, runs).state)


@conforming
def test_a_state_is_plain_finite_tensors(case: Case, configured: Any, runs: Path) -> None:
    done = plain(case, configured, runs)
    for state in (done.before_last, done.state):
        for part, content in state.parts.items():
            for name, tensor in content.items():
                assert type(tensor) is Tensor, (part, name)
                assert not tensor.requires_grad and tensor.device.type == "cpu"
                assert bool(torch.isfinite(tensor.double()).all()), (part, name)


@conforming
def test_models_to_test_fit_their_architecture(case: Case, configured: Any, runs: Path) -> None:
    protocol, env = made(configured(case))
    models = protocol.models(plain(case, configured, runs).state, env)
    assert models
    for owner, (architecture, weights) in models.items():
        logits = env.workbench.logits(architecture, weights, env.dataset.x_test[:5])
        assert logits.shape == (5, 10), owner


@conforming
def test_a_run_that_goes_on_equals_one_that_never_stopped(
    case: Case, configured: Any, runs: Path, tmp_path: Path
) -> None:
    class Stop(BaseException):
        """The process dies after round 1."""

    def die(done: int) -> None:
        if done == 1:
            raise Stop

    with pytest.raises(Stop):
        engine.run(*made(configured(case)), tmp_path, progress=die)
    resumed = engine.run(*made(configured(case)), tmp_path)
    whole = plain(case, configured, runs)
    assert_same_state(resumed.state, whole.state)
    assert_same_state(resumed.before_last, whole.before_last)
    assert resumed.history == whole.history and resumed.events == whole.events
    assert resumed.transcript.messages == whole.transcript.messages


@conforming
def test_bytes_are_those_of_the_encoded_messages_and_parties_exist(case: Case, configured: Any, runs: Path) -> None:
    done = plain(case, configured, runs)
    parties = {SERVER, *map(client_name, range(3))}
    for message in done.transcript.messages:
        data = done.transcript.store.get(message.digest)
        assert message.encoded_bytes == len(data) and message.payload_bytes == value_bytes(data)
        assert hashlib.sha256(data).hexdigest() == message.digest
        assert message.sender != message.receiver and {message.sender, message.receiver} <= parties
        assert message.kind == done.transcript.payload(message).kind
        assert 1 <= message.round <= 2
    for fold in done.transcript.folds:
        assert fold.bytes >= len(fold.records) * 64 and 0 <= fold.receivers <= 3
    if CARDS[case.name].bound:
        assert not done.transcript.messages


@conforming
def test_what_clients_send_was_declared_and_has_a_privacy_event(case: Case, configured: Any, runs: Path) -> None:
    done = plain(case, configured, runs)
    protocol, env = made(configured(case))
    declared = releases_of(protocol, env)
    from_clients = [m for m in done.transcript.messages if m.sender != SERVER]
    assert bool(from_clients) == bool(declared)
    assert {(e.client, e.round) for e in done.events} == {(client_index(m.sender), m.round) for m in from_clients}
    assert {e.release for e in done.events} == {release.name for release in declared}
    assert all(not np.isfinite(getattr(e.mechanism, "sigma", np.inf)) for e in done.events)


def permuted(env: Environment, order: list[int]) -> Environment:
    """The same pools, handed to the clients in another order."""
    division = env.division
    candidates = tuple(division.candidates[k] for k in order)
    validation = tuple(division.validation[k] for k in order)
    moved = Division(division.warmup, candidates, validation, division.public, division.auxiliary)
    return dataclasses.replace(env, division=moved, members=tuple(env.members[k] for k in order))


SIMULTANEOUS = [
    case
    for case in CASES
    if not issubclass(CARDS[case.name].options, ClockOptions) and ("update_order", "sequential") not in case.options
]

SEEDLESS: dict[str, Any] = {"training": {"batch_size": 1000, "optimizer": "sgd", "lr": 0.1}}
"""Whole-fold batches: no client's own seed matters, and what is left is the order of floating-point sums."""


def without_own_seeds(case: Case) -> Case:
    """FedKD's clients each draw a projection between hidden states: left out."""
    return Case(case.name, (*case.options, ("hidden_weight", 0.0))) if case.name == "fedkd" else case


def furthest(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


@pytest.mark.parametrize("case", SIMULTANEOUS, ids=repr)
def test_the_order_of_clients_permutes_the_results_and_nothing_else(
    case: Case, configured: Any, tmp_path: Path
) -> None:
    protocol, env = made(configured(without_own_seeds(case), **SEEDLESS))
    order = [2, 0, 1]
    straight = engine.run(protocol, env, tmp_path / "straight")
    turned = engine.run(protocol, permuted(env, order), tmp_path / "turned")
    tested = protocol.models(straight.state, env)
    for owner, (_, weights) in protocol.models(turned.state, env).items():
        other = client_name(order[client_index(owner)]) if owner.startswith("client-") else owner
        assert furthest(weights, tested[other][1]) < 1e-4, owner
    sizes = [sorted((m.round, m.kind, m.payload_bytes) for m in run.transcript.messages) for run in (straight, turned)]
    assert sizes[0] == sizes[1]


def test_clients_differ_by_more_than_that_test_allows(configured: Any, tmp_path: Path) -> None:
    done = engine.run(*made(configured(Case("mutual"), **SEEDLESS)), tmp_path)
    assert furthest(done.state.parts["client-0/model"], done.state.parts["client-1/model"]) > 1e-3


@pytest.mark.parametrize("case", SIMULTANEOUS, ids=repr)
def test_identical_clients_stay_identical(case: Case, configured: Any, tmp_path: Path) -> None:
    """FedMD with squared error: the gradient of its absolute error is the sign of rounding noise at a distance of 0."""
    case = Case("fedmd", (("digest", "mse"),)) if case.name == "fedmd" else without_own_seeds(case)
    protocol, env = made(configured(case, **SEEDLESS))
    done = engine.run(protocol, permuted(env, [1, 1, 1]), tmp_path)
    models = [done.state.parts[part] for part in done.state.parts if part.endswith("/model") and part[0] == "c"]
    assert len(models) == (1 if case.name == "central" else 3)
    assert all(furthest(models[0], other) < 1e-5 for other in models[1:])


UNUSUAL: dict[str, dict[str, Any]] = {
    "one client": {"clients": 1},
    "two clients, one round": {"clients": 2, "rounds": 1},
    "half take part, all fresh": {
        "clients": 4,
        "participation": 0.5,
        "training": {"optimizer_state": "fresh", "init": "independent"},
    },
    "many drop out, shards": {"dropout_rate": 0.7, "seed": 3, "data": {"partition": "shards"}},
}


@conforming
@pytest.mark.parametrize("unusual", UNUSUAL)
def test_unusual_federations_run(case: Case, unusual: str, configured: Any, tmp_path: Path) -> None:
    changes = UNUSUAL[unusual]
    done = ran_or_refused(lambda: configured(case, **changes), tmp_path / "run")
    if CARDS[case.name].between_neighbours and unusual == "one client":
        assert done is None  # nobody would hear it
        return
    assert done is not None
    assert done.state.round == changes.get("rounds", 2)
    models = [content for part, content in done.state.parts.items() if part.endswith("/model")]
    assert models and all(bool(torch.isfinite(t.double()).all()) for content in models for t in content.values())


@conforming
def test_public_records_are_needed_where_the_card_says_so(case: Case, configured: Any, tmp_path: Path) -> None:
    done = ran_or_refused(lambda: configured(case, data={"public_size": 0}), tmp_path / "run")
    needed = CARDS[case.name].public_data or ("public_labels", True) in case.options
    assert (done is None) == needed


@conforming
def test_different_models_work_or_are_refused_in_one_line(case: Case, configured: Any, tmp_path: Path) -> None:
    done = ran_or_refused(lambda: configured(case, training={"client_models": ("mlp", "cnn")}), tmp_path / "run")
    able = CARDS[case.name].heterogeneous_models and ("average_weights", True) not in case.options
    assert (done is not None) == able


@conforming
def test_one_sigmoid_output_works(case: Case, configured: Any, binary_digits: str, tmp_path: Path) -> None:
    data = {"dataset": "npz", "data_dir": binary_digits}
    protocol, env = made(configured(case, data=data, training={"output": "sigmoid"}))
    done = engine.run(protocol, env, tmp_path)
    for architecture, weights in protocol.models(done.state, env).values():
        assert env.workbench.logits(architecture, weights, env.dataset.x_test[:5]).shape == (5, 1)
