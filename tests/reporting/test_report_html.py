"""The HTML report: one file, everything escaped, nothing fetched."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fedprivacy.judge.result import RunResult, from_json
from fedprivacy.reporting.compare import side_by_side
from fedprivacy.reporting.figures import leakage_figure
from fedprivacy.reporting.figures.drawn import DARK, drawn
from fedprivacy.reporting.figures.leakage import leakage
from fedprivacy.reporting.findings import is_client
from fedprivacy.reporting.html import document_to_html, to_html
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
        assert not {"onclick", "onerror"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
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
    assert [(image["alt"] or "")[:3] for image in images] == ["ROC", "AUC", "my "]


def test_figures_that_show_the_verdict_stand_on_the_first_screen(results: Results) -> None:
    figure = leakage_figure(results["ordinary"]())
    html = to_html(results["ordinary"](), {"leakage": figure, "leakage-over-accuracy": figure, "inversion-a": figure})
    lead, _, rest = html.partition("<nav")
    assert lead.count("<figure") == 2 and "What each seat learns" in lead and "Originals" in lead
    assert rest.count("<figure") == 1 and "AUC with interval" in rest


def test_only_sentences_stand_beside_a_figure(results: Results) -> None:
    figures = {"roc": leakage_figure(results["ordinary"]())}
    lead = to_html(results["ordinary"](), figures).partition("<nav")[0]
    assert "What each adversary learned</h2>" in lead
    table = document_to_html(side_by_side([results["ordinary"]()], judged=False), figures).partition("<nav")[0]
    assert "<h2" not in table and "<figure" in table


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
    html = to_html(results["ordinary"](), {})
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert heads.index("Verdicts on claims") < heads.index("Utility") < heads.index("What was run")
    assert heads[-2:] == ["What was run", "Provenance"]


def test_the_contents_lead_to_every_part(any_result: RunResult) -> None:
    page = Page(to_html(any_result, {"leakage": leakage_figure(any_result)}))
    parts = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    assert [attributes["href"] for tag, attributes in page.tags if tag == "a"] == [f"#{part}" for part in parts]
    assert len(set(parts)) == len(parts) > 2


def test_the_banner_holds_the_verdict_and_one_number_with_its_interval(results: Results) -> None:
    html = to_html(results["ordinary"](), {})
    banner = html[html.index('<div class="banner bad">') : html.index("<nav")]
    text = Page(banner.partition("</header>")[0]).text
    assert "Membership leaks to the active server AUC 0.776 [0.76, 0.80] without leakage 0.500 [0.47, 0.53]" in text
    assert "<title>Membership leaks to the active server - fedprivacy: mutual on mnist5k</title>" in html


def test_other_attacks_that_leak_stand_in_the_banner_too(results: Results) -> None:
    base = results["ordinary"]()
    gain = replace(base.findings[0], attack="labels", metric="TV gain over the better guess", n=5)
    silent = replace(gain, attack="theft", metric="agreement gain", low=-0.1)
    html = to_html(replace(base, findings=(*base.findings, gain, silent)), {})
    assert "<h1>Membership leaks to the active server</h1>" in html
    assert re.findall(r'<p class="also">(.*?)</p>', html) == ["The active server learns which classes a client holds"]


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("no_findings", "No attack was run: nothing is known about leakage"),
        ("all_below", "Inconclusive: too few records to judge the active server"),
        ("only_errors", "The declared attack of the active server failed, so there is no verdict"),
        ("scores_only", "Membership leaks to the any"),
    ],
)
def test_the_banner_claims_no_more_than_was_measured(results: Results, kind: str, verdict: str) -> None:
    assert f"<h1>{verdict}</h1>" in to_html(results[kind](), {})


def test_columns_without_a_number_are_left_out(any_result: RunResult) -> None:
    html = to_html(any_result, {})
    for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
        rows = [
            re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", table, re.S)[1:]
        ]
        for column in list(zip(*rows, strict=True))[1:]:
            assert any(content not in ("-", "") for content in column), table


def test_a_drawing_stands_inline_with_its_words_and_colours_that_a_page_replaces(results: Results) -> None:
    figures = {"leakage": drawn(leakage(results["foreign"]()), "leakage", 'AUC & "more" <b>')}
    html = to_html(results["foreign"](), figures)
    svg = html[html.index("<svg") : html.index("</svg>")]
    assert 'aria-label="AUC &amp; &quot;more&quot; &lt;b&gt;"' in svg and "<b>" not in svg
    assert "<script" not in svg and "xml version" not in svg
    used = set(re.findall(r"var\(--c([0-9a-f]{6}), #\1\)", svg))
    assert {f"#{colour}" for colour in used} <= set(DARK) and len(used) > 3
    assert not re.search(r"(?<!, )#[0-9a-f]{6}\b", svg.replace('"#leakage', '"'))
    assert all(f"--c{colour}: " in html for colour in used)
