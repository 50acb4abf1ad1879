"""``fedprivacy.check``: whether a part of one's own keeps what its kind promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedprivacy import parts
from fedprivacy.study.conformance.check import check as looked_at
from fedprivacy.study.conformance.checked import Report


def check(
    part: Any,
    kind: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    epsilon: float | None = None,
    **settings: Any,
) -> Report:
    """Run the conformance suite of its kind on a part and tell in words what it keeps and what it breaks.

    ``part`` is a name or a live class or function: a protocol, model, data set, defense or statistic; ``kind`` where
    that cannot be told. ``options`` are its own settings. ``settings`` are sections of a configuration that it is
    tried in, such as ``data={"dataset": "mnist5k"}``. The report is true to ``if report.kept``, prints itself, and
    shows in notebooks.
    """
    name = part if isinstance(part, str) else parts.refer(part)
    return looked_at(name, kind, options, epsilon, **settings)
