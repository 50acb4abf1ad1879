"""A paper's table on a terminal: every word and number whole, however narrow."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from fedprivacy import catalog
from fedprivacy.judge.result import Verdict
from fedprivacy.reporting.terminal import render_document
from fedprivacy.study.paper.page import cells, document, hidden_cells, to_markdown, told_cells
from fedprivacy.study.paper.recipe import recipe
from fedprivacy.study.paper.rows import Row


@pytest.mark.parametrize("name", list(catalog.RECIPES))
@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_word_of_a_paper_table_is_broken(name: str, width: int) -> None:
    chosen = recipe(name)
    reached, sent = ((0.913, 0.921), (0.98, 0.97), (0.93, 0.95), 0.01), (1_234_567_000, 98_765_000, 45_000, 2_000_000)
    more = {"learned": (0.99, 0.98), "recall": ((0.9, 0.91), (0.95, 0.93))}
    game = {
        "membership": {"AUC": (0.61, 0.6), "TPR@1%FPR": (0.02, 0.03)},
        "attack": "the server, joint on joint updates",
    }
    rows = [
        Row(r.key, r.name, *reached, *sent, r.published, 12.0, 345.0, 5, r.group, **more, **(game if r.group else {}))
        for r in chosen.rows
    ]
    file = io.StringIO()
    judged = Verdict(chosen.claims[0].claim, chosen.source, "inconclusive", "one seed has no interval")
    render_document(document(chosen, rows, [judged], 2), Console(file=file, width=width))
    text = file.getvalue()
    assert max(map(cell_len, text.splitlines())) <= width
    shown = {word.strip(",:") for word in text.split()}
    parts = [part for one in rows for part in [*cells(one), *hidden_cells(one)]]
    parts += [part for one in rows if one.attack for part in told_cells(one)]
    told = [word.strip(",:") for part in parts for word in part.split() if word != "/"]
    assert not [word for word in told if word not in shown]
    assert text.index("INCONCLUSIVE") < text.index("accuracy %")


def test_bytes_are_shared_out_over_the_clients_of_the_row_itself() -> None:
    few, many = (_sent(key, clients) for key, clients in (("few", 2), ("many", 20)))
    assert [cells(few)[place] for place in (6, 7, 8)] == ["500 B", "1.00 kB", "1.50 kB"]
    assert [cells(many)[place] for place in (6, 7, 8)] == ["50 B", "100 B", "150 B"]


def test_the_common_model_is_that_of_one_client_and_told_of_no_row_that_has_none() -> None:
    chosen = recipe("gupta2025")
    rows = [replace(_sent("few", 2), start_bytes=200), replace(_sent("many", 20), start_bytes=2000)]
    assert "also receives the common model: 100 B." in to_markdown(chosen, rows, [])
    rows += [_sent(f"own{number}", 5) for number in range(8)]
    assert "common model (not those of row own0, own1, own2, own3, own4, own5, own6 and own7): 100 B." in to_markdown(
        chosen, rows, []
    )
    assert "common model" not in to_markdown(chosen, [_sent("own", 5)], [])


def _sent(key: str, clients: int) -> Row:
    return Row(key, key, (0.9,), (), (), 0.0, 1000, 2000, 3000, 0, {}, 1.0, 1.0, clients)
