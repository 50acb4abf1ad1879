"""Every format of every command, on standard output and in a file; a file of somebody else's is never replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pandas
import pytest

from fedprivacy.cli.written import SUFFIXES, Destination
from fedprivacy.reporting import schema
from fedprivacy.study.paper import made as papers
from fedprivacy.study.paper.claims import judged
from fedprivacy.study.paper.rows import Row

Call = Callable[..., Any]
ENDINGS = {form: ending for ending, form in reversed(SUFFIXES.items())}
SMALL = "--attack membership --statistic loss --observations uploaded-weights --no-baselines {small}"
LINES = {
    "run": f"run --protocol fedavg {SMALL}",
    "compare": f"compare fedavg fedprox {SMALL.replace('--no-baselines', '--adversary server')}",
    "sweep": "sweep --epsilon 8,inf --defense dp-sgd --protocol local {small}",
    "attack": "attack --scores scores.npz",
    "audit": "audit --scores scores.npz --epsilon 4",
    "reproduce": "reproduce gupta2025 --data-dir . --rows B,F",
}
SCHEMAS = {"compare": "runs", "sweep": "runs", "reproduce": "table"}


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the lines read: scores of models trained elsewhere, and a paper's rows that need no images."""
    import numpy as np

    rng = np.random.default_rng(0)
    member = rng.random(400) < 0.5
    np.savez(tmp_path / "scores.npz", member=member, scores=rng.normal(size=400) + 2 * member)

    def reproduced(chosen: Any, *_: Any) -> Any:
        made = [
            Row(row.key, row.name, (0.9, 0.92), (0.95, 0.96), (0.91, 0.93), 0.01, 10, 20, 0, 5, {}, 1.0, 9, 5)
            for row in chosen.rows[:3]
        ]
        return made, judged(chosen, made)

    monkeypatch.setattr(papers, "reproduce", reproduced)
    return tmp_path


def checked(form: str, text: str, command: str) -> None:
    if form == "json":
        jsonschema.validate(json.loads(text), schema.stored(SCHEMAS.get(command, "result")))
    elif form == "csv":
        assert len(pandas.read_csv(StringIO(text))) > 3
    elif form == "latex":
        assert text.count("\\toprule") == text.count("\\bottomrule") > 0
    elif form == "html":
        assert text.rstrip().endswith("</html>") and "<table" in text
    elif form == "markdown":
        assert "|:--" in text or "|---" in text
    else:
        assert len(text.splitlines()) > 3


@pytest.mark.parametrize("command", sorted(LINES))
def test_every_format(command: str, ready: Path, fedprivacy: Call) -> None:
    for form, ending in ENDINGS.items():
        ended = fedprivacy(LINES[command], "--format", form)
        assert ended.code == 0, ended.err
        checked(form, ended.out, command)
        path = ready / f"report{ending}"
        assert fedprivacy(LINES[command], "--output", path).code == 0
        checked(form, path.read_text(), command)
        assert fedprivacy(LINES[command], "--output", path).code == 0, "its own report is replaced"
    runs = [place for place in (ready / "runs").glob("*") if (place / "result.json").exists()]
    for place in runs[:1] if command == "run" else ():
        jsonschema.validate(json.loads((place / "result.json").read_text()), schema.stored("result"))
        for form in ENDINGS:
            checked(form, fedprivacy("report --format", form, place).out, "report")


def test_report_writes_a_privacy_record(ready: Path, fedprivacy: Call) -> None:
    assert fedprivacy(LINES["run"]).code == 0
    run = next((ready / "runs").iterdir())
    shown = fedprivacy("report --format record", run)
    assert "privacy record of fedavg" in shown.out and "To be stated by the data holder" in shown.out
    assert fedprivacy("report --format record --output record.json", run).code == 0
    jsonschema.validate(json.loads((ready / "record.json").read_text()), schema.stored("record"))
    assert fedprivacy("report --format record --output record.html", run).code == 0
    assert "privacy record" in (ready / "record.html").read_text()


def somebody_elses(place: Path) -> Iterator[Path]:
    for name, text in (("notes.md", "# fedprivacy\n"), ("mine.json", "{}"), ("a.csv", "run,kind\n"), ("x.html", "<p>")):
        (place / name).write_text(text)
        yield place / name


def test_no_file_is_replaced_that_it_did_not_make(ready: Path, fedprivacy: Call) -> None:
    for path in somebody_elses(ready):
        before = path.read_text()
        ended = fedprivacy(LINES["attack"], "--output", path)
        assert ended.code == 2 and "--fresh" in ended.complaint and path.read_text() == before
    assert fedprivacy(LINES["attack"], "--fresh --output", path).code == 2
    assert fedprivacy(f"{LINES['attack']} --fresh", "--output", path).code == 0
    assert path.read_text() != before


@pytest.mark.parametrize(("path", "told"), [(".", "is a folder"), ("scores.npz/a.csv", "cannot write to")])
def test_where_no_file_can_be_is_told_before_anything_is_done(
    path: str, told: str, ready: Path, fedprivacy: Call
) -> None:
    ended = fedprivacy(LINES["run"], "--output", path)
    assert ended.code == 2 and told in ended.complaint and not (ready / "runs").exists()


@pytest.mark.parametrize("place", ["page.md", "out/page.md", "reports of ours/deep/page.md"])
def test_links_to_figures_hold_from_where_a_page_is_written(tmp_path: Path, place: str) -> None:
    figure = tmp_path / "out" / "figures" / "curve.png"
    figure.parent.mkdir(parents=True)
    figure.touch()
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    to = Destination.of(None, tmp_path / place)
    (link,) = re.findall(r"!\[a curve\]\((\S+)\)", to.linked("![a curve](figures/curve.png)\n", tmp_path / "out"))
    assert ((tmp_path / place).parent / unquote(link)).samefile(figure)


def test_a_page_that_is_printed_keeps_its_links(tmp_path: Path) -> None:
    assert Destination.of("markdown", None).linked("![](figures/a.png)", tmp_path) == "![](figures/a.png)"
