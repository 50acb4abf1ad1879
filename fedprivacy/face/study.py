"""``fedprivacy.Study``: a run resolved from names or live objects, looked at before anything is read or trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fedprivacy.cli.carry_out import carry_out, machine, placed
from fedprivacy.config.run import RunConfig
from fedprivacy.face.result import RunResult
from fedprivacy.face.settings import check_workers, configured
from fedprivacy.study import resolved
from fedprivacy.study.resolve import resolve

AGAIN = "the same call"
DEFAULT: str = RunConfig.model_fields["protocol"].default


@dataclass(frozen=True, eq=False)
class Study(resolved.Study):
    """What a run would be: who sends what to whom (``wire``), who attacks and from what (``seats``), what it is
    compared with (``baselines``); ``environment(seed)`` reads the records and deals them."""

    @classmethod
    def of(
        cls,
        protocol: str | type[Any] | Callable[..., Any] | Any = DEFAULT,
        *,
        out: str | Path = "runs",
        **settings: Any,
    ) -> Study:
        """The study of a protocol and its ``settings``, names or live objects, as :func:`fedprivacy.run` takes them.

        Arrays are written below ``out`` once. Raises ``UsageError`` for all that can be found wrong without reading
        data or training.
        """
        return cls.resolved(configured({"protocol": protocol, **settings}, Path(out)))

    @classmethod
    def resolved(cls, config: RunConfig) -> Study:
        """The study of a configuration."""
        found = resolve(config)
        return cls(**{field.name: getattr(found, field.name) for field in fields(resolved.Study)})

    def run(
        self,
        *,
        out: str | Path = "runs",
        workers: int = 1,
        device: str = "cpu",
        baselines: bool = True,
        fresh: bool = False,
        exact: bool = False,
    ) -> RunResult:
        """Carry it out in its folder below ``out``, as :func:`fedprivacy.run` does."""
        check_workers(self.config, workers)
        machine(workers, device)
        where = placed(self.config, Path(out))
        found = carry_out(self, where, workers, device, not fresh, fresh, baselines, True, AGAIN, exact)
        return RunResult.of(found, where)
