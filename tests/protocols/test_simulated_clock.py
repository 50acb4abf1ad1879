"""The simulated clock: order, staleness, concurrency, and what a round is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import ClockOptions, FedAsyncOptions, FedBuffOptions
from fedprivacy.federation import asynchrony
from fedprivacy.federation.asynchrony import IDLE, Clock
from fedprivacy.protocols.fedasync import FedAsync
from fedprivacy.protocols.fedbuff import FedBuff
from fedprivacy.wire.parties import SERVER, client_index

MakeWorld = Callable[..., Any]
PUSH = re.compile(r"push at (\S+), (\d+) late")


def pushes(done: Any) -> list[tuple[int, float, int]]:
    """(client, time, versions late) of every push, in order."""
    found = []
    for m in done.transcript.messages:
        if m.sender != SERVER:
            match = PUSH.fullmatch(m.purpose)
            assert match
            found.append((client_index(m.sender), float(match[1]), int(match[2])))
    return found


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.01, 9)), max_size=30))
def test_time_never_runs_backwards(jobs: list[tuple[int, float]]) -> None:
    clock = Clock(0.0, 0, (IDLE,) * 4, (0,) * 4, (0,) * 4)
    for client, length in jobs:
        if clock.arrival[client] == IDLE:
            clock = clock.begun(client, length)
        else:
            before, first = clock.now, clock.following()
            assert clock.arrival[first] == min(clock.arrival)
            clock = clock.finished(first)
            assert clock.now >= before
            assert first in clock.waiting
    assert Clock.of_part(clock.to_part()) == clock


def test_a_clock_is_plain_tensors() -> None:
    part = Clock(1.5, 2, (IDLE, 3.0), (1, 2), (0, 1)).to_part()
    assert all(isinstance(tensor, torch.Tensor) for tensor in part.values())


def test_ties_go_to_the_lowest_number() -> None:
    assert Clock(0.0, 0, (2.0, 1.0, 1.0), (1,) * 3, (0,) * 3).following() == 1


def test_durations_come_from_names() -> None:
    own = ClockOptions(speeds="lognormal", spread=0.5)
    assert asynchrony.duration(own, 0, 3, 1) == asynchrony.duration(own, 0, 3, 9)
    assert asynchrony.duration(own, 0, 3, 1) != asynchrony.duration(own, 0, 4, 1)
    assert asynchrony.duration(own, 0, 3, 1) != asynchrony.duration(own, 1, 3, 1)
    anew = ClockOptions(speeds="half-normal")
    assert asynchrony.duration(anew, 0, 3, 1) != asynchrony.duration(anew, 0, 3, 2)
    assert asynchrony.duration(ClockOptions(speeds="equal"), 0, 3, 1) == 1.0
    logs = np.log([asynchrony.duration(own, 0, client, 1) for client in range(2000)])
    assert logs.mean() == pytest.approx(0, abs=0.05)
    assert logs.std() == pytest.approx(0.5, abs=0.05)
    halves = [asynchrony.duration(anew, 0, client, 1) for client in range(2000)]
    assert np.mean(halves) == pytest.approx(np.sqrt(2 / np.pi), abs=0.05)
    assert min(halves) > 0


@pytest.mark.parametrize("name", ["fedasync", "fedbuff"])
@pytest.mark.parametrize("speeds", ["lognormal", "half-normal"])
def test_events_are_in_order_and_a_round_is_one_job_a_place(name: str, speeds: str, world: MakeWorld) -> None:
    done = world(name, {"speeds": speeds}, sizes=(6, 6, 6, 6), rounds=5).run()
    times = [time for _, time, _ in pushes(done)]
    assert times == sorted(times)
    by_round = Counter(m.round for m in done.transcript.messages if m.sender != SERVER)
    assert set(by_round.values()) == {4}


def test_fast_clients_push_more_often_in_the_ratio_of_speeds(world: MakeWorld) -> None:
    asked = {"speeds": "lognormal", "spread": 1.0}
    here = world("fedasync", asked, sizes=(5, 5, 5), rounds=20, training={"local_epochs": 1})
    done = pushes(here.run())
    options = FedAsyncOptions.model_validate(asked)
    end = done[-1][1]
    for client in range(3):
        number = sum(who == client for who, _, _ in done)
        assert number == pytest.approx(end / asynchrony.duration(options, 0, client, 1), abs=1)


def test_staleness_is_the_number_of_versions_that_passed(world: MakeWorld) -> None:
    done = world("fedasync", {"spread": 1.0}, sizes=(5, 5, 5, 5), rounds=6, training={"local_epochs": 1}).run()
    version, base = 0, dict.fromkeys(range(4), 0)
    for message in done.transcript.messages:
        if message.sender == SERVER:
            base[client_index(message.receiver)] = version
            assert message.purpose == f"pull, version {version}"
        else:
            client = client_index(message.sender)
            match = PUSH.fullmatch(message.purpose)
            assert match and int(match[2]) == version - base[client]
            version += 1
    assert max(late for _, _, late in pushes(done)) > 1


def test_participation_is_how_many_work_at_the_same_time(world: MakeWorld) -> None:
    here = world("fedasync", sizes=(5, 5, 5, 5), rounds=8, participation=0.5, training={"local_epochs": 1})
    state = here.protocol.init(here.env).state
    assert len(Clock.of_part(state.parts[asynchrony.CLOCK]).waiting) == 2
    done = here.run()
    assert len(Clock.of_part(done.state.parts[asynchrony.CLOCK]).waiting) == 2
    assert {client for client, _, _ in pushes(done)} == {0, 1, 2, 3}
    assert len(pushes(done)) == 16


def test_who_drops_out_ends_its_job_and_sends_nothing(world: MakeWorld) -> None:
    here = world("fedasync", sizes=(5, 5, 5), rounds=10, dropout_rate=0.5, training={"local_epochs": 1})
    done = here.run()
    clock = Clock.of_part(done.state.parts[asynchrony.CLOCK])
    assert 5 <= len(pushes(done)) <= 25
    assert clock.version == len(pushes(done))
    assert sum(clock.jobs) == 30 + 3


def test_equal_speeds_are_in_step(world: MakeWorld) -> None:
    done = pushes(world("fedasync", {"speeds": "equal"}, sizes=(5, 5, 5), rounds=3).run())
    assert [client for client, _, _ in done] == [0, 1, 2] * 3
    assert [time for _, time, _ in done] == [1.0] * 3 + [2.0] * 3 + [3.0] * 3
    assert [late for _, _, late in done] == [0, 1, 2] * 3


def test_a_push_is_mixed_in_by_its_weight(world: MakeWorld) -> None:
    here = world("fedasync", {"alpha": 0.6, "speeds": "equal"}, sizes=(7, 9), rounds=1)
    start = here.protocol.init(here.env).state.parts["server/model"]
    done = here.run()
    first, second = (done.transcript.payload(m).tensors for m in done.transcript.messages if m.sender != SERVER)
    late = 0.6 * 2**-0.5
    for name, tensor in done.state.parts["server/model"].items():
        mixed = (1 - late) * (0.4 * start[name] + 0.6 * first[name]) + late * second[name]
        torch.testing.assert_close(tensor, mixed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "late", "expected"),
    [
        ({"staleness": "constant"}, 9, 1.0),
        ({"staleness": "polynomial"}, 3, 0.5),
        ({"staleness": "hinge"}, 4, 1.0),
        ({"staleness": "hinge"}, 5, 1 / 11),
    ],
)
def test_fedasync_weights(options: dict[str, Any], late: int, expected: float) -> None:
    assert FedAsync(FedAsyncOptions(**options)).weight(late) == pytest.approx(expected)


def test_too_late_is_ignored_but_was_sent(world: MakeWorld) -> None:
    options = {"speeds": "equal", "max_staleness": 0}
    done = world("fedasync", options, sizes=(5, 5, 5), rounds=2).run()
    assert len(pushes(done)) == 6
    assert Clock.of_part(done.state.parts[asynchrony.CLOCK]).version == 2
    assert len(done.events) == 6


def test_fedbuff_steps_by_hand(world: MakeWorld) -> None:
    """Two arrivals a step, the second round one version late for nobody: momentum and learning rate by hand."""
    options = {"buffer": 2, "speeds": "equal", "server_lr": 0.7, "server_momentum": 0.9}
    here = world("fedbuff", options, sizes=(7, 9), rounds=2)
    start = here.protocol.init(here.env).state.parts["server/model"]
    done = here.run()
    sent = [done.transcript.payload(m).tensors for m in done.transcript.messages if m.sender != SERVER]
    for name, tensor in done.state.parts["server/model"].items():
        one, two = (sent[0][name] + sent[1][name]) / 2, (sent[2][name] + sent[3][name]) / 2
        expected = start[name] + 0.7 * one + 0.7 * (0.9 * one + two)
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-6)


def test_a_buffer_outlives_a_round_unless_it_is_flushed(world: MakeWorld) -> None:
    kept = world("fedbuff", {"buffer": 4}, sizes=(5, 5, 5), rounds=2).run().state.parts
    assert int(kept["server/filled"]["arrivals"]) == 2
    assert Clock.of_part(kept[asynchrony.CLOCK]).version == 1
    flushed = world("fedbuff", {"buffer": 4, "flush": True}, sizes=(5, 5, 5), rounds=2).run().state.parts
    assert int(flushed["server/filled"]["arrivals"]) == 0
    assert Clock.of_part(flushed[asynchrony.CLOCK]).version == 2
    assert not torch.equal(kept["server/model"]["head.bias"], flushed["server/model"]["head.bias"])


def test_a_buffer_that_never_fills_is_refused(world: MakeWorld) -> None:
    """Its server would send the start for ever: accuracy of a guess."""
    here = world("fedbuff", {"buffer": 10}, sizes=(5, 5, 5), rounds=3)
    with pytest.raises(UsageError, match="9 jobs end in this run and the buffer takes 10"):
        here.run()


@pytest.mark.parametrize(("clients", "size"), [(1, 1), (3, 2), (10, 5), (19, 10), (40, 10)])
def test_a_buffer_holds_half_of_those_at_work_and_ten_at_most(clients: int, size: int, world: MakeWorld) -> None:
    assert FedBuff(FedBuffOptions()).size(world("fedbuff", sizes=(2,) * clients).env) == size


def test_a_sum_steps_buffer_times_as_far(world: MakeWorld) -> None:
    def moved(reduce: str) -> torch.Tensor:
        options = {"buffer": 3, "speeds": "equal", "reduce": reduce}
        here = world("fedbuff", options, rounds=1)
        start = here.protocol.init(here.env).state.parts["server/model"]["head.weight"]
        end: torch.Tensor = here.run().state.parts["server/model"]["head.weight"]
        return end - start

    torch.testing.assert_close(moved("sum"), 3 * moved("mean"), rtol=1e-4, atol=1e-6)


def test_renormalised_weights_are_one_at_one_version_late() -> None:
    plain, scaled = FedBuff(FedBuffOptions()), FedBuff(FedBuffOptions(renormalise=True))
    assert plain.weight(0) == 1.0
    assert scaled.weight(1) == pytest.approx(1.0)
    assert scaled.weight(0) == pytest.approx(2**0.5)


def test_folds_that_belong_to_rounds_are_refused(world: MakeWorld) -> None:
    here = world("fedasync")
    two = tuple((part[0][:3], part[0][3:]) for part in here.env.members)
    object.__setattr__(here.env, "members", two)
    with pytest.raises(UsageError, match=r"no fold belongs to a round; use data\.layout = 'pools'"):
        here.protocol.check(here.env)


def test_jobs_that_drop_out_fill_no_buffer(world: MakeWorld) -> None:
    """The largest buffer that is taken is as large as the number of updates that come in, by the transcript."""

    def here(size: int, **options: Any) -> Any:
        asked = {"buffer": size, "speeds": "lognormal", **options}
        return world("fedbuff", asked, sizes=(5, 5, 5), rounds=6, dropout_rate=0.5)

    done = here(1).run()
    came = len(pushes(done))
    assert 1 < came < 18
    filled = here(came).run()
    assert Clock.of_part(filled.state.parts[asynchrony.CLOCK]).version == 1
    with pytest.raises(UsageError, match=f"18 jobs end in this run, {came} come in, and the buffer takes {came + 1}"):
        here(came + 1).run()
    here(came + 1, flush=True).run()
