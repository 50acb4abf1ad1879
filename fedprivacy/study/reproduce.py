"""A recipe of a paper: every row as a run on the same data and seeds, beside the published numbers, with a verdict.

The claim is judged on paired differences over seeds, in accuracy at one half and in AUC, so that a better threshold
alone does not count as a better model. A row of the paper's own supports it only if it beats every rival and every
control in both, at a level corrected for the number of own rows; the claim is refuted if every own row loses to a
rival in both. A changed task (other image size, other rounds) is another task: it gets no verdict on the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import catalog, folder
from fedprivacy.config.base import UsageError, build, near_miss
from fedprivacy.config.run import RunConfig
from fedprivacy.execution.pool import Job, run_jobs
from fedprivacy.judge.result import Verdict
from fedprivacy.metrics.intervals import Interval, corrected_level, mean_interval, paired_interval
from fedprivacy.reporting import tidy
from fedprivacy.reporting.text import size
from fedprivacy.study import recipes
from fedprivacy.study.resolve import resolve
from fedprivacy.study.runner import over_seeds, spread


@dataclass(frozen=True)
class Recipe:
    """A paper's setting and its rows."""

    name: str
    title: str
    source: str
    claim: str
    own: tuple[str, ...]
    rivals: tuple[str, ...]
    controls: tuple[str, ...]
    base: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]

    def config(self, row: Mapping[str, Any], changes: Mapping[str, Any]) -> RunConfig:
        """The configuration of one row, with the user's changes to the base."""
        content = _merged(_merged(self.base, changes), {"protocol": row["protocol"], "options": row.get("options", {})})
        return build(RunConfig, content, f"recipe {self.name}, row {row['key']}")


@dataclass(frozen=True)
class Row:
    """What one row gave: per seed the mean over its models; ``published`` as the paper's own figures."""

    key: str
    name: str
    accuracy: tuple[float, ...]
    auc: tuple[float, ...]
    tuned: tuple[float, ...]
    spread: float
    """Standard deviation over clients, mean over seeds; 0 for one model."""
    up_bytes: int
    down_bytes: int
    public_bytes: int
    """Delivery of public records to all clients."""
    start_bytes: int
    """The common warmed-up model, sent to every client before round 1."""
    published: Mapping[str, float]
    cpu_seconds: float
    memory_mb: float


def recipe(name: str) -> Recipe:
    """A recipe that comes with the package."""
    if name not in catalog.RECIPES:
        raise UsageError(f"No recipe '{name}' exists. {near_miss(name, catalog.RECIPES)}")
    content = recipes.table(name)
    return Recipe(
        name,
        content["title"],
        content["source"],
        content["claim"],
        tuple(content["own"]),
        tuple(content["rivals"]),
        tuple(content["controls"]),
        content["base"],
        tuple(content["rows"]),
    )


def reproduce(
    chosen: Recipe,
    changes: Mapping[str, Any],
    keys: Sequence[str],
    seeds: int,
    where: Path,
    workers: int,
    tick: Callable[[str, int], None],
    started: Callable[[Sequence[Job]], None],
) -> tuple[list[Row], list[Verdict]]:
    """Run the rows ``keys`` (all when empty) over ``seeds`` and judge the claim; finished jobs are found again.

    Written to ``reproduction.json``, or beside it where another reproduction is there.
    """
    same_task = not ({"rounds"} & set(changes) or {"image_size"} & set(changes.get("data", {})))
    unknown = set(keys) - {row["key"] for row in chosen.rows}
    if unknown:
        raise UsageError(f"--rows: recipe {chosen.name} has no row {', '.join(sorted(unknown))}.")
    rows = [row for row in chosen.rows if not keys or row["key"] in keys]
    configs = {row["key"]: chosen.config(row, changes) for row in rows}
    for config in configs.values():
        study = resolve(config)
        study.protocol.check(study.environment(config.seed)[0])
    jobs = [_job(row["key"], configs[row["key"]], seed, where) for seed in range(seeds) for row in rows]
    started(jobs)
    threads = next(iter(configs.values())).training.threads
    summaries = {job.name: summary for job, summary in run_jobs(jobs, workers, threads, tick)}
    found = [_row(row, [summaries[f"{row['key']}, seed {seed}"] for seed in range(seeds)]) for row in rows]
    verdicts = [judged(chosen, found, same_task)]
    content = {
        "recipe": chosen.name,
        "changes": dict(changes),
        "seeds": seeds,
        "rows": [asdict(row) for row in found],
        "verdicts": [asdict(v) for v in verdicts],
    }
    folder.write_beside(where / "reproduction.json", folder.sealed_text(content).encode())
    return found, verdicts


def _job(key: str, config: RunConfig, seed: int, where: Path) -> Job:
    place = where / "rows" / f"{key}-{config.digest()}" / f"seed-{seed}"
    arguments = {"config": config.model_dump_json(), "root": config.seed + seed, "shadow": None, "where": str(place)}
    return Job(f"{key}, seed {seed}", "fedprivacy.study.job:federate", arguments, config.rounds)


