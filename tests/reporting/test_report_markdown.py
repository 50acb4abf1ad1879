"""The Markdown report, read back by a Markdown parser."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from fedprivacy.judge.result import RunResult, from_json
from fedprivacy.reporting.findings import is_client
from fedprivacy.reporting.markdown import escape, inline, to_markdown
from fedprivacy.reporting.text import clean, estimate

Results = Mapping[str, Callable[[], RunResult]]


def tokens(text: str) -> list[Token]:
    parsed = MarkdownIt("commonmark").enable("table").parse(text)
    return [child for token in parsed for child in (token, *(token.children or ()))]


def shown(text: str) -> str:
    parts = [token.content if token.type == "text" else " " for token in tokens(text) if token.type != "inline"]
    return "".join(parts)


def test_equal_results_give_equal_text(any_result: RunResult) -> None:
    stored = from_json(json.loads(json.dumps(any_result.to_json())))
    assert to_markdown(stored) == to_markdown(any_result)


def test_the_only_markup_is_our_own(any_result: RunResult) -> None:
    found = tokens(to_markdown(any_result))
    assert {token.content for token in found if token.type == "html_inline"} <= {"<br>"}
    assert not {"html_block", "link_open", "image", "code_inline", "fence", "code_block", "blockquote_open", "hr"} & {
        token.type for token in found
    }
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in found) == 1


def test_all_tables_are_recognised_with_equal_columns(any_result: RunResult) -> None:
    text = to_markdown(any_result)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    found = tokens(text)
    assert sum(token.type == "tr_open" for token in found) == len(rows) - sum(
        token.type == "table_open" for token in found
    )


def test_every_pooled_number_is_there(any_result: RunResult) -> None:
    text = to_markdown(any_result)
    for finding in any_result.findings:
        rated = finding.metric == "AUC" or finding.metric.startswith("TPR")
        if rated and finding.value is not None and not is_client(finding.target):
            assert estimate(finding.value, finding.low, finding.high, finding.chance) in text


def test_foreign_names_are_shown_as_they_are(results: Results) -> None:
    text = shown(to_markdown(results["foreign"]()))
    for words in ("<script>alert(1)</script>", "[red]η|π[/red] *", "*_`x`_*", "<b>claim</b> [link](http://x)"):
        assert words in text


@pytest.mark.parametrize(
    "words", ["# x", "1. x", "12) x", "- x", "+ x", "> x", "---", "=== ", "a_b", "_a_", "&lt;", "[a]: b"]
)
def test_text_at_a_line_start_is_no_block(words: str) -> None:
    assert shown(escape(words)).strip() == words.strip()


@given(st.text(alphabet="ab1.)-+#>*_`[](){}!<&|~\\ =:/ε\n", max_size=20))
def test_any_text_in_a_cell_stays_itself(words: str) -> None:
    line = clean(words)
    text = f"| a | b |\n|:--|:--|\n| x | {inline(line)} |\n"
    cells = [token.children or [] for token in tokens(text) if token.type == "inline"]
    assert len(cells) == 4
    assert "".join(child.content for child in cells[-1]) == line
