"""What is said of the work where there is no terminal: a line at the start, one a minute with the time left."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace

import pytest

from fedprivacy.cli import progress
from fedprivacy.cli.progress import Display, Work


def work(seconds: list[float]) -> Work:
    """Two federations of four steps; the clock shows the next of ``seconds`` whenever it is read."""
    found = Work(clock=iter(seconds).__next__)
    found.start([SimpleNamespace(name="seed 0", units=4), SimpleNamespace(name="seed 0, local", units=4)])
    return found


def test_the_time_left_follows_from_the_pace() -> None:
    one = work([0.0, 10.0, 40.0])
    assert one.announced() == "2 federations, 8 steps in all; a line a minute follows."
    assert one.told() == "federation 1 of 2 (seed 0), 0 of 8 steps done, no step done yet"
    one.tick("seed 0", 1)
    one.tick("seed 0", 2)
    assert one.told() == "federation 1 of 2 (seed 0), 2 of 8 steps done, about 1 min 30 s left"


def test_steps_that_were_found_are_not_taken_for_speed() -> None:
    one = work([0.0, 0.0, 20.0])
    one.tick("seed 0", 4)
    one.tick("seed 0, local", 1)
    assert one.told() == "federation 2 of 2 (seed 0, local), 5 of 8 steps done, about 30.0 s left"
    for done in (2, 3, 4):
        one.tick("seed 0, local", done)
    assert one.told().startswith("all 8 steps done")


def test_a_pipe_is_told_at_the_start_and_every_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.01)
    told, patience = "", Event()
    with Display(quiet=False) as display:
        display.start([SimpleNamespace(name="seed 0", units=1)])
        for _ in range(1000):
            told += capsys.readouterr().err
            if "0 of 1 step done" in told or patience.wait(0.01):
                break
        display.tick("seed 0", 1)
        patience.wait(0.2)
        told += capsys.readouterr().err
    told = told.removeprefix("preparing data\n")
    assert told.startswith("1 federation, 1 step in all") and "0 of 1 step done" in told and "\x1b" not in told
    assert told.count("all 1 step done") == 1
    with Display(quiet=True) as silent:
        silent.start([SimpleNamespace(name="seed 0", units=1)])
    assert "1 federation" not in capsys.readouterr().err
