"""Epsilons in the wild: mechanisms of public packages, in their own code, held against what they state.

python benchmarks/epsilons/page.py --cache epsilons-cache --out reports/epsilons.md
python benchmarks/epsilons/page.py --cache epsilons-cache --only opendp

Each package gets an environment of its own under the cache, pinned by environments/NAME.txt and installed without
dependencies beyond those lines (network needed, 6 GB). FL4Health's starts from ``python3.10``, which has to be on the
path. What was installed or measured is not done again, unless a driver or its environment's lines have changed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import seeds
from fedprivacy.metrics.intervals import corrected_level
from fedprivacy.privacy.closed_forms import gaussian_epsilon
from fedprivacy.reporting.text import count, epsilon, scientific
from fedprivacy.study.mechanism.audit import tell_apart

HERE = Path(__file__).parent
DRIVERS = {
    "flwr_local_dp": "flwr",
    "flwr_central_dp": "flwr",
    "fl4health_accountant": "fl4health",
    "pfl": "pfl",
    "appfl_output": "appfl",
    "nvflare_svt": "nvflare",
    "fedml_frames": "fedml",
    "jax_privacy_noise": "jax-privacy",
    "torch_noise": "opacus",
    "opacus_optimizer": "opacus",
    "diffprivlib_mechanisms": "diffprivlib",
    "opendp_measurements": "opendp",
    "pydp_mechanisms": "pydp",
}
"""Driver to the environment that it runs in."""
NAMES = {"pydp": "python-dp", "torch_noise": "torch"}
"""Package whose version is shown, where it is not called as its environment."""

ROWS = 60
"""More than there are rows: each bound holds at 1 - .05/60, so that all of them hold together at 95%."""
NEAR = 1.03
"""A claim within three percent of its closed form is taken for the same."""


@dataclass(frozen=True)
class Found:
    """One case and what its outputs gave."""

    package: str
    case: dict[str, Any]
    closed: float | None
    low: float
    ceiling: float
    estimate: tuple[float, float, float] | None
    statistic: str

    @property
    def refuted(self) -> bool:
        return self.low > self.case["stated"]

    @property
    def false(self) -> bool:
        """By its closed form."""
        return self.closed is not None and self.closed > NEAR * self.case["stated"]

    def verdict(self) -> str:
        if self.refuted:
            return "**refuted**"
        if self.false:
            why = f"{count(self.case['calls'])} calls show {epsilon(self.ceiling, 'down')} at most"
            return "**false by its formula**" + (f"; {why}" if self.ceiling <= self.case["stated"] else "")
        if self.closed is None:
            return "not refuted"
        return "holds" if self.closed > self.case["stated"] / 1.5 else "holds, with room"


def environment(name: str, cache: Path) -> Path:
    """The interpreter of an environment, installed where it is not there or other lines were installed."""
    lines = (HERE / "environments" / f"{name}.txt").read_text()
    place = cache / "environments" / name
    stamp = place / "installed.txt"
    python = place / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == lines):
        wanted = lines.splitlines()[0].removeprefix("# ") if lines.startswith("#") else sys.executable
        subprocess.run([wanted, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "-r", str(HERE / "environments" / f"{name}.txt")], check=True)
        stamp.write_text(lines)
    return python


def version(name: str, driver: str) -> str:
    """``flwr 1.42.0``, from the pinned lines."""
    package = NAMES.get(driver, NAMES.get(name, name)).replace("-", "_")
    lines = (HERE / "environments" / f"{name}.txt").read_text().splitlines()
    return next(line.replace("==", " ") for line in lines if line.replace("-", "_").lower().startswith(f"{package}=="))


def found(driver: str, cache: Path) -> Iterator[Found]:
    """All cases of a driver, from the cache where they are."""
    name = DRIVERS[driver]
    command = [str(HERE / "case.py"), str(HERE / "drivers" / f"{driver}.py")]
    for number, case in enumerate(listed(driver, cache)):
        stored = cache / "found" / f"{driver}-{digest(driver)}-{number}.json"
        if not stored.exists():
            stored.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as where:
                outputs = Path(where) / "outputs.npz"
                python = str(environment(name, cache))
                subprocess.run([python, *command, str(number), str(outputs)], check=True, capture_output=True)
                with np.load(outputs) as arrays:
                    one = judged(version(name, driver), case, arrays["first"], arrays["second"])
            stored.write_text(json.dumps(asdict(one)))
        yield Found(**json.loads(stored.read_text()))


def listed(driver: str, cache: Path) -> list[dict[str, Any]]:
    """The cases of a driver as it stands, from the cache where it was asked before."""
    code = HERE / "drivers" / f"{driver}.py"
    stored = cache / "found" / f"{driver}-{digest(driver)}-cases.json"
    if not stored.exists():
        command = [str(environment(DRIVERS[driver], cache)), str(HERE / "case.py"), str(code)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_text(told.splitlines()[-1])
    return list(json.loads(stored.read_text()))


def digest(driver: str) -> str:
    """Of all that a driver's outputs follow from: its code, how it is called, and the versions in its environment."""
    files = HERE / "drivers" / f"{driver}.py", HERE / "case.py", HERE / "environments" / f"{DRIVERS[driver]}.txt"
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def judged(package: str, case: dict[str, Any], first: np.ndarray, second: np.ndarray) -> Found:
    """The audit of outputs [n, d] on both inputs."""
    rng = seeds.numpy_generator(0, "epsilons", package, case["name"], case["what"])
    told = tell_apart(first, second, None, delta=case["delta"], level=corrected_level(0.95, ROWS), rng=rng)
    estimate = told.estimate
    shown = None if estimate is None else (estimate.epsilon, estimate.low, estimate.high)
    return Found(package, case, closed(case), told.bound.low, told.bound.ceiling, shown, told.region.statistic)


