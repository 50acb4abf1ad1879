"""What the verbs that train have in common: the run folder, the progress display, and clear ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedprivacy import parts
from fedprivacy.cli.progress import Display
from fedprivacy.cli.say import say
from fedprivacy.config.base import Interrupted, UsageError, build, near_miss
from fedprivacy.config.named import named
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve

if TYPE_CHECKING:
    from fedprivacy.judge.result import RunResult
    from fedprivacy.study.resolved import Study
    from fedprivacy.study.run import Plan


def ready(config: RunConfig, workers: int | None, device: str) -> Study:
    """The study of ``config``. UsageError for all that can be found wrong without torch or data."""
    study = resolve(config)
    machine(workers, device)
    return study


def machine(workers: int | None, device: str) -> None:
    """Raise UsageError for workers or a device that there cannot be."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers: must be at least 1 (got {workers}).")
    if device.split(":")[0] not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device: no device '{device}' exists. {near_miss(device, ['cpu', 'cuda', 'mps'])}")
    if device != "cpu":
        import torch

        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError):
            raise UsageError(f"--device: this machine's torch cannot use '{device}'; use --device cpu.") from None


def placed(config: RunConfig, out: Path) -> Path:
    """The run folder of a configuration: named by what it is and the digest of all its settings."""
    what = "-".join(config.attack.attacks) or "training"
    code = parts.fingerprint(named(config))
    words = (config.protocol, what, config.data.dataset, config.digest()[:8], code)
    return out / "-".join(dict.fromkeys(parts.title(word) for word in words if word))


def trusted(config: RunConfig, where: Path, allowed: bool) -> None:
    """Raise UsageError where a stored run names code from outside and nobody ``allowed`` it to run."""
    if code := [] if allowed else parts.from_elsewhere(named(config)):
        raise UsageError(
            f"{where} names code from outside ({', '.join(code)}), which would run with your rights; add --allow-code "
            "if you trust it."
        )


def carry_out(
    study: Study,
    where: Path,
    workers: int | None,
    device: str,
    resume: bool,
    fresh: bool,
    baselines: bool,
    quiet: bool,
    again: str,
    exact: bool = False,
) -> RunResult:
    """Run ``study`` in ``where``, or read the result that is already there."""

    def work(plan: Plan) -> RunResult:
        from fedprivacy.study.run import carried_out

        return carried_out(study, plan)

    return taken_up(work, study, where, workers, device, resume, fresh, baselines, quiet, again, exact=exact)


def taken_up(
    work: Callable[[Plan], RunResult],
    study: Study,
    where: Path,
    workers: int | None,
    device: str,
    resume: bool,
    fresh: bool,
    baselines: bool,
    quiet: bool,
    again: str,
    whole: Callable[[RunResult], bool] = lambda result: True,
    exact: bool = False,
) -> RunResult:
    """What ``work`` makes in ``where``, or the stored result where it is ``whole``; ``again``: how to go on."""
    if fresh and resume:
        raise UsageError("--resume goes on with a run and --fresh throws it away: give one of the two.")
    writable(where)
    from fedprivacy.study import stored
    from fedprivacy.study.run import Plan

    with stored.at_work(where):
        if fresh:
            stored.clear(where)
        if stored.is_run(where):
            identity = stored.Identity.of_run(study.config, study.dataset.digest, device, baselines, exact=exact)
            identity.hold(where)
            baselines = baselines or stored.read_identity(where).baselines == "with"
            if (where / stored.RESULT).exists() and whole(found := read_result(where)):
                say(f"Found in {where}; nothing to train. --fresh runs it again.")
                return found
            if not resume:
                raise UsageError(f"{where} holds an unfinished run: add --resume to go on, or --fresh to start over.")
        with Display(quiet) as display, clear_ends(again):
            cores = workers or os.cpu_count() or 1
            told = display.tick, display.start, display.say
            return work(Plan(where, cores, resume, device, baselines, *told, exact=exact))


def attacked_again(
    study: Study,
    run: Path,
    where: Path,
    device: str,
    fresh: bool,
    quiet: bool,
    workers: int = 1,
    resume: bool = False,
    note: str | None = None,
    exact: bool = False,
) -> RunResult:
    """What attacking ``run`` again gives in ``where``, or gave there before; ``note`` as in ``again.attack_again``."""
    from fedprivacy.study import again, stored
    from fedprivacy.study.run import Plan

    again.check(study, run)
    if where.resolve() == run.resolve():
        say(f"{run} is that run: the same attack with the same settings. Nothing is done.")
        return read_result(run)
    writable(where)
    with stored.at_work(where):
        if fresh:
            stored.clear(where)
        if stored.is_run(where):
            again.identity(study, run, device, exact).hold(where)
            if (where / stored.RESULT).exists():
                say(f"Found in {where}; --fresh attacks again.")
                return read_result(where)
            if not resume:
                raise UsageError(f"{where} holds an unfinished attack: add --fresh to start over.")
        words = f"`fedprivacy attack {run}` with --fresh"
        with Display(quiet) as display, clear_ends(words):
            told = display.tick, display.start, display.say
            plan = Plan(where, workers, False, device, True, *told, exact=exact)
            return again.attack_again(study, run, plan, note)


@contextmanager
def clear_ends(again: str) -> Iterator[None]:
    """Tell an interruption, and training that diverges, in one line; ``again``: how to go on."""
    from fedprivacy.training.learner import Diverged

    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; what was finished is kept. Go on with: {again}") from None
    except Diverged as error:
        raise UsageError(f"{error}.") from None


def writable(where: Path, flag: str = "--out") -> None:
    """Raise UsageError where a folder cannot be made or written to, before anything heavy is imported."""
    there = next(place for place in (where, *where.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UsageError(f"{flag}: cannot write to {where}: {there} is a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{flag}: no permission to write to {there}; choose another folder.")


@contextmanager
def made_by_reading(out: str | Path | None, name: str, fresh: bool) -> Iterator[Path | None]:
    """The folder for a report on what was made elsewhere, for one writer; None without ``out``.

    UsageError where it holds something, unless ``fresh``.
    """
    if out is None:
        yield None
        return
    from fedprivacy.study import stored

    where = Path(out) / name
    writable(where)
    with stored.at_work(where):
        if where.is_dir() and any(where.iterdir()):
            if not fresh:
                raise UsageError(f"{where} holds an earlier report: add --fresh to replace it, or use another --out.")
            stored.clear(where)
        yield where


def read_result(where: Path) -> RunResult:
    """The stored result of a run folder."""
    path = where / "result.json"
    if not path.exists():
        unfinished = (where / "config.toml").exists()
        why = "an unfinished run; go on with --resume" if unfinished else "no run folder"
        raise UsageError(f"{where} is {why} (there is no result.json in it).")
    return result_of(sealed(path), path)


def sealed(path: Path) -> dict[str, Any]:
    """What a stored JSON file holds. UsageError where it is damaged."""
    from fedprivacy import folder

    try:
        return folder.read_json(path)
    except folder.Damaged as error:
        raise UsageError(f"{path}: {error}.") from None


def result_of(content: Mapping[str, Any], path: Path) -> RunResult:
    """A result from what ``path`` holds of it. UsageError where it is none."""
    from fedprivacy.judge.result import from_json

    try:
        found = from_json(content)
        if "protocol" in found.config:
            build(RunConfig, dict(found.config), f"{path}: config")
        return found
    except ValueError as error:
        raise UsageError(f"{path}: {error}.") from None
