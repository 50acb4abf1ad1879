"""The HTML report: one file, everything escaped, nothing fetched."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser

import pytest

from fedprivacy.judge.result import RunResult, from_json
from fedprivacy.reporting.figures import leakage_figure
from fedprivacy.reporting.findings import is_client
from fedprivacy.reporting.html import to_html
from fedprivacy.reporting.text import estimate

Results = Mapping[str, Callable[[], RunResult]]
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; raises on a tag that is not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_the_page_needs_nothing_else(any_result: RunResult) -> None:
    page = Page(to_html(any_result, {"leakage": leakage_figure(any_result)}))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "form", "b"}
    for _, attributes in page.tags:
        assert not {"href", "onclick", "onerror"} & set(attributes)
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_texts_are_escaped_and_still_readable(results: Results) -> None:
    html = to_html(results["foreign"](), {"<img src=x>": leakage_figure(results["foreign"]())})
    assert "<script" not in html
    assert "<b>claim" not in html
    assert "<img src=x" not in html
    text = Page(html).text
    assert "Föderal-学習 <script>alert(1)</script>" in text
    assert "[red]η|π[/red] *" in text


def test_figures_are_embedded_byte_for_byte_with_a_caption(results: Results) -> None:
    figure = leakage_figure(results["ordinary"]())
    page = Page(to_html(results["ordinary"](), {"leakage": figure, "roc-server": figure, "my own": figure}))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [base64.b64decode((image["src"] or "").split(",")[1]) == figure for image in images] == [True] * 3
    assert [(image["alt"] or "")[:3] for image in images] == ["AUC", "ROC", "my "]


def test_a_figure_that_is_no_png_is_refused(results: Results) -> None:
    with pytest.raises(ValueError, match="'roc' is no PNG"):
        to_html(results["ordinary"](), {"roc": b"<svg onload=alert(1)>"})


def test_equal_results_give_equal_pages(any_result: RunResult) -> None:
    stored = from_json(json.loads(json.dumps(any_result.to_json())))
    assert to_html(stored, {}) == to_html(any_result, {})


def test_every_pooled_number_is_there(any_result: RunResult) -> None:
    text = Page(to_html(any_result, {})).text
    for finding in any_result.findings:
        rated = finding.metric == "AUC" or finding.metric.startswith("TPR")
        if rated and finding.value is not None and not is_client(finding.target):
            assert estimate(finding.value, finding.low, finding.high, finding.chance) in text


def test_the_verdicts_stand_before_the_numbers(results: Results) -> None:
    text = Page(to_html(results["ordinary"](), {})).text
    assert text.index("What was run") < text.index("Verdicts") < text.index("Utility") < text.index("Provenance")


def test_both_colour_schemes_are_provided(results: Results) -> None:
    assert "@media (prefers-color-scheme: dark)" in to_html(results["ordinary"](), {})
