"""Work side by side: one piece at a time, in order, met where it asks; whoever is left unwinds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar

import pytest

from fedprivacy.execution.lockstep import Lockstep


def doubled(asked: Sequence[int]) -> list[int]:
    return [2 * one for one in asked]


def test_pieces_meet_where_they_ask_and_go_on_with_their_own_answers() -> None:
    asked: list[list[int]] = []
    steps = Lockstep(lambda some: asked.append(list(some)) or doubled(some))

    def work(number: int) -> Callable[[], int]:
        return lambda: sum(steps.meet(10 * number + turn) for turn in range(number))

    assert steps.run([work(1), work(3), work(0), work(2)]) == [20, 2 * (30 + 31 + 32), 0, 2 * (20 + 21)]
    assert asked == [[10, 30, 20], [31, 21], [32]]
    assert steps.meet(4) == 8  # outside of a run, alone


def test_one_runs_at_a_time_and_sees_what_its_caller_set() -> None:
    inside, most = [], []
    setting: ContextVar[str] = ContextVar("setting", default="")
    setting.set("given")
    steps = Lockstep(doubled)

    def work() -> str:
        for _ in range(20):
            inside.append(threading.current_thread())
            most.append(len(inside))
            inside.pop()
            steps.meet(0)
        return setting.get()

    assert steps.run([work] * 5) == ["given"] * 5
    assert max(most) == 1


@pytest.mark.parametrize("error", [ValueError("its own"), KeyboardInterrupt()])
def test_the_first_error_is_raised_once_the_others_have_unwound(error: BaseException) -> None:
    unwound: list[int] = []
    steps = Lockstep(doubled)

    def fails() -> None:
        steps.meet(0)
        raise error

    def goes_on(number: int) -> Callable[[], None]:
        def work() -> None:
            try:
                while True:
                    steps.meet(number)
            finally:
                unwound.append(number)

        return work

    before = threading.active_count()
    with pytest.raises(type(error)):
        steps.run([goes_on(1), fails, goes_on(2)])
    assert sorted(unwound) == [1, 2] and threading.active_count() == before


def test_an_answer_that_is_an_error_is_raised_where_it_was_asked_for() -> None:
    steps = Lockstep(lambda asked: [ValueError("odd") if one % 2 else one for one in asked])

    def work(number: int) -> Callable[[], str]:
        def does() -> str:
            try:
                return str(steps.meet(number))
            except ValueError as error:
                return str(error)

        return does

    assert steps.run([work(2), work(3)]) == ["2", "odd"]


def test_who_gives_the_answers_may_fail_and_is_interrupted_in_order() -> None:
    unwound: list[bool] = []

    def work() -> None:
        try:
            steps.meet(1)
        finally:
            unwound.append(True)

    def broken(asked: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    steps = Lockstep(broken)
    with pytest.raises(KeyboardInterrupt):
        steps.run([work, work])
    assert unwound == [True, True]