def closed(case: dict[str, Any]) -> float | None:
    """Epsilon at the case's delta by its formula."""
    if case["mu"] is not None:
        return gaussian_epsilon(case["mu"], case["delta"])
    return next((case[name] for name in ("pure", "known") if case[name] is not None), None)


HEAD = """# Epsilons in the wild: what public packages call epsilon

{summary}

Mechanisms as public packages ship them, run in their own code and held against the epsilon that they state, by the
audit behind `fedprivacy audit --mechanism`. Regenerate:
`python benchmarks/epsilons/page.py --cache epsilons-cache --out reports/epsilons.md` (network, 6 GB of environments).
No package's code is copied: `benchmarks/epsilons/drivers/` calls it, each in an environment of its own, whose versions
are pinned in `benchmarks/epsilons/environments/`.

## How to read it

- *Stated*: what the package calls epsilon under the settings shown. *Of*: unit and relation that the two inputs play;
  where a package does not say, those that it can mean at best.
- *Closed form*: epsilon of the mechanism at the same delta by its formula. "None": it hides nothing, or no formula is
  known. *At least*: the measured lower bound (Clopper-Pearson, on calls that chose nothing); all bounds hold
  together at 95%. It assumes independent calls and nothing else. *Ceiling*: what no noise at all would have shown.
- *If Gaussian*: an estimate from means and spread, where the outputs are Gaussian. It decides nothing; it says whether
  the closed form is that of what the package does.
- **Refuted**: the bound lies above what is stated. **False by its formula**: the closed form does, and so many calls
  could not show it, or did not. Deltas are 1e-5, and 0 where the epsilon is a pure one.
- The low bits of floating-point noise are not looked at. An audit on one pair of inputs refutes; it never proves.
"""


def table(rows: Sequence[Found]) -> Iterator[str]:
    yield "| mechanism | settings | of | stated | closed form | at least | ceiling | if Gaussian | verdict |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        case = row.case
        shown = "not Gaussian" if row.estimate is None else "{} [{}, {}]".format(*map(short, row.estimate))
        cells = [
            case["name"] + (" (control)" if case["honest"] else ""),
            case["what"],
            case["means"],
            short(case["stated"]),
            "none" if row.closed is None else short(row.closed),
            epsilon(row.low, "down"),
            epsilon(row.ceiling, "down"),
            "-" if case["delta"] == 0 else shown,
            row.verdict(),
        ]
        yield "| " + " | ".join(cells) + " |"


def short(value: float) -> str:
    """Three digits, neither up nor down."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def section(driver: str, rows: Sequence[Found]) -> str:
    """What the driver says of itself, and its table."""
    words = ast.get_docstring(ast.parse((HERE / "drivers" / f"{driver}.py").read_text())) or ""
    calls = {count(row.case["calls"]) for row in rows}
    delta = {scientific(row.case["delta"]) for row in rows}
    facts = (
        f"Driver: `drivers/{driver}.py`. Calls: {', '.join(sorted(calls, key=len))}. Delta: {', '.join(sorted(delta))}."
    )
    return "\n".join([f"## {rows[0].package}: {driver}", "", words, "", facts, "", *table(rows), ""])


def summary(rows: Sequence[Found]) -> str:
    """The verdict first."""
    claims = [row for row in rows if not row.case["honest"]]
    controls = [row for row in rows if row.case["honest"]]
    packages = {row.package for row in rows}
    refuted = sum(row.refuted for row in claims)
    formula = sum(row.false and not row.refuted for row in claims)
    left = len(claims) - refuted - formula
    return (
        f"{len(claims)} claims and {len(controls)} honest controls of {len(packages)} packages: {refuted} claims are "
        f"refuted by measurement, {formula} more are false by their formula, "
        f"{left} {'holds' if left == 1 else 'hold'}. "
        f"{sum(row.refuted for row in controls)} of the controls are refuted."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="environments and finished rows")
    parser.add_argument("--only", choices=list(DRIVERS), help="one driver, printed and not written")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    chosen = [options.only] if options.only else list(DRIVERS)
    rows = {driver: list(found(driver, options.cache.absolute())) for driver in chosen}
    sections = [section(driver, rows[driver]) for driver in chosen]
    every = [row for driver in chosen for row in rows[driver]]
    if options.only:
        print(sections[0])
        return
    text = "\n".join([HEAD.format(summary=summary(every)), *sections])
    print(summary(every))
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
