"""A paper's claims: each verdict from made-up rows whose answer is known, and seeds counted by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedprivacy.config.base import UsageError, build
from fedprivacy.judge.result import Communication, Finding, Interval, PrivacyClaim, Provenance, RunResult
from fedprivacy.metrics.intervals import paired_interval
from fedprivacy.study.paper.claims import judged, seeds_for
from fedprivacy.study.paper.recipe import PaperRow, Recipe, recipe
from fedprivacy.study.paper.rows import Row, of_results

NOISE = (0.001, -0.002, 0.0, 0.002, -0.001)


def row(key: str, accuracy: float, sent: int = 100, public: int = 0, leak: float | None = None, seeds: int = 5) -> Row:
    values = tuple(accuracy + noise for noise in NOISE[:seeds])
    told = {} if leak is None else {"AUC": tuple(leak + noise for noise in NOISE[::-1][:seeds])}
    return Row(
        key, key, values, values, (), 0.0, sent // 2, sent // 2, public, 0, {}, 1.0, 1.0, 5, membership=told, attack="a"
    )


def paper(about: str, rivals: Sequence[str] = ("F",), controls: Sequence[str] = ()) -> Recipe:
    rows = [{"key": key, "name": key, "protocol": "local"} for key in ("C", "F", "B")]
    claim = {"about": about, "claim": "It is so", "own": ("C",), "rivals": tuple(rivals), "controls": tuple(controls)}
    claim["overturned_by"] = "a miracle"
    content = {"title": "t", "source": "s", "base": {"clients": 5}, "rows": rows, "claims": [claim]}
    return build(Recipe, content, "test")


def verdict(chosen: Recipe, rows: Sequence[Row], **more: Any) -> tuple[str, str]:
    (found,) = judged(chosen, rows, **more)
    return found.verdict, found.why


@pytest.mark.parametrize(
    ("accuracy", "kind"), [((0.95, 0.90, 0.92), "supported"), ((0.95, 0.90, 0.95), "inconclusive"),
                           ((0.85, 0.90, 0.80), "refuted")]
)  # fmt: skip
def test_better_than_every_rival_and_control(accuracy: tuple[float, ...], kind: str) -> None:
    rows = [row(key, value) for key, value in zip("CFB", accuracy, strict=True)]
    found, why = verdict(paper("accuracy", controls=("B",)), rows)
    assert found == kind and why.endswith("Could be overturned by: a miracle")


def test_a_control_that_was_not_run_leaves_it_open() -> None:
    found, why = verdict(paper("accuracy", controls=("B",)), [row("C", 0.95), row("F", 0.9)])
    assert found == "inconclusive" and "not run: B" in why


def test_another_row_of_its_own_is_not_needed_to_support_a_claim() -> None:
    chosen = paper("bandwidth")
    chosen = chosen.model_copy(update={"claims": (chosen.claims[0].model_copy(update={"own": ("C", "B")}),)})
    found, why = verdict(chosen, [row("C", 0.9, 10), row("F", 0.9, 98)])
    assert found == "supported" and "not run: B" in why


def both(about: str) -> Recipe:
    """Two own rows, C and B, against F."""
    chosen = paper(about)
    return chosen.model_copy(update={"claims": (chosen.claims[0].model_copy(update={"own": ("C", "B")}),)})


WINS, TIES, LOSES = 1, 0, -1


def decided(about: str, key: str, how: int) -> Row:
    """A row that wins, ties or loses against the one that it is compared with, in what ``about`` asks."""
    return row(key, 0.9 + 0.05 * how, 100 - 50 * how, leak=0.7 - 0.05 * how)


@pytest.mark.parametrize("about", ["accuracy", "bandwidth", "membership"])
@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (WINS, WINS, "supported"),
        (WINS, TIES, "supported"),
        (WINS, LOSES, "supported"),
        (TIES, TIES, "inconclusive"),
        (TIES, LOSES, "inconclusive"),
        (LOSES, LOSES, "refuted"),
        (WINS, None, "supported"),
        (TIES, None, "inconclusive"),
        (LOSES, None, "inconclusive"),
    ],
)
def test_one_rule_for_every_claim_and_leaving_rows_out_buys_nothing(
    about: str, first: int, second: int | None, kind: str
) -> None:
    """Any own row supports, all of the declared ones refute: a row that was not run never makes a verdict stronger."""
    rows = [decided(about, "C", first), decided(about, "F", TIES)]
    rows += [] if second is None else [decided(about, "B", second)]
    assert verdict(both(about), rows)[0] == kind


@pytest.mark.parametrize(("about", "level"), [("accuracy", "97.5%"), ("membership", "97.5%")])
def test_the_level_counts_own_rows_that_were_not_run(about: str, level: str) -> None:
    assert level in verdict(both(about), [decided(about, "C", WINS), decided(about, "F", TIES)])[1]


def test_one_seed_and_another_task_decide_nothing() -> None:
    rows = [row("C", 0.95, seeds=1), row("F", 0.9, seeds=1)]
    assert verdict(paper("accuracy"), rows) == ("inconclusive", verdict(paper("accuracy"), rows)[1])
    assert "+5.0 points" in verdict(paper("accuracy"), rows)[1]
    found, why = verdict(paper("accuracy"), [row("C", 0.95), row("F", 0.9)], same_task=False)
    assert found == "inconclusive" and why.startswith("another task")


@pytest.mark.parametrize(
    ("sent", "public", "kind"), [(10, 0, "supported"), (10, 95, "refuted"), (10, 88, "inconclusive")]
)
def test_public_records_are_counted_as_bytes(sent: int, public: int, kind: str) -> None:
    found, why = verdict(paper("bandwidth"), [row("C", 0.9, sent, public), row("F", 0.9, 98)])
    assert found == kind and "9.8 times fewer bytes in messages" in why


@pytest.mark.parametrize(("leak", "kind"), [(0.55, "supported"), (0.75, "refuted"), (0.65, "inconclusive")])
def test_the_row_that_tells_less_is_the_private_one(leak: float, kind: str) -> None:
    found, why = verdict(paper("membership"), [row("C", 0.9, leak=leak), row("F", 0.9, leak=0.65)])
    assert found == kind and f"C {leak:.3f}" in why


def test_unequal_terms_leave_it_open() -> None:
    """Less was read from one side, but with less effort: that is no finding about the protocols."""
    weak, strong = (replace(row(key, 0.9, leak=leak), terms=(f"server: all of each pool; effort {effort}",))
                    for key, leak, effort in (("C", 0.55, "default"), ("F", 0.65, "thorough")))  # fmt: skip
    found, why = verdict(paper("membership"), [weak, strong])
    assert found == "inconclusive" and "unequal terms (C: server: all of each pool; effort default" in why
    assert verdict(paper("membership"), [replace(weak, terms=strong.terms), strong])[0] == "supported"


def test_a_row_whose_seeds_were_attacked_on_unequal_terms_leaves_it_open() -> None:
    """Even where the row beside it differs in the same seeds: no seed's terms speak for another's."""
    terms = ("server: all of each pool; effort default", "server: all of each pool; effort thorough")
    mixed, plain = (replace(row(key, 0.9, leak=leak), terms=terms) for key, leak in (("C", 0.55), ("F", 0.65)))
    for rows in ([mixed, plain], [mixed, replace(plain, terms=terms[:1])], [replace(mixed, terms=terms[:1]), plain]):
        found, why = verdict(paper("membership"), rows)
        assert found == "inconclusive" and "effort default, in other seeds server: all of each pool; effort thor" in why


def test_less_by_a_weaker_attack_leaves_it_open() -> None:
    """One record at a time was read of one row, all candidates together of the other: no word on what they send."""

    def read(key: str, leak: float, statistic: str) -> Row:
        auc = attacked("all of each pool", statistic).findings[0]
        return replace(row(key, 0.9, leak=leak), headline=(auc,) * 5)

    for rows, kind in (
        ([read("C", 0.55, "ratio"), read("F", 0.95, "joint")], "inconclusive"),
        ([read("C", 0.95, "joint"), read("F", 0.55, "ratio")], "inconclusive"),
        ([read("C", 0.55, "ratio"), read("F", 0.65, "loss")], "supported"),
        ([read("C", 0.55, "joint"), read("F", 0.65, "ratio")], "supported"),
    ):
        found, why = verdict(paper("membership"), rows)
        assert found == kind and ("weaker attack" in why) == (kind == "inconclusive")


def attacked(knowledge: str, statistic: str = "joint") -> RunResult:
    """A run of one seed whose server had ``knowledge``."""
    who = ("membership", "weights", statistic, "server (honest-but-curious)", "all clients", "AUC")
    auc = Finding(*who, 0.7, 0.5, 0.6, 0.8, 0.95, 100, headline=True, knowledge=knowledge)
    accuracy = {"test_accuracy": Interval(0.8, 0.8, 0.8, {"client-0": 0.8})}
    claim = PrivacyClaim("record", "add-remove", None, 0.0, "", 0)
    told = Provenance({}, 0, 1, 1, 1, 0.0, 0.0, "")
    return RunResult({}, accuracy, (), Communication(0, 0, 0, 0, 0, ()), claim, (auc,), (), told)


def test_a_row_tells_the_terms_of_all_its_seeds() -> None:
    chosen = build(PaperRow, {"key": "C", "name": "C", "protocol": "local"}, "test")
    first, other = attacked("effort default"), attacked("effort thorough")
    alike, unlike = (of_results(chosen, 5, runs, runs) for runs in ([first, first, first], [first, first, other]))
    assert alike.terms == ("passive server: effort default",)
    assert unlike.terms == ("passive server: effort default", "passive server: effort thorough")
    assert alike.attack == unlike.attack == "server (honest-but-curious), joint on weights"


def test_an_attack_without_a_number_decides_nothing() -> None:
    found, why = verdict(paper("membership"), [row("C", 0.9), row("F", 0.9, leak=0.6)])
    assert found == "inconclusive" and "no number" in why


def test_claims_whose_rows_were_not_run_are_not_mentioned() -> None:
    assert judged(paper("accuracy"), [row("F", 0.9)]) == []


def test_so_many_seeds_reach_the_precision() -> None:
    """Drawn from the spread that was seen: intervals of that many seeds are about as wide, those of half are wider."""
    own, other = (0.9, 0.93, 0.91, 0.92, 0.94), (0.91, 0.91, 0.92, 0.91, 0.92)
    spread = float(np.std(np.subtract(own, other), ddof=1))
    number = int(seeds_for(own, other, 0.005, 0.95))

    def half(seeds: int) -> float:
        draw = np.random.default_rng(0).normal(0, 1, seeds)
        gaps = (draw - draw.mean()) / draw.std(ddof=1) * spread
        found = paired_interval(gaps, np.zeros(seeds), 0.95)
        return (found.high - found.low) / 2

    assert half(number) <= 0.005 < half(number - 1)


def test_rows_are_chosen_by_key_and_group_and_other_data_leave_the_folder() -> None:
    chosen = recipe("gupta2025")
    assert [r.key for r in chosen.chosen(["F", "C"])] == ["C", "F"]
    assert {r.group for r in chosen.chosen([])} == {"", "game"}
    assert {r.group for r in chosen.chosen(["mnist", "A"])} == {"", "mnist"}
    with pytest.raises(UsageError, match=r"no row of gupta2025 holds 'Z'\. `fedprivacy list recipes gupta2025` shows"):
        chosen.chosen(["Z"])
    changes = {"data": {"data_dir": "somewhere", "image_size": 32}, "training": {"lr": 0.5}}
    by_key = {r.key: chosen.config(r, changes) for r in chosen.rows}
    assert by_key["DM"].data.data_dir is None and by_key["DM"].data.image_size is None
    assert by_key["C"].data.image_size == 32 and by_key["C"].training.lr == 0.5
    assert by_key["C2"].training.lr == 3e-4 and by_key["H"].data.validation == 0.3
