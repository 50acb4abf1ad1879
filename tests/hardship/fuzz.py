"""5,000 generated bad inputs through the command line, in one process: no traceback, no hang, no changed result.

    make fuzz                                           # all of them
    python tests/hardship/fuzz.py --sample 300 --seed 1 # as `make test` does with a seed of its own

An input is handled well where the command ends with 0, 2 or 3 (1 only by a limit or a refuted claim), says at most one
line on standard error beside the progress, prints nothing that could rewrite a terminal, takes less than half a
minute of cpu, and, for a stored run that somebody damaged, prints what it printed before or nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fedprivacy.study.paper.made
import fedprivacy.study.run
from fedprivacy.cli import main as entry
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.face.record import deal, record
from fedprivacy.study.run import Plan, execute

_found = importlib.util.spec_from_file_location("fuzz_inputs", Path(__file__).with_name("inputs.py"))
assert _found is not None and _found.loader is not None
inputs: Any = importlib.util.module_from_spec(_found)
sys.modules["fuzz_inputs"] = inputs
_found.loader.exec_module(inputs)

PROGRESS = "in all; a line a minute follows."
PATIENCE, WALL = 30.0, 900
"""Cpu-seconds of one command, and seconds for one that waits for what never comes, however slow the machine is."""


class Accepted(BaseException):
    """The input passed every check: training would begin."""


class Hang(BaseException):
    """The command took too long."""


@dataclass(frozen=True)
class Ended:
    """How a command ended; code None: it would have trained."""

    code: int | None
    out: str
    err: str
    fault: str = ""


def base_run(where: Path) -> Path:
    """A finished run with a membership attack, to be damaged."""
    content = {
        "protocol": "mutual",
        "clients": 2,
        "rounds": 2,
        "data": {"dataset": "digits", "candidates": 40, "public_size": 10, "auxiliary": 20},
        "training": {"local_epochs": 1, "model": "mlp-small"},
        "attack": {"attacks": ["membership"], "surrogate_epochs": 2, "adversaries": ["server"], "statistics": ["loss"]},
    }
    execute(build(RunConfig, content, "fuzz"), Plan(where, baselines=False))
    return where


def base_recording(where: Path) -> Path:
    """A whole recording of two rounds in which nobody trained, to be damaged."""
    x, y = np.random.default_rng(0).normal(size=(150, 4)), np.arange(150) % 2
    settings = {"clients": 2, "rounds": 2, "candidates": 30, "auxiliary": 10, "model": "mlp-small"}
    game = deal(x.astype(np.float32), y, **settings)
    with record(where, game) as wire:
        net = game.model()
        wire.started(net)
        for number in (1, 2):
            for client in ("client-0", "client-1"):
                wire.sent(number, client, "server", weights=net)
            wire.sent(number, "server", wire.everyone, weights=net)
        wire.ended("client-0", net)
    return where


def ended(words: tuple[str, ...], trains: bool) -> Ended:
    """The command in this process; unless it ``trains``, it stops where training would begin."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    code: int | None = None
    fault = ""
    argv, sys.argv = sys.argv, ["fedprivacy", *words]

    def late(*_: Any) -> None:
        raise Hang

    before = [signal.signal(which, late) for which in (signal.SIGALRM, signal.SIGPROF)]
    signal.alarm(WALL)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _stopped_before_training(trains):
            entry.main()
    except SystemExit as end:
        code = int(end.code or 0)
    except Accepted:
        pass
    except Hang:
        fault = "hang"
    except BaseException as error:
        fault = f"traceback: {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for which, handler in zip((signal.SIGALRM, signal.SIGPROF), before, strict=True):
            signal.signal(which, handler)
        sys.argv = argv
    for stream in (out, err):
        with contextlib.suppress(ValueError):
            stream.flush()
    return Ended(code, _text(out), _text(err), fault)


