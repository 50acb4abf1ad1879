"""Reading a stored configuration: plain nested mappings, whose keys may be missing in results made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.text import clean, counted, epsilon, plain


def setting(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted ``path`` such as ``data.dataset``; None where any part of it is missing."""
    value: Any = config
    for step in path.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def options(values: Any) -> str:
    """``kl = literal, payload = logits`` from a mapping of options; empty without any."""
    if not isinstance(values, Mapping):
        return ""
    return ", ".join(f"{clean(name)} = {plain(value)}" for name, value in values.items())


def protocol_name(result: RunResult) -> str:
    """The protocol of the run, or what stands in its place where scores came from elsewhere."""
    return clean(setting(result.config, "protocol") or "scores from elsewhere")


def defense_name(result: RunResult) -> str:
    """The defense with its strength, or an empty string."""
    name = setting(result.config, "defense.name")
    if name in (None, "", "none"):
        return ""
    target, sigma = setting(result.config, "defense.epsilon"), setting(result.config, "defense.sigma")
    strength = f" (epsilon {epsilon(target)})" if target is not None else ""
    strength = f" (noise multiplier {sigma:g})" if sigma is not None else strength
    return clean(name) + strength


def run_name(result: RunResult) -> str:
    """The protocol, with its defense if it has one."""
    defense = defense_name(result)
    return protocol_name(result) + (f" + {defense}" if defense else "")


def seeds(result: RunResult) -> str:
    """``seed 0``, or ``seeds 0 to 4 (5 repetitions)``."""
    first, repetitions = result.provenance.seed, result.provenance.seeds
    if repetitions <= 1:
        return f"seed {first}"
    return f"seeds {first} to {first + repetitions - 1} ({counted(repetitions, 'repetition')})"


def level(result: RunResult) -> float:
    """The level of the intervals of the run."""
    value = setting(result.config, "attack.level")
    return float(value) if isinstance(value, int | float) else 0.95
