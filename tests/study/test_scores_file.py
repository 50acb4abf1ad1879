"""Scores of models trained elsewhere: the same report as for our own, and one line for a file that is not right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.judge.result import Finding, RunResult, from_json
from fedprivacy.metrics.pooling import ranks_within
from fedprivacy.study.audit.scores import audit_file
from fedprivacy.study.documents import write_documents
from fedprivacy.study.membership import foreign
from fedprivacy.study.membership.foreign import judge_file
from fedprivacy.study.membership.scores_file import read_scores

Arrays = dict[str, Any]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes arrays to a .npz file."""

    def write(**arrays: Any) -> Path:
        path = tmp_path / "file.npz"
        np.savez(path, **arrays)
        return path

    return write


def plain(n: int = 600, leak: float = 1.0) -> Arrays:
    draw = np.random.default_rng(0)
    member = draw.random(n) < 0.5
    return {"member": member, "scores": draw.normal(size=n) + leak * member}


def bank(models: int = 12, n: int = 300, leak: float = 1.0, balanced: bool = False) -> Arrays:
    """Logits of models that are surer of what they were trained on; records differ in how hard they are."""
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 4, n)
    member = draw.random((models, n)) < 0.5
    if balanced:
        member = np.argsort(draw.random((models, n)), axis=0) < models // 2
    logits = draw.normal(size=(n, 4)) + draw.normal(scale=0.5, size=(models, n, 4))
    logits[:, np.arange(n), labels] += leak * np.where(member, 1, -1)
    population = draw.integers(0, 4, 50)
    return {
        "member": member.astype(np.uint8),
        "labels": labels,
        "logits": logits,
        "population_labels": population,
        "population_logits": draw.normal(size=(models, 50, 4)),
    }


def one_target(arrays: Arrays) -> Arrays:
    """The first model of a bank as the target, the others as shadows."""
    return {
        "member": arrays["member"][0],
        "labels": arrays["labels"],
        "target_logits": arrays["logits"][0],
        "shadow_logits": arrays["logits"][1:],
        "shadow_member": arrays["member"][1:],
        "population_labels": arrays["population_labels"],
        "population_target_logits": arrays["population_logits"][0],
        "population_shadow_logits": arrays["population_logits"][1:],
    }


def pooled(result: RunResult, statistic: str, metric: str = "AUC") -> Finding:
    (found,) = [f for f in result.findings if (f.statistic, f.metric, f.target) == (statistic, metric, "all clients")]
    return found


def judged(path: Path, **attack: Any) -> RunResult:
    return judge_file(read_scores(path), AttackConfig(**attack))


def test_scores_get_auc_tpr_chance_and_a_null_row(written: Callable[..., Path]) -> None:
    arrays = plain()
    result = judged(written(**arrays))
    auc = pooled(result, "scores")
    assert auc.value == pytest.approx(roc_auc_score(arrays["member"], arrays["scores"]))
    assert auc.headline and auc.low is not None and auc.low > 0.5
    assert pooled(result, "scores", "TPR@10%FPR").false_positives is not None
    assert pooled(result, "scores", "TPR@0.1%FPR").flag == "below"
    null = pooled(result, "null (shuffled coins)")
    assert null.low is not None and null.high is not None and null.low < 0.5 < null.high
    assert [v.verdict for v in result.verdicts] == ["refuted"]
    assert from_json(json.loads(json.dumps(result.to_json()))) == result


def test_several_scores_are_compared_and_the_best_is_called_a_selection(written: Callable[..., Path]) -> None:
    arrays = plain()
    arrays["scores_ours"], arrays["scores_noise"] = arrays.pop("scores"), np.random.default_rng(5).normal(size=600)
    result = judged(written(**arrays), headline="ours")
    assert pooled(result, "ours").headline and not pooled(result, "noise").headline
    best = pooled(result, "best of 2, selected")
    own = pooled(result, "ours")
    assert best.value == own.value and best.note.startswith("ours; a selection")
    assert best.low is not None and own.low is not None and best.low < own.low
    with pytest.raises(UsageError, match="Did you mean 'ours'"):
        judged(written(**arrays), headline="our")


