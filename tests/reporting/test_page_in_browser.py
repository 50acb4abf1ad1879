"""Pages as Chromium shows them: nothing asked for, nothing clipped, in both colour schemes, on phones and on paper.

Needs Debian's packages: ``apt-get install chromium chromium-driver``. ``.ci/run`` installs them; without them the tests
are skipped, and say why.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.compare import side_by_side
from fedprivacy.reporting.figures.drawn import Drawn, drawn
from fedprivacy.reporting.figures.leakage import leakage
from fedprivacy.reporting.figures.roc import RocSeries, roc
from fedprivacy.reporting.figures.strip import strip
from fedprivacy.reporting.html import document_to_html, to_html
from fedprivacy.reporting.pictures import PictureRow
from tests.reporting.browser import Browser, browsing, missing
from tests.reporting.conftest import AWKWARD

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

WIDTHS = (390, 768, 1280)
KINDS = ("ordinary", "long_names", "foreign", "other_attacks", "hundred_clients")

TABLES = """
return [...document.querySelectorAll('.scroll')].map(box => {
  const hint = box.parentElement.querySelector('.hint');
  return {
    what: box.innerText.slice(0, 40),
    wider: box.scrollWidth > box.clientWidth + 1,
    scrolls: getComputedStyle(box).overflowX,
    hint: hint.getBoundingClientRect().height > 0,
    cut: [...box.querySelectorAll('td, th')].filter(cell => cell.scrollWidth > cell.clientWidth + 1).length,
  };
});
"""
INK = """
const lit = colour => {
  const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const ground = lit(getComputedStyle(document.body).backgroundColor);
const contrast = one => {
  const light = lit(one);
  return (Math.max(light, ground) + 0.05) / (Math.min(light, ground) + 0.05);
};
const words = [...document.querySelectorAll('p, td, th, dt, dd, li, a, h1, h2, figcaption')];
const drawn = [...document.querySelectorAll('svg text')];
return {
  dark: ground < 0.2,
  words: Math.min(...words.map(one => contrast(getComputedStyle(one).color))),
  drawn: Math.min(...drawn.map(one => contrast(getComputedStyle(one).fill))),
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with browsing(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of awkward results with every kind of figure, and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    made = {kind: to_html(AWKWARD[kind](), _figures(AWKWARD[kind]())) for kind in KINDS}
    made["comparison"] = document_to_html(side_by_side([AWKWARD["ordinary"](), AWKWARD["long_names"]()]), {})
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in made}


def _figures(result: RunResult) -> dict[str, Drawn]:
    rng = np.random.default_rng(0)
    curve = RocSeries("server <b>, joint", rng.normal(1, 1, 60), rng.normal(0, 1, 60))
    images = rng.random((8, 1, 6, 6))
    rows = (PictureRow("original", images), PictureRow("a <i> & reconstructed", images, rng.random(8) * 20))
    return {
        "roc": drawn(roc([curve]), "roc", "ROC"),
        "inversion-server": strip(rows, "inversion-server", "server", "pictures"),
        "leakage": drawn(leakage(result), "leakage", "AUC of every statistic"),
    }


def test_nothing_is_asked_for_and_nothing_goes_wrong(browser: Browser, pages: dict[str, Path]) -> None:
    browser.requested()
    for page in pages.values():
        browser.open(page, 768)
        assert browser.log("browser") == []
        asked = [address for address in browser.requested() if not address.startswith("data:image/png;base64,")]
        assert asked == [page.as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_is_clipped(browser: Browser, pages: dict[str, Path], width: int) -> None:
    for name, page in pages.items():
        browser.open(page, width)
        assert browser.run("return document.documentElement.scrollWidth") <= width, name
        tables = browser.run(TABLES)
        assert tables
        for table in tables:
            assert not table["cut"], (name, table)
            assert table["hint"] == table["wider"], (name, table)
            assert table["scrolls"] == "auto", (name, table)
    browser.open(pages["ordinary"], 390)
    assert any(table["hint"] for table in browser.run(TABLES))


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_figures_can_be_read_in_both_schemes(browser: Browser, pages: dict[str, Path], dark: bool) -> None:
    browser.open(pages["ordinary"], 1280, dark)
    seen = browser.run(INK)
    assert seen["dark"] is dark
    assert min(seen["words"], seen["drawn"]) >= 4.5


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_screen_holds_verdict_number_and_the_start_of_the_figure(
    browser: Browser, pages: dict[str, Path], width: int
) -> None:
    browser.open(pages["ordinary"], width, height=844)
    banner = browser.run("return document.querySelector('.banner').getBoundingClientRect().bottom")
    drawing = browser.run("return document.querySelector('.lead svg').getBoundingClientRect().top")
    assert banner < drawing < 844 * 0.6


def test_figures_say_what_they_show(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["ordinary"], 1280)
    tree = browser.tell("Accessibility.getFullAXTree", {})["nodes"]
    images = [node["name"]["value"] for node in tree if node["role"]["value"] == "image"]
    assert images == ["ROC", "pictures", "AUC of every statistic"]


def test_on_paper_nothing_scrolls_and_the_ground_is_white(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["ordinary"], 700, dark=True)
    browser.tell("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        found = browser.run(TABLES)
        assert {table["scrolls"] for table in found} == {"visible"} and not any(table["hint"] for table in found)
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    finally:
        browser.tell("Emulation.setEmulatedMedia", {"media": ""})