def _row(row: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> Row:
    def means(metric: str) -> tuple[float, ...]:
        found = [[u[metric] for u in s["utility"].values() if metric in u] for s in summaries]
        return tuple(float(np.mean(values)) for values in found if values)

    singles = [[u["accuracy"] for u in s["utility"].values()] for s in summaries]
    spreads = [float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for values in singles]
    return Row(
        row["key"],
        row["name"],
        means("accuracy"),
        means("auc"),
        means("tuned_accuracy"),
        float(np.mean(spreads)),
        round(float(np.mean([sum(u for u, _ in s["per_round"]) for s in summaries]))),
        round(float(np.mean([sum(d for _, d in s["per_round"]) for s in summaries]))),
        round(float(np.mean([s["public_bytes"] for s in summaries]))),
        round(float(np.mean([s["start_bytes"] for s in summaries]))),
        row.get("published", {}),
        float(np.mean([s["cost"]["cpu_seconds"] for s in summaries])),
        max(float(s["cost"]["memory_mb"]) for s in summaries),
    )


def judged(chosen: Recipe, rows: Sequence[Row], same_task: bool = True) -> Verdict:
    """The paper's claim against its rivals and controls, on paired seeds; see the head of this file."""
    found = {row.key: row for row in rows}
    own = [found[key] for key in chosen.own if key in found]
    others = [found[key] for key in (*chosen.rivals, *chosen.controls) if key in found]
    if not own or not others:
        return Verdict(chosen.claim, chosen.source, "inconclusive", "the rows that decide it were not all run")
    if len(own[0].accuracy) < 2:
        single = "; ".join(
            f"{a.key} - {b.key}: {100 * (a.accuracy[0] - b.accuracy[0]):+.1f} points" for a in own for b in others
        )
        return Verdict(chosen.claim, chosen.source, "inconclusive", f"one seed has no interval ({single}); --seeds 5")
    level = corrected_level(0.95, len(chosen.own))
    words, winners, losers = [], [], []
    for a in own:
        gaps = {b.key: (_gap(a.accuracy, b.accuracy, level), _gap(a.auc, b.auc, level)) for b in others}
        words += [f"{a.key} - {key}: {_said(*pair)}" for key, pair in gaps.items()]
        if all(gap is not None and gap.low > 0 for pair in gaps.values() for gap in pair):
            winners.append(a.key)
        if any(all(g is not None and g.high < 0 for g in gaps[key]) for key in chosen.rivals if key in gaps):
            losers.append(a.key)
    missing = sorted({*chosen.own, *chosen.rivals, *chosen.controls} - set(found))
    why = "; ".join(words) + (f"; not run: {', '.join(missing)}" if missing else "")
    why += f"; intervals at {100 * level:g}%, corrected for {len(chosen.own)} own rows"
    if not same_task:
        return Verdict(chosen.claim, chosen.source, "inconclusive", f"another task than the paper's: {why}")
    if winners and not missing:
        return Verdict(chosen.claim, chosen.source, "supported", f"by row {', '.join(winners)}: {why}")
    if len(losers) == len(chosen.own):
        return Verdict(chosen.claim, chosen.source, "refuted", why)
    return Verdict(chosen.claim, chosen.source, "inconclusive", why)


def _gap(own: Sequence[float], other: Sequence[float], level: float) -> Interval | None:
    return paired_interval(own, other, level) if len(own) == len(other) > 1 else None


def _said(accuracy: Interval | None, auc: Interval | None) -> str:
    words = []
    if accuracy is not None:
        words.append(f"{100 * accuracy.value:+.1f} [{100 * accuracy.low:+.1f}, {100 * accuracy.high:+.1f}] points")
    if auc is not None:
        words.append(f"AUC {auc.value:+.4f} [{auc.low:+.4f}, {auc.high:+.4f}]")
    return ", ".join(words)


def estimate(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """Mean with its interval over seeds, as text; no interval for one seed, "-" for none."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{scale * values[0]:.{digits}f}"
    interval = mean_interval(values, 0.95, (0.0, 1.0))
    return (
        f"{scale * interval.value:.{digits}f} [{scale * interval.low:.{digits}f}, {scale * interval.high:.{digits}f}]"
    )


def to_markdown(rows: Sequence[Row], verdicts: Sequence[Verdict], clients: int) -> str:
    """The table as Markdown."""
    head = "| row | method | accuracy % | sd, clients | AUC | tuned % | up | down | public | published % / AUC |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cells(row, clients)) + " |" for row in rows]
    start = size(max(row.start_bytes for row in rows) / clients)
    lines += [
        "",
        f"Bytes are for one client and the whole run. Before round 1 each also receives the common model: {start}.",
    ]
    lines += ["", *(f"**{v.verdict}**: {v.claim}. {v.why}" for v in verdicts)]
    return "\n".join(lines) + "\n"


def tidied(rows: Sequence[Row]) -> list[tidy.Row]:
    """Ours and the published numbers as tidy rows; a run is a row of the paper."""
    table = []
    for row in rows:
        run = f"{row.key}: {row.name}"
        for metric, values in (("accuracy", row.accuracy), ("auc", row.auc), ("tuned_accuracy", row.tuned)):
            if values:
                ends = spread(over_seeds(values, 0.95), len(values))
                table.append(tidy.of_seeds(run, "utility", metric, ends, len(values)))
        for name in ("up_bytes", "down_bytes", "public_bytes", "start_bytes"):
            table.append(tidy.Row(run, "bytes", name, getattr(row, name)))
        for metric, value in row.published.items():
            table.append(tidy.Row(run, "published", metric, value, note="as the paper writes it"))
    return table


def cells(row: Row, clients: int) -> list[str]:
    """One row of the table as text."""
    published = " / ".join(f"{value:g}" for value in row.published.values()) or "-"
    return [
        row.key,
        row.name,
        estimate(row.accuracy, 100),
        f"{100 * row.spread:.2f}" if row.spread else "-",
        estimate(row.auc, digits=4),
        estimate(row.tuned, 100),
        size(row.up_bytes / clients),
        size(row.down_bytes / clients),
        size(row.public_bytes / clients),
        published,
    ]


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(name), Mapping) and name != "options"
        result[name] = _merged(result[name], value) if nested else value
    return result