def test_scores_of_different_clients_are_ranked_within_each(written: Callable[..., Path]) -> None:
    arrays = plain()
    client = np.arange(600) % 3
    shifted = arrays | {"client": client, "scores": arrays["scores"] + 100.0 * client}
    found = pooled(judged(written(**shifted)), "scores")
    expected = roc_auc_score(arrays["member"], ranks_within(arrays["scores"], client))
    assert found.value == pytest.approx(expected)


def test_one_target_with_shadows_equals_that_target_of_a_bank(written: Callable[..., Path]) -> None:
    arrays = bank()
    one = judged(written(**one_target(arrays)))
    names = {f.statistic for f in one.findings}
    assert {"loss", "ratio", "rmia", "lira-online", "lira-offline", "base-online", "bavaria", "population"} <= names
    assert pooled(one, "ratio").headline
    every = judged(written(**arrays))
    alone = [pooled(judged(written(**one_target(_turned(arrays, f)))), "ratio").value for f in range(12)]
    assert pooled(every, "ratio").value == pytest.approx(np.mean(alone))
    assert "mean over 12 models" in pooled(every, "ratio").note
    assert [f for f in every.findings if f.target == "most vulnerable tenth"]


def _turned(arrays: Arrays, first: int) -> Arrays:
    order = [first, *(f for f in range(len(arrays["member"])) if f != first)]
    return {
        name: values[order] if name in ("member", "logits", "population_logits") else values
        for name, values in arrays.items()
    }


def test_without_a_leak_the_bank_is_at_chance(written: Callable[..., Path]) -> None:
    result = judged(written(**bank(leak=0.0)))
    for finding in result.findings:
        if finding.metric == "AUC" and finding.target == "all clients":
            assert finding.value is not None and finding.chance_low is not None and finding.chance_high is not None
            assert finding.chance_low - 0.03 < finding.value < finding.chance_high + 0.03, finding.statistic
    assert not any("predicts membership" in note for note in result.provenance.notes)


@pytest.mark.parametrize("balanced", [False, True])
def test_a_silent_model_is_not_refuted_by_the_members_of_its_references(
    written: Callable[..., Path], balanced: bool
) -> None:
    """The first model answers noise. Where members are balanced, who else holds a record tells its coin."""
    arrays = bank(models=4, n=2000, leak=3.0, balanced=balanced)
    arrays["logits"][0] = np.random.default_rng(7).normal(size=(2000, 4))
    path, statistics = written(**arrays), ("base-online",)
    config = RunConfig.model_validate({"attack": {"attacks": ("membership",), "statistics": statistics}})
    if balanced:
        with pytest.raises(UsageError, match="base-online: the number of references"):
            audit_file(read_scores(path), config.attack, 0.5, 1e-5)
        result = judged(path, statistics=statistics, headline="base-online")
        assert [v.verdict for v in result.verdicts] == ["inconclusive"]
        config = RunConfig.model_validate({"attack": {"attacks": ("membership",), "statistics": ("loss",)}})
    found = audit_file(read_scores(path), config.attack, 0.5, 1e-5)
    assert [row.low for row in found.audit.rows if row.judged] == [0.0]  # type: ignore[union-attr]
    assert [v.verdict for v in found.verdicts] == ["inconclusive"]


def test_members_that_were_not_drawn_independently_are_told(written: Callable[..., Path]) -> None:
    """Each record in exactly half of the models: who lacks it elsewhere has it here, on pure noise."""
    result = judged(written(**bank(leak=0.0, balanced=True)))
    (note,) = [note for note in result.provenance.notes if "predicts membership" in note]
    assert "AUC 1.000" in note and note in pooled(result, "ratio").note


def test_a_complementary_model_is_no_reference(written: Callable[..., Path]) -> None:
    arrays = bank(models=8)
    arrays["member"][1] = 1 - arrays["member"][0]
    result = judged(written(**arrays), statistics=("ratio",))
    assert "no reference of its complement" in pooled(result, "ratio").note


def test_without_shadows_only_what_needs_none(written: Callable[..., Path]) -> None:
    arrays = one_target(bank())
    bare = {name: arrays[name] for name in ("member", "labels", "target_logits")}
    result = judged(written(**bare))
    assert pooled(result, "loss").headline and "ratio" not in {f.statistic for f in result.findings}


