"""One table of findings in every format: the same numbers in CSV and JSON, LaTeX that compiles, JSON by its schema."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import jsonschema
import pandas
import pytest

from fedprivacy.judge.result import RunResult, Verdict
from fedprivacy.reporting import schema
from fedprivacy.reporting.formats import Findings, of_run, of_runs, of_table
from fedprivacy.reporting.latex import FOLDED, escape
from fedprivacy.reporting.tidy import COLUMNS, Row, rows, to_csv

NUMBERS = ("value", "low", "high", "level", "chance", "chance_low", "chance_high")
COUNTS = ("n", "members", "non_members", "false_positives")


def frame(text: str) -> pandas.DataFrame:
    return pandas.read_csv(StringIO(text))


def same(left: object, right: object) -> bool:
    return (left is None and pandas.isna(right)) or left == right


def of(result: RunResult) -> Findings:
    return of_run(result, lambda: "a page")


def test_csv_in_pandas_has_the_numbers_of_json(any_result: RunResult) -> None:
    read = frame(of(any_result).text("csv"))
    stored = json.loads(of(any_result).text("json"))
    assert tuple(read.columns) == COLUMNS
    attacks = {finding["attack"] for finding in stored["findings"]}
    found = read[read["kind"].isin(attacks)].to_dict("records")
    assert len(found) == len(stored["findings"])
    for line, finding in zip(found, stored["findings"], strict=True):
        assert all(same(finding[name], line[name]) for name in (*NUMBERS, *COUNTS, "headline")), line
    for metric, mean in stored["utility"].items():
        line = read[(read["kind"] == "utility") & (read["metric"] == metric) & (read["target"] == "all clients")]
        assert line["value"].iloc[0] == mean["mean"]
    sent = read[read["kind"] == "bytes"].set_index("metric")["value"]
    assert sent["up_bytes"] == stored["communication"]["up_bytes"]
    epsilon = read[read["kind"] == "privacy"]["value"].iloc[0]
    assert same(stored["privacy"]["epsilon"], epsilon)


def test_text_in_csv_is_one_line_and_no_formula() -> None:
    text = to_csv([Row("=HYPERLINK(1)", "utility", "+1", 0.5, note='a "b", c\x1b[31m')])
    read = frame(text)
    assert text.count("\n") == 2 and "\x1b" not in text
    assert read["run"][0] == "'=HYPERLINK(1)" and read["metric"][0] == "'+1"
    assert read["note"][0] == 'a "b", c\ufffd[31m'


@pytest.mark.parametrize("name", sorted(schema.TYPES))
def test_the_schemas_in_the_package_are_those_of_the_types(name: str) -> None:
    assert schema.stored(name) == schema.made(name), "run: python -m fedprivacy.reporting.schema"


def test_json_follows_its_schema_and_a_changed_one_does_not(any_result: RunResult) -> None:
    content = json.loads(of(any_result).text("json"))
    jsonschema.validate(content, schema.stored("result"))
    several = json.loads(of_runs([any_result, any_result]).text("json"))
    jsonschema.validate(several, schema.stored("runs"))
    assert all(verdict["claim"] and verdict["why"] for verdict in several["verdicts"])
    for broken in ({**content, "more": 1}, {**content, "schema": "fedprivacy/0"}, {**content, "findings": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema.stored("result"))


def test_a_table_has_all_formats() -> None:
    verdict = Verdict("A beats B", "a paper", "inconclusive", "one seed")
    found = of_table("a table", [Row("A", "utility", "accuracy", 0.5, 0.4, 0.6, 0.95, target="all clients")], [verdict])
    content = json.loads(found.text("json"))
    jsonschema.validate(content, schema.stored("table"))
    assert content["rows"][0]["value"] == frame(found.text("csv"))["value"][0] == 0.5
    for form in ("table", "markdown", "html", "latex"):
        text = found.text(form)
        assert "0.50 [0.40, 0.60]" in text.replace(r"\,{\scriptsize [", " [") and "A beats B" in text, form


def document(text: str) -> str:
    return f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{text}\n\\end{{document}}\n"


def test_latex_is_balanced_and_every_row_has_its_cells(any_result: RunResult) -> None:
    text = of_runs([any_result, any_result]).text("latex")
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") > 0
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    for columns, body in re.findall(r"\\begin\{tabular\}\{@\{\}(\S+)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.S):
        places = columns.replace(FOLDED, "p")
        for line in body.splitlines():
            if line.endswith("\\\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(places) - 1, line
    assert all(c.isascii() or c.isalpha() for c in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50% of a_b & #1 {x} $", r"50\% of a\_b \& \#1 \{x\} \$"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("-0.3, -- and well-known", "$-$0.3, -{}- and well-known"),
        ("Föderal 学習 η", "Föderal ?? ?"),
        ("~^<|>", r"\textasciitilde{}\textasciicircum{}\textless{}\textbar{}\textgreater{}"),
    ],
)
def test_any_text_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


def typeset(text: str, where: Path) -> str:
    """What pdflatex says of a document with ``text`` in it."""
    (where / "paper.tex").write_text(document(text), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
        cwd=where,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
    )
    assert done.returncode == 0 and (where / "paper.pdf").exists(), done.stdout[-2000:]
    return done.stdout


NO_LATEX = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex: apt-get install texlive-latex-recommended"
)


@NO_LATEX
def test_latex_compiles(any_result: RunResult, tmp_path: Path) -> None:
    typeset(of_runs([any_result, any_result]).text("latex"), tmp_path)


@NO_LATEX
def test_tables_of_ordinary_runs_fit_a_page(results: Mapping[str, Callable[[], RunResult]], tmp_path: Path) -> None:
    ordinary = results["ordinary"]()
    assert "Overfull" not in typeset(of_runs([ordinary, ordinary]).text("latex"), tmp_path)


def test_an_audit_is_in_the_table(results: Mapping[str, Callable[[], RunResult]]) -> None:
    result = results["other_attacks"]()
    kinds = [row.kind for row in rows(result, "a run")]
    assert {"labels", "inversion", "utility", "bytes", "privacy"} <= set(kinds)
    claimed = next(row for row in rows(result, "a run") if row.kind == "privacy")
    assert claimed.value == 3.99912 and claimed.flag == ""