def _text(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode(errors="replace") if not stream.closed else ""  # type: ignore[attr-defined]


@contextlib.contextmanager
def _stopped_before_training(trains: bool) -> Iterator[None]:
    def accepted(*_: Any, **__: Any) -> None:
        raise Accepted

    places = () if trains else (fedprivacy.study.run, fedprivacy.study.paper.made)
    kept = [place.run_jobs for place in places]
    for place in places:
        place.run_jobs = accepted  # type: ignore[assignment]
    try:
        yield
    finally:
        for place, jobs in zip(places, kept, strict=True):
            place.run_jobs = jobs


def fault(case: Any, found: Ended, sound: Ended | None) -> str:
    """What is wrong with how a command dealt with an input, if anything. ``sound``: how it ends without the damage."""
    if found.fault:
        return found.fault
    if found.code not in (None, 0, 1, 2, 3):
        return f"exit {found.code}"
    if found.code == 1 and not ("REFUTED" in found.out or "limit" in found.err):
        return f"exit 1 without a broken limit: {found.err[-300:]}"
    if "Traceback" in found.err or "not foreseen" in found.err:
        return f"not foreseen: {found.err[-500:]}"
    said = [line for line in found.err.splitlines() if not line.endswith(PROGRESS)]
    if found.code in (2, 3) and (len(said) != 1 or not said[0].startswith("fedprivacy: ")):
        return f"not one line: {found.err[-500:]!r}"
    if any(not (c.isprintable() or c == "\n") for c in found.out + found.err):
        return f"control characters: {(found.out + found.err)[-300:]!r}"
    told = "whole rounds of the" in found.err  # a log that was cut is one of a federation that was killed
    if sound is not None and not (case.forged or told) and found.code == 0 and _bare(found.out) != _bare(sound.out):
        return "another result than the run's own, in silence"
    return ""


def _bare(out: str) -> str:
    """A report without the times that it took."""
    kept = (line for line in out.splitlines() if not any(word in line for word in ("seconds", "cpu", "Run folder")))
    return "\n".join(kept)


def tried(chosen: list[tuple[str, int]], place: Path) -> dict[str, list[tuple[str, str]]]:
    """Every chosen input; by kind, the faults as (which, what). The kinds without any are there too."""
    sources = {
        "folder": base_run(place / "run" / "mutual"),
        "recording": base_recording(place / "recorded" / "recording"),
    }
    home = Path.cwd()
    sound: dict[tuple[str, ...], Ended] = {}
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in inputs.SHARES}
    for kind, number in chosen:
        where = place / "work"
        where.mkdir()
        os.chdir(where)
        try:
            source = sources.get(kind, sources["folder"])
            one = inputs.case(kind, number, source)
            stored = kind in inputs.STORED
            if stored and one.words not in sound:
                sound[one.words] = ended(one.words, True)
                assert sound[one.words].code == 0, sound[one.words]
                _forget_others(source)
            one.prepare(where)
            words = fault(one, ended(one.words, stored), sound.get(one.words))
            one.repair()
            _forget_others(source)
        finally:
            os.chdir(home)
            shutil.rmtree(where)
        if words:
            found[kind].append((f"{kind} {number}: {' '.join(one.words)[:300]!r}", words))
    return found


def _forget_others(run: Path) -> None:
    """Remove what an attack wrote beside the run."""
    for other in run.parent.iterdir():
        if other != run:
            shutil.rmtree(other) if other.is_dir() else other.unlink()


def chosen(sample: int | None, seed: str) -> list[tuple[str, int]]:
    """All inputs, or a sample of them by a named seed."""
    every = [(kind, number) for kind, share in inputs.SHARES.items() for number in range(share)]
    return every if sample is None else sorted(random.Random(seed).sample(every, sample))


def main() -> int:
    """Exit code: 0 where every input was handled well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=None)
    parser.add_argument("--seed", default="make fuzz")
    parser.add_argument("--kind", default=None)
    asked = parser.parse_args()
    which = [pair for pair in chosen(asked.sample, asked.seed) if asked.kind in (None, pair[0])]
    with tempfile.TemporaryDirectory() as place:
        found = tried(which, Path(place))
    counts = Counter(kind for kind, _ in which)
    for faults in found.values():
        for what, words in faults:
            print(f"{what}\n    {words}")
    print(f"{'kind':10}{'tried':>8}{'wrong':>8}")
    for kind, faults in found.items():
        print(f"{kind:10}{counts[kind]:8}{len(faults):8}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
