"""The rows of a paper's table, trained (and attacked) or found again, and its claims judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedprivacy import folder
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.execution.job import Job
from fedprivacy.execution.run import run_jobs
from fedprivacy.judge.result import Verdict
from fedprivacy.study.paper.claims import judged
from fedprivacy.study.paper.recipe import PaperRow, Recipe
from fedprivacy.study.paper.rows import Row, of_results, of_summaries
from fedprivacy.study.resolve import remember, resolve
from fedprivacy.study.runner import Runner


def reproduce(
    chosen: Recipe,
    changes: Mapping[str, Any],
    words: Sequence[str],
    seeds: int,
    where: Path,
    runner: Runner,
    workers: int,
    tick: Callable[[str, int], None],
    started: Callable[[Sequence[Job]], None],
) -> tuple[list[Row], list[Verdict]]:
    """Run the rows that ``words`` name over ``seeds`` and judge the claims; finished jobs are found again.

    Seed by seed, so that a stopped table has as many seeds in every row. ``changes``: the user's, to the settings of
    all rows; whatever they change but where the data lie makes it another task. ``runner`` carries out what is
    attacked. Written to ``reproduction.json``, or beside it where another reproduction is there.
    """
    same_task = not (set(changes) - {"data"} or set(changes.get("data", {})) - {"data_dir"})
    rows = chosen.chosen(words)
    configs = {row.key: chosen.config(row, changes) for row in rows}
    for config in configs.values():
        study = resolve(config)
        remember(study)
        study.protocol.check(study.environment(study.roots[0])[0])
    plain = [row for row in rows if not configs[row.key].attack.attacks]
    jobs = [_job(row.key, configs[row.key], seed, where) for seed in range(seeds) for row in plain]
    if jobs:
        started(jobs)
    threads = next(iter(configs.values())).training.threads
    summaries = {job.name: summary for job, summary in run_jobs(jobs, workers, threads, tick)}
    found = {
        row.key: of_summaries(row, configs[row.key].clients, [summaries[_name(row.key, seed)] for seed in range(seeds)])
        for row in plain
    }
    found |= _attacked([row for row in rows if row not in plain], configs, seeds, runner)
    made = [found[row.key] for row in rows]
    verdicts = judged(chosen, made, same_task)
    content = {
        "recipe": chosen.name,
        "changes": dict(changes),
        "seeds": seeds,
        "rows": [asdict(row) for row in made],
        "verdicts": [asdict(v) for v in verdicts],
    }
    folder.write_beside(where / "reproduction.json", folder.sealed_text(content).encode())
    return made, verdicts


def _attacked(
    rows: Sequence[PaperRow], configs: Mapping[str, RunConfig], seeds: int, runner: Runner
) -> Mapping[str, Row]:
    """Rows that are played as a game, seed by seed: trained, then attacked as declared."""
    done: dict[str, list[Any]] = {row.key: [] for row in rows}
    for seed in range(seeds):
        for row in rows:
            config = configs[row.key]
            config = config.model_copy(update={"seed": config.seed + seed})
            trained, place = runner.train(config.model_copy(update={"attack": AttackConfig()}))
            done[row.key].append((trained, runner.attack(config, place)))
    return {row.key: of_results(row, configs[row.key].clients, *zip(*done[row.key], strict=True)) for row in rows}


def _name(key: str, seed: int) -> str:
    return f"{key}, seed {seed}"


def _job(key: str, config: RunConfig, seed: int, where: Path) -> Job:
    place = where / "rows" / f"{key}-{config.digest()}" / f"seed-{seed}"
    arguments = {"config": config.model_dump_json(), "root": config.seed + seed, "shadow": None, "where": str(place)}
    return Job(_name(key, seed), "fedprivacy.study.job:federate", arguments, config.rounds)
