"""One federation followed epoch by epoch: loss within and between phases, and what the next phase forgets.

Training itself says its loss on the records of the step. Between phases each client's model is asked about test
records, about the fold that it has just learned, and, when the next private phase begins, about that same fold again.
Asking changes nothing: the models are those of the run that is not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedprivacy import folder
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Epoch, Learner, Records
from fedprivacy.training.losses import cross_entropy

ASKED = 500
"""Test records that are asked about between phases, evenly spread."""
DONE = "curves.json"


@dataclass(frozen=True)
class Look:
    """Mean loss of one client's model between phases ``on`` test records, its own fold of the round or its last."""

    round: int
    client: int
    phase: str
    when: str
    on: str
    loss: float


@dataclass(frozen=True)
class Curve:
    """One row of the table over one federation.

    ``trained``: (round, phase, epoch, loss), loss the mean over clients, in order of training. ``looks``: mean loss
    over clients by (round, phase, when, on).
    """

    key: str
    name: str
    trained: tuple[tuple[int, str, int, float], ...]
    looks: Mapping[tuple[int, str, str, str], float]

    def between(self) -> dict[float, float]:
        """Test loss between phases by place in rounds: 1.5 is the middle of the second."""
        at = {
            ("private", "before"): 0.0,
            ("private", "after"): 0.499,
            ("public", "before"): 0.501,
            ("public", "after"): 1.0,
        }
        seen = {t - 1 + at[phase, when]: v for (t, phase, when, on), v in self.looks.items() if on == "test"}
        return dict(sorted(seen.items()))

    def mean(self, phase: str, when: str, on: str) -> float:
        """Mean over rounds but the first, before which nothing was learned; NaN where nobody looked."""
        found = [v for (t, *what), v in self.looks.items() if t > 1 and what == [phase, when, on]]
        return float(np.mean(found)) if found else float("nan")

    def epoch(self, phase: str, number: int) -> float:
        """Mean training loss of the epoch ``number`` (-1: the last) of a phase, over rounds but the first."""
        rounds: dict[int, list[float]] = {}
        for t, of, _, loss in self.trained:
            if t > 1 and of == phase:
                rounds.setdefault(t, []).append(loss)
        return float(np.mean([losses[number] for losses in rounds.values()])) if rounds else float("nan")


@dataclass(frozen=True, eq=False)
class Followed(Environment):
    """An environment in which every client's training is looked at before and after."""

    looks: list[Look] = field(default_factory=list)

    @classmethod
    def of(cls, env: Environment) -> Followed:
        """The same environment, followed."""
        return cls(**{f.name: getattr(env, f.name) for f in fields(Environment)})

    def played(
        self, client: int, name: tuple[str | int, ...], learners: Sequence[Learner], fit: Callable[[], list[Epoch]]
    ) -> list[Epoch]:
        if name[0] != "client" or len(learners) != 1:
            return super().played(client, name, learners, fit)
        round, phase = int(name[3]), str(name[4])
        self._look(learners[0], client, round, phase, "before")
        done = super().played(client, name, learners, fit)
        self._look(learners[0], client, round, phase, "after")
        return done

    def _look(self, learner: Learner, client: int, round: int, phase: str, when: str) -> None:
        every = np.linspace(0, len(self.dataset.y_test) - 1, min(ASKED, len(self.dataset.y_test))).astype(int)
        asked = {"test": Records(self.dataset.x_test[every], self.dataset.y_test[every])}
        if (phase, when) == ("private", "after"):
            asked["own"] = self.records(self.members[client][self.fold(client, round)])
        if (phase, when) == ("private", "before") and round > 1:
            asked["last"] = self.records(self.members[client][self.fold(client, round - 1)])
        for on, records in asked.items():
            if len(records):
                loss = float(cross_entropy(learner.logits(records.x).double(), torch.from_numpy(records.y)))
                self.looks.append(Look(round, client, phase, when, on, loss))


def follow(key: str, name: str, config: RunConfig, where: Path) -> Curve:
    """Train the federation of ``config`` in ``where`` and look at it, or read what was seen there."""
    place = where / f"{key}-{config.digest()}"
    if not (place / DONE).exists():
        study = resolve(config)
        env = Followed.of(study.environment(config.seed)[0])
        done = engine.run(study.protocol, env, place)
        rows = [asdict(row) for row in done.history if row.phase in ("private", "public") and row.client >= 0]
        folder.write_json(place / DONE, {"history": rows, "looks": [asdict(look) for look in env.looks]})
    return _read(key, name, folder.read_json(place / DONE))


def _read(key: str, name: str, content: Mapping[str, Any]) -> Curve:
    trained: dict[tuple[int, str, int], list[float]] = {}
    for row in content["history"]:
        trained.setdefault((row["round"], row["phase"], row["epoch"]), []).append(row["loss"])
    seen: dict[tuple[int, str, str, str], list[float]] = {}
    for look in content["looks"]:
        seen.setdefault((look["round"], look["phase"], look["when"], look["on"]), []).append(look["loss"])
    means = tuple((*at, float(np.mean(losses))) for at, losses in sorted(trained.items()))
    return Curve(key, name, means, {at: float(np.mean(losses)) for at, losses in seen.items()})


HEADS = ("last private epoch", "first public epoch", "last public epoch", "first private epoch")
LOOKS = ("before private", "after private", "after public", "own fold", "the same, a round later")


def to_markdown(curves: Sequence[Curve]) -> str:
    """Loss in nats, mean over clients and rounds but the first: while training, on test records, and forgetting."""
    lines = [f"| row | {' | '.join((*HEADS, *(f'test {h}' for h in LOOKS[:3]), *LOOKS[3:]))} |"]
    lines.append("|---" * (1 + len(HEADS) + len(LOOKS)) + "|")
    for one in curves:
        numbers = [
            one.epoch("private", -1),
            one.epoch("public", 0),
            one.epoch("public", -1),
            one.epoch("private", 0),
            one.mean("private", "before", "test"),
            one.mean("private", "after", "test"),
            one.mean("public", "after", "test"),
            one.mean("private", "after", "own"),
            one.mean("private", "before", "last"),
        ]
        lines.append(f"| {one.key} | {' | '.join('-' if np.isnan(n) else f'{n:.3f}' for n in numbers)} |")
    return "\n".join(lines) + "\n"