def test_a_run_folder_is_written_where_asked(written: Callable[..., Path], tmp_path: Path) -> None:
    where = tmp_path / "out"
    result = judge_file(read_scores(written(**plain())), AttackConfig(), where)
    assert (where / "result.json").exists()
    write_documents(result, where)
    assert (where / "figures" / "roc.png").exists()
    page = (where / "report.html").read_text()
    assert "Nothing crossed the wire" not in page and "Epsilon" not in page and "Leakage: membership" in page


WRONG: dict[str, tuple[Arrays, str]] = {
    "no flags": ({"scores": np.zeros(4)}, "has no member flags (it has scores)"),
    "no scores": ({"member": np.array([0, 1])}, "neither scores nor logits"),
    "other flags": ({"member": np.array([0, 2]), "scores": np.zeros(2)}, "other values than 0 and 1"),
    "one side": ({"member": np.ones(3), "scores": np.zeros(3)}, "on one side"),
    "lengths": ({"member": np.array([0, 1]), "scores": np.zeros(3)}, "3 scores 'scores' for 2 member flags"),
    "nan": ({"member": np.array([0, 1]), "scores": np.array([np.nan, 1.0])}, "1 of 2 values in scores are NaN"),
    "text": ({"member": np.array([0, 1]), "scores": np.array(["a", "b"])}, "expected numbers [any]"),
    "matrix": ({"member": np.eye(2), "scores": np.zeros(2)}, "one flag a record"),
    "no labels": ({"member": np.array([0, 1]), "target_logits": np.zeros((2, 3))}, "has no labels"),
    "labels": (
        {"member": np.array([0, 1]), "target_logits": np.zeros((2, 3)), "labels": np.array([0, 3])},
        "class numbers from 0 to 2",
    ),
    "one column": (
        {"member": np.array([0, 1]), "target_logits": np.zeros((2, 1)), "labels": np.array([0, 0])},
        "write one sigmoid logit z as (0, z)",
    ),
    "shadows": (
        {
            "member": np.array([0, 1]),
            "target_logits": np.zeros((2, 3)),
            "labels": np.zeros(2),
            "shadow_logits": np.zeros((4, 2, 3)),
            "shadow_member": np.zeros((3, 2)),
        },
        "shadow_member is (3, 2); shadow_logits need (4, 2)",
    ),
    "bank": ({"member": np.array([0, 1]), "logits": np.zeros((2, 2, 3))}, "[models, n]"),
    "clients": ({**plain(4), "member": np.array([0, 1, 0, 1]), "client": np.zeros(3)}, "a client number a record"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_not_right_is_said_in_one_line(case: str, written: Callable[..., Path]) -> None:
    arrays, words = WRONG[case]
    with pytest.raises(UsageError) as caught:
        read_scores(written(**arrays))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_python_objects_are_never_loaded(written: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Python objects are never loaded"):
        read_scores(written(member=np.array([{}, 1], dtype=object)))
    broken = tmp_path / "broken.npz"
    for content in (b"no zip at all", b"PK\x03\x04 cut off", b""):
        broken.write_bytes(content)
        with pytest.raises(UsageError, match="Cannot read"):
            read_scores(broken)
    with pytest.raises(UsageError, match="no file"):
        read_scores(tmp_path / "absent.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UsageError, match="a single array"):
        read_scores(tmp_path / "one.npy")


def test_references_of_a_file_in_float32_stay_in_float32(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the memory; the target is read in float64, and the findings are those of the same numbers in float64."""
    arrays = bank()
    single = {name: a.astype(np.float32) if "logits" in name else a for name, a in arrays.items()}
    double = {name: a.astype(np.float64) if "logits" in name else a for name, a in single.items()}
    seen = []
    scored = foreign.score_target
    monkeypatch.setattr(foreign, "score_target", lambda s, attack: seen.append(s) or scored(s, attack))
    ours = judge_file(read_scores(written(**single)), AttackConfig())
    for signals in seen:
        assert signals.references.logp.dtype == signals.references.population_logp.dtype == np.float32
        assert signals.logp.dtype == signals.population_logp.dtype == np.float64
    theirs = judge_file(read_scores(written(**double)), AttackConfig())
    for one, other in zip(ours.findings, theirs.findings, strict=True):
        assert (one.statistic, one.metric) == (other.statistic, other.metric)
        assert one.value == pytest.approx(other.value, abs=1e-3, nan_ok=True)
