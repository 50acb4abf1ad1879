"""Asynchronous federations on a simulated clock: clients finish one after another, each at its own speed.

No threads: an event queue, filled from named seeds, so a run is reproducible and its state is plain tensors. A job is
one client's download, local training and upload. A round is as many finished jobs as clients work at the same time,
which makes it as much work as a round in step. ``participation`` is the share of the clients that work at the same
time; whoever finishes makes way for a client drawn from those who wait.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import ClockOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part, Work, round_half_up
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Weights

CLOCK = "server/clock"
"""Part of a state that holds the clock."""

IDLE = math.inf

T = TypeVar("T")


@dataclass(frozen=True)
class Clock:
    """Simulated time, and what each client is at.

    ``arrival``: when its message comes in, infinite for a client that waits; ``jobs``: how many it has begun;
    ``base``: version of the global model that its present job started from.
    """

    now: float
    version: int
    arrival: tuple[float, ...]
    jobs: tuple[int, ...]
    base: tuple[int, ...]

    @property
    def waiting(self) -> list[int]:
        """Clients that are at no job."""
        return [client for client, time in enumerate(self.arrival) if time == IDLE]

    def following(self) -> int:
        """The client whose message comes in next; of several at the same time the lowest number."""
        return min(range(len(self.arrival)), key=lambda client: (self.arrival[client], client))

    def begun(self, client: int, duration: float) -> Clock:
        """The clock after ``client`` has pulled the present model and begun a job."""
        return replace(
            self,
            arrival=_with(self.arrival, client, self.now + duration),
            jobs=_with(self.jobs, client, self.jobs[client] + 1),
            base=_with(self.base, client, self.version),
        )

    def finished(self, client: int) -> Clock:
        """The clock when the message of ``client`` comes in."""
        return replace(self, now=self.arrival[client], arrival=_with(self.arrival, client, IDLE))

    def stepped(self) -> Clock:
        """The clock after the global model has changed once more."""
        return replace(self, version=self.version + 1)

    def to_part(self) -> Part:
        """As plain tensors."""
        return {
            "now": torch.tensor(self.now, dtype=torch.float64),
            "version": torch.tensor(self.version),
            "arrival": torch.tensor(self.arrival, dtype=torch.float64),
            "jobs": torch.tensor(self.jobs),
            "base": torch.tensor(self.base),
        }

    @staticmethod
    def of_part(part: Part) -> Clock:
        """The clock that :meth:`to_part` wrote."""
        jobs, base = tuple(map(int, part["jobs"])), tuple(map(int, part["base"]))
        return Clock(float(part["now"]), int(part["version"]), tuple(map(float, part["arrival"])), jobs, base)


def _with(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])


@dataclass(frozen=True, eq=False)
class Arrival:
    """One finished job: who, the weights it started from, its own, how many versions late, and when."""

    client: int
    start: Part
    end: Part
    late: int
    time: float


Deliver = Callable[[Mapping[str, Part], Arrival], tuple[Mapping[str, Part], int]]
"""(the server's parts, an arrival) -> (the parts that change, how many versions on). Sends the message itself."""


def concurrency(env: Environment) -> int:
    """How many clients work at the same time."""
    return max(1, round_half_up(env.settings.participation * env.clients))


def check(env: Environment, protocol: str) -> None:
    """Raise UsageError where asynchronous training cannot do what is asked."""
    averaging.one_architecture(env, protocol)
    if any(len(folds) > 1 for folds in env.members):
        raise UsageError(
            f"protocol {protocol}: clients work at their own speed, so no fold belongs to a round; "
            "use data.layout = 'pools' with data.schedule = 'whole'."
        )


def duration(options: ClockOptions, root: int, client: int, job: int) -> float:
    """Simulated time of a job, always above 0."""
    if options.speeds == "equal":
        return 1.0
    if options.speeds == "lognormal":
        return float(math.exp(options.spread * seeds.numpy_generator(root, "speed", client).standard_normal()))
    drawn = float(abs(seeds.numpy_generator(root, "speed", client, "job", job).standard_normal()))
    return max(drawn, 1e-6)


def started(env: Environment, options: ClockOptions) -> RoundOutcome:
    """The common start at time 0, with the first clients at work."""
    outcome = averaging.common_start(env)
    return RoundOutcome(outcome.state.having({CLOCK: _first(env, options).to_part()}), outcome.history)


def _first(env: Environment, options: ClockOptions) -> Clock:
    """Time 0, with the first clients at work."""
    clock = nobody = Clock(0.0, 0, (IDLE,) * env.clients, (0,) * env.clients, (0,) * env.clients)
    for client in _called(nobody, env):
        clock = clock.begun(client, duration(options, env.root, client, 1))
    return clock


def planned(env: Environment, options: ClockOptions) -> list[Work]:
    """Every job of the run, under the round that it ends in: the clock runs ahead, for no duration rests on records.

    A client may end several jobs in a round, and none in another.
    """
    clock = _first(env, options)
    found = []
    for round in range(1, env.rounds + 1):
        for _ in range(concurrency(env)):
            client = clock.following()
            found.append(Work(client, round))
            clock = clock.finished(client)
            if clock.now < clock.arrival[clock.following()]:
                for called in _called(clock, env):
                    clock = clock.begun(called, duration(options, env.root, called, clock.jobs[called] + 1))
    return found


def arrivals(env: Environment, options: ClockOptions) -> int:
    """How many jobs of the run come in: those planned that do not drop out, which named seeds decide beforehand."""
    jobs: Counter[int] = Counter()
    found = 0
    for work in planned(env, options):
        jobs[work.client] += 1
        found += not _drops_out(env, work.client, jobs[work.client])
    return found


def asynchronous_round(
    state: FederationState,
    round: int,
    env: Environment,
    channel: Channel,
    options: ClockOptions,
    loss_for: averaging.LossFor,
    deliver: Deliver,
    release: str,
) -> RoundOutcome:
    """Finish as many jobs as clients work at the same time.

    Messages that come in at the same moment are all delivered before anybody pulls a new model. A job that drops out
    ends at its time, but nothing comes in.
    """
    clock = Clock.of_part(state.parts[CLOCK])
    history: list[HistoryRow] = []
    events: list[PrivacyEvent] = []
    for _ in range(concurrency(env)):
        client = clock.following()
        job, late = clock.jobs[client], clock.version - clock.base[client]
        clock = clock.finished(client)
        start = state.parts[phases.model_part(client)]
        parts, rows = job_done(state, round, env, client, job, loss_for)
        history += rows
        state, end = state.having(parts), parts[phases.model_part(client)]
        if not _drops_out(env, client, job):
            changed, versions = deliver(state.parts, Arrival(client, start, end, late, clock.now))
            state, clock = state.having(changed), replace(clock, version=clock.version + versions)
            events.append(phases.unprotected(client, round, release))
        if clock.now < clock.arrival[clock.following()]:
            state, clock = _pulls(state, clock, env, channel, options)
    return RoundOutcome(state.having({CLOCK: clock.to_part()}, round), history, events)


def job_done(
    state: FederationState, round: int, env: Environment, client: int, job: int, loss_for: averaging.LossFor
) -> tuple[dict[str, Part], list[HistoryRow]]:
    """The local training of one job: the parts of the client that change, and what each pass measured."""
    learner = phases.load(env, state, client)
    epochs = phases.fit_private(learner, env, client, job, loss_for(client, learner))
    return phases.store(env, client, learner), phases.rows(epochs, round, client, "private")


def _pulls(
    state: FederationState, clock: Clock, env: Environment, channel: Channel, options: ClockOptions
) -> tuple[FederationState, Clock]:
    called = _called(clock, env)
    names = [client_name(client) for client in called]
    copy = channel.send(SERVER, names, Weights(state.parts[averaging.GLOBAL]), f"pull, version {clock.version}").tensors
    for client in called:
        clock = clock.begun(client, duration(options, env.root, client, clock.jobs[client] + 1))
    return state.having({phases.model_part(client): copy for client in called}), clock


def _called(clock: Clock, env: Environment) -> list[int]:
    """Waiting clients that fill the free places: a seeded draw, named by the number of jobs begun so far."""
    waiting = clock.waiting
    free = concurrency(env) - (env.clients - len(waiting))
    draw = seeds.numpy_generator(env.root, "called", sum(clock.jobs)).permutation(len(waiting))[:free]
    return sorted(waiting[int(place)] for place in draw)


def _drops_out(env: Environment, client: int, job: int) -> bool:
    rate = env.settings.dropout_rate
    return rate > 0 and seeds.numpy_generator(env.root, "dropout", "job", job, client).random() < rate
