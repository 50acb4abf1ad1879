"""Setup L, as its page has it: what skewed clients answer gives their classes away."""

from __future__ import annotations

from pathlib import Path

from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.study.run import Plan, execute
from fedprivacy.study.tables.recipe import laid_over, lines, recipe


def test_a_strong_skew_is_read_off_predictions(tmp_path: Path) -> None:
    page = recipe("setup-l")
    small = {"clients": 6, "data": {"dataset": "digits"}, "training": {"local_epochs": 10}}
    (line,) = lines(page, build(RunConfig, laid_over(page.base, small), "test"), ["alpha 0.1"])
    found = execute(line.config, Plan(tmp_path / "run", baselines=False)).findings
    distance = {f.statistic: f.value for f in found if f.metric == "TV" and f.target == "all clients" and f.value}
    assert distance["mean_softmax"] < 0.3 < 0.5 < distance["uniform guess"]
    assert distance["argmax_hist"] < distance["uniform guess"] - 0.2
