"""Pages of rows and columns: what is run, what is shown of it, and that every one of ours can be carried out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import catalog
from fedprivacy.cli.carry_out import ready
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import (
    Audit,
    AuditEstimate,
    AuditRow,
    Communication,
    Finding,
    Interval,
    PrivacyClaim,
    Provenance,
    RunResult,
)
from fedprivacy.reporting.document import Document, Table
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.reporting.text import MISSING
from fedprivacy.study import recipes
from fedprivacy.study.tables.cells import text
from fedprivacy.study.tables.claims import judged
from fedprivacy.study.tables.made import Made, make
from fedprivacy.study.tables.page import document, figures
from fedprivacy.study.tables.recipe import Claim, Column, Line, Recipe, checked, laid_over, lines, recipe

AUC = {"head": "AUC", "show": "finding", "metric": ["AUC"], "statistic": ["loss"]}
ACCURACY = {"head": "accuracy", "show": "utility", "metric": ["test_accuracy"]}
GROUPS = [
    {"name": "few rounds", "settings": {"rounds": 2}},
    {"name": "many rounds", "settings": {"rounds": 8}, "about": "Longer."},
]
ROWS = [
    {"name": "averaged", "settings": {"protocol": "fedavg"}},
    {"name": "shared", "settings": {"protocol": "mutual"}},
]
BASE = RunConfig(seeds=2)


def page(**changes: Any) -> Recipe:
    content = {"title": "A page", "groups": GROUPS, "rows": ROWS, "columns": [ACCURACY, AUC], **changes}
    return checked(build(Recipe, content, "recipe test"), "test")


class Planted:
    """Federations whose accuracy follows from rounds and seed, and whose AUC is told; one protocol is refused."""

    def __init__(self, refused: str = "", failed: str = "") -> None:
        self.refused, self.failed, self.trained = refused, failed, [""]

    def say(self, words: str) -> None:
        self.told = words

    def place(self, config: RunConfig) -> Path:
        return Path(config.digest())

    def train(self, config: RunConfig) -> tuple[RunResult, Path]:
        if config.protocol == self.refused:
            raise UsageError("it cannot be")
        self.trained.append(config.digest())
        seeds = tuple(0.5 + 0.03 * config.rounds + 0.01 * seed for seed in range(config.seeds))
        mean = sum(seeds) / len(seeds)
        utility = {"test_accuracy": Interval(mean, mean - 0.1, mean + 0.1, per_seed=seeds)}
        claim = PrivacyClaim("record", "add-remove", 1.0, 0.0, "", 0)
        told = Provenance({}, 0, 1, 1, 1, 0.0, 6.0, "")
        sizes = Communication(800, 1600, 0, 0, 0, ())
        return RunResult(config.model_dump(mode="json"), utility, (), sizes, claim, (), (), told), Path("run")

    def attack(self, config: RunConfig, run: Path) -> RunResult:
        where = ("membership", "what it got")
        found = [
            Finding(*where, name, "server (honest-but-curious)", "all clients", "AUC", value, 0.5, 0.5, 0.7, 0.95, 9)
            for name, value in (("loss", 0.6), ("ratio", 0.7), ("null (shuffled coins)", 0.5))
        ]
        done = replace(found[0], statistic="what was done", metric="forged model right", value=0.4)
        found.append(done)
        if config.protocol == self.failed:
            found = [replace(one, value=None, flag="error", note="too small") for one in found]
        return replace(self.train(config)[0], findings=tuple(found))


def made(which: Recipe, runner: Planted | None = None, base: RunConfig = BASE) -> list[Made]:
    return make(lines(which, base), runner or Planted(), lambda line: None)


def tables(told: Document) -> list[tuple[tuple[str, ...], ...]]:
    blocks = [block for section in told.sections for block in section.blocks if isinstance(block, Table)]
    return [
        (tuple(c.title for c in one.columns), *(tuple(cell.lines[0] for cell in row) for row in one.rows))
        for one in blocks
    ]


ATTACKED = {"attack": {"attacks": ["membership"]}}


def shown(which: Recipe, runner: Planted | None = None) -> list[tuple[tuple[str, ...], ...]]:
    base = build(RunConfig, BASE.model_dump(mode="json") | ATTACKED, "test")
    return tables(document(which, made(which, runner, base), base, "the command"))


def test_processor_time_of_the_run_is_a_column() -> None:
    made, _ = Planted().train(BASE)
    assert text(Column(head="cpu-s", show="seconds", digits=1), made) == "6.0"


def test_a_share_is_shown_as_a_count() -> None:
    counted = Finding("inversion", "updates", "chosen", "server", "all", "read", 0.2, 0.0, 0.01, 0.7, 0.95, 5)
    made = replace(Planted().train(BASE)[0], findings=(counted,))
    assert text(Column(head="read", show="part", metric=("read",)), made) == "1 of 5"
    assert text(Column(head="read", show="part", metric=("other",)), made) == MISSING


def test_one_table_a_group_and_one_with_a_column_a_group() -> None:
    few, many, across = shown(page(across=["accuracy", "AUC"]))
    assert few[0] == ("what", "accuracy", "AUC")
    assert few[1] == ("averaged", "0.565 [0.465, 0.665]", "0.600 [0.500, 0.700]")
    assert many[2][:2] == ("shared", "0.745 [0.645, 0.845]")
    assert across[0] == ("what", "few rounds", "many rounds")
    assert across[1][1] == "0.565 [0.465, 0.665] / 0.600 [0.500, 0.700]"


def test_a_difference_is_paired_by_seed_and_a_column_of_nothing_is_left_out() -> None:
    minus = {**ACCURACY, "head": "gain", "minus": "averaged"}
    other = {**AUC, "head": "peer", "seat": "passive peer"}
    (few,) = shown(page(groups=GROUPS[:1], columns=[minus, other]))
    assert few[0] == ("what", "gain")
    assert [row[1] for row in few[1:]] == ["-", "0.000 [0.000, 0.000]"]


def test_one_line_a_statistic_without_controls() -> None:
    (beside,) = shown(page(groups=GROUPS[:1], columns=[ACCURACY, {**AUC, "statistic": []}], by_statistic=True))
    assert "what was done" not in str(beside)  # its accuracy alone is no row of a page on statistics
    (few,) = shown(page(groups=GROUPS[:1], columns=[{**AUC, "statistic": []}], by_statistic=True))
    assert few[0] == ("what", "adversary", "observes", "statistic", "AUC")
    assert [row[3] for row in few[1:]] == ["loss", "ratio"] * 2


def test_what_is_refused_or_failed_is_told_and_leaves_the_rest() -> None:
    which = page(groups=GROUPS[:1], across=["AUC"])
    done = made(which, Planted(refused="mutual"))
    text = document_to_markdown(document(which, done, BASE, "the command"))
    assert "Refused: few rounds: shared: it cannot be" in text and "averaged" in text
    grouped, across = shown(which, Planted(failed="mutual"))
    assert grouped[2][2] == across[2][1] == "failed"


def test_bytes_of_a_run_and_of_one_client_in_a_round() -> None:
    sizes = [
        {"head": "run", "show": "bytes", "metric": ["both"]},
        {"head": "message", "show": "bytes", "metric": ["up"], "each": "message"},
    ]
    (few,) = shown(page(groups=GROUPS[:1], columns=sizes))
    assert few[1][1:] == ("2.40 kB", "80 B")


def test_a_part_that_is_named_anew_leaves_its_old_options_behind() -> None:
    before = {"protocol": "a", "options": {"x": 1}, "defense": {"name": "b", "delta": 0.1, "options": {"y": 2}}}
    assert laid_over(before, {"protocol": "c"})["options"] == {}
    assert laid_over(before, {"defense": {"name": "none"}})["defense"] == {"name": "none", "delta": 0.1}
    assert laid_over(before, {"defense": {"epsilon": 1.0}})["defense"]["options"] == {"y": 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"across": ["nothing"]}, "no column 'nothing'"),
        ({"rows": []}, "group 'few rounds' has no rows"),
        ({"columns": [{**AUC, "minus": "nobody"}]}, "has no row 'nobody'"),
        ({"tables": 3}, "no setting 'tables' exists"),
    ],
)
def test_a_page_that_is_none_is_told_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        page(**changes)


def test_only_rows_that_are_asked_for() -> None:
    assert [line.title for line in lines(page(), BASE, ["MANY rounds: s"])] == ["many rounds: shared"]
    with pytest.raises(UsageError, match=r"no row of mine holds 'nobody'\. `fedprivacy list recipes mine` shows all 4"):
        lines(page(), BASE, ["nobody"], "mine")


def test_a_row_that_is_misspelt_is_told_with_the_nearest_alone() -> None:
    """Also beside one that is there: no word is passed over in silence."""
    with pytest.raises(UsageError, match=r"holds 'avraged'\. Did you mean 'averaged'\? `fedprivacy list"):
        lines(page(), BASE, ["shared", "avraged"])
    inversion = recipe("inversion")
    with pytest.raises(UsageError, match="Did you mean 'mlp sgd 5 steps on 8 records'") as told:
        lines(inversion, build(RunConfig, inversion.base, "test"), ["mlp sgd 5 stps on 8 records"], "inversion")
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("name", catalog.TABLES)
def test_every_page_of_ours_can_be_carried_out(name: str) -> None:
    """Only a mixture of models is refused, and only by protocols that cannot have it."""
    which = recipe(name)
    found = lines(which, build(RunConfig, {"seeds": which.seeds, **which.base}, name))
    for line in found:
        if line.config.training.client_models and not catalog.card(line.config.protocol).heterogeneous_models:
            with pytest.raises(UsageError):
                ready(line.config, 1, "cpu")
        else:
            ready(line.config, 1, "cpu")
    assert len({line.title for line in found}) == len(found)


def test_the_frontier_is_drawn_of_each_group() -> None:
    which = page(figure="frontier")
    drawn = figures(which, made(which))
    assert set(drawn) == {"frontier-few-rounds", "frontier-many-rounds"}
    assert all(png[:4] == b"\x89PNG" for png in drawn.values())


def test_the_first_refusal_is_raised_where_every_row_is_refused() -> None:
    def check(line: Line) -> None:
        raise UsageError("no such data")

    with pytest.raises(UsageError, match="no such data"):
        make(lines(page(), BASE), Planted(), check)


CLAIM = {"says": "More rounds are better", "group": "few rounds", "row": "shared", "against": "averaged"}
TRAINED = {"show": "utility", "metric": ["test_accuracy"]}


def result(accuracies: tuple[float, ...], sent: int = 100) -> RunResult:
    whole = Planted().train(BASE)[0]
    utility = {"test_accuracy": Interval(sum(accuracies) / len(accuracies), 0.0, 1.0, per_seed=accuracies)}
    return replace(whole, utility=utility, communication=Communication(sent, sent, 0, sent, 0, ()))


@pytest.mark.parametrize(
    ("asked", "gains", "verdict"),
    [
        ({"least": 0.0}, (0.05, 0.06, 0.05), "supported"),
        ({"least": 0.0}, (-0.05, -0.06, -0.05), "refuted"),
        ({"least": 0.0}, (0.05, -0.06, 0.05), "inconclusive"),
        ({"least": -0.01}, (0.001, -0.001, 0.0), "supported"),
        ({"least": 0.02}, (0.011, 0.009, 0.01), "refuted"),
        ({"least": 0.0, "most": 0.02}, (0.05, 0.06, 0.05), "refuted"),
        ({"least": 0.0}, (0.05,), "inconclusive"),
    ],
)
def test_a_difference_is_judged_by_its_whole_interval(asked: Any, gains: tuple[float, ...], verdict: str) -> None:
    other = tuple(0.5 + 0.1 * place for place in range(len(gains)))
    own = tuple(one + gain for one, gain in zip(other, gains, strict=True))
    claim = build(Claim, {**CLAIM, **TRAINED, **asked, "published": "74 against 70"}, "test")
    found = judged(claim, result(own), result(other), "A. Author 2020", 0.95)
    assert (found.verdict, found.source) == (verdict, "A. Author 2020")
    assert found.why.startswith("The paper: 74 against 70. Here: shared minus averaged: ")
    assert ("one seed has no interval" in found.why) == (len(gains) == 1)


def test_each_row_is_judged_by_the_first_measure_that_it_has() -> None:
    asked = {"show": "utility", "metric": ["server_test_accuracy", "test_accuracy"], "least": 0.0}
    served, plain = result((0.1, 0.2, 0.3)), result((0.5, 0.6, 0.7))
    servers = {"server_test_accuracy": plain.utility["test_accuracy"], **served.utility}
    found = judged(build(Claim, {**CLAIM, **asked}, "test"), replace(served, utility=servers), plain, "", 0.95)
    assert found.verdict == "supported" and "of server test accuracy against test accuracy" in found.why
    bare = judged(build(Claim, {**CLAIM, **asked}, "test"), replace(served, utility={}), plain, "", 0.95)
    assert bare.verdict == "inconclusive" and "has no server_test_accuracy or test_accuracy" in bare.why


@pytest.mark.parametrize(("most", "verdict"), [(0.3, "supported"), (0.2, "refuted")])
def test_bytes_are_counted_and_their_ratio_judged(most: float, verdict: str) -> None:
    claim = build(Claim, {**CLAIM, "show": "bytes", "metric": ["up"], "most": most}, "test")
    found = judged(claim, result((0.5, 0.6), sent=25), result((0.5, 0.6)), "", 0.95)
    assert found.verdict == verdict and "shared sends 4 times fewer bytes than averaged (25%)" in found.why
    assert "no figure of it could be read" in found.why


@pytest.mark.parametrize(("most", "verdict"), [(1.5, "supported"), (1.4, "refuted")])
def test_a_ratio_of_processor_time_is_judged(most: float, verdict: str) -> None:
    claim = build(Claim, {**CLAIM, "show": "seconds", "most": most}, "test")
    slow, fast = (
        replace(one, provenance=replace(one.provenance, cpu_seconds=seconds))
        for one, seconds in ((result((0.5, 0.6)), 9.0), (result((0.5, 0.6)), 6.0))
    )
    found = judged(claim, slow, fast, "", 0.95)
    assert found.verdict == verdict and "shared takes 1.5 times the processor time of averaged (9 and 6 s)" in found.why
    unmeasured = replace(fast, provenance=replace(fast.provenance, cpu_seconds=0.0))
    assert judged(claim, slow, unmeasured, "", 0.95).verdict == "inconclusive"


@pytest.mark.parametrize("asked", [{"show": "bytes"}, {"show": "seconds", "metric": ["both"]}])
def test_a_claim_names_a_metric_where_there_are_several(asked: Any) -> None:
    with pytest.raises(UsageError, match=r"needs a metric of bytes|takes no metric"):
        build(Claim, {**CLAIM, **asked}, "test")


def test_a_claim_whose_rows_did_not_run_or_do_not_exist_is_told() -> None:
    claim = build(Claim, {**CLAIM, **TRAINED, "least": 0.0}, "test")
    assert judged(claim, None, result((0.5, 0.6)), "", 0.95).why.endswith("shared was not run")
    with pytest.raises(UsageError, match="claim 'More rounds are better': group 'few rounds' has no row 'nobody'"):
        page(claims=[{**CLAIM, **TRAINED, "against": "nobody"}])


def test_verdicts_stand_first_with_what_was_guessed_and_what_was_published() -> None:
    rows = [ROWS[0], {"name": "shared", "settings": {"protocol": "profe"}, "published": "96.8"}]
    columns = [ACCURACY, {"head": "the paper's", "show": "published"}]
    which = page(rows=rows, columns=columns, claims=[{**CLAIM, **TRAINED, "least": 0.1}], source="A. Author 2020")
    told = document(which, made(which), BASE, "the command")
    text = document_to_markdown(told)
    assert told.sections[0].title == "Verdicts"
    assert (
        "REFUTED: More rounds are better. The paper: " in text and "A. Author 2020. A verdict is of the claim" in text
    )
    assert "Not the paper's in profe: the weights of all terms" in text
    assert tables(told)[0] == (
        ("what", "accuracy", "the paper's"),
        ("averaged", "0.565 [0.465, 0.665]", "-"),
        ("shared", "0.565 [0.465, 0.665]", "96.8"),
    )


def test_rows_of_an_audited_page_are_what_the_command_would_choose() -> None:
    audits = recipe("audits")
    base = build(RunConfig, {"seeds": audits.seeds, **audits.base}, "test")
    found = lines(audits, base)
    assert len(found) == 12
    for line in found:
        defense = line.config.defense
        told = recipes.table({"dp-sgd": "private_training", "dp-fedavg": "private_clients"}.get(defense.name, ANSWERS))
        assert (line.config.protocol, line.config.seeds) == (told["protocol"], told["seeds"])
        assert line.config.options == told["options"]
        assert defense.options.items() >= told["defense"]["options"].items()
        assert line.config.attack.observations and line.config.attack.attacks == ("membership",)
        clients = line.config.canaries.coins == "client"
        assert clients == (line.config.canaries.kind == "opposite") == ("record" not in line.group.about)
        assert line.config.data.candidates == (10 if clients else told["data"]["candidates"])


ANSWERS = "private_answers"


def test_cells_of_an_audit_are_those_of_the_tests_that_decide() -> None:
    def row(method: str, low: float, judged: bool = True) -> AuditRow:
        return AuditRow("a", "o", "s", method, "none", low, 5.0, "", judged=judged, control=False, reachable=2.5)

    rows = (row("one run, Gaussian DP", 9.0, False), row("one run, guesses fixed", 1.239), row("one run, the claim", 2))
    told = AuditEstimate("a", "o", "s", 3.9, 3.5, 4.25, "Gaussian")
    audit = Audit("record", "add-remove", "", 1600, 2, 4.0, 1e-5, 0.95, rows, (told,))
    result, _ = Planted().train(BASE)
    shown = [
        {"head": "coins", "show": "coins"},
        {"head": "any", "show": "bound", "metric": ["one run, guesses"]},
        {"head": "own", "show": "bound", "metric": ["one run, the claim"]},
        {"head": "reachable", "show": "reachable", "metric": ["one run, guesses"]},
        {"head": "estimate", "show": "estimate", "digits": 2},
        {"head": "other", "show": "bound", "metric": ["no such"]},
    ]
    columns = [build(Column, one, "test") for one in shown]
    cells = [text(column, replace(result, audit=audit)) for column in columns]
    assert cells == ["1,600", "1.23", "2", "2.5", "3.90 [3.50, 4.25]", MISSING]
    assert text(columns[0], result) == MISSING
