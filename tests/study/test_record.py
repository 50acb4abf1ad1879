"""The privacy record: what a claim says, whom it holds against, what attacks measured, and nothing made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from fedprivacy.attacks.version import NAME, digest
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import (
    Audit,
    AuditRow,
    Communication,
    Finding,
    PrivacyClaim,
    Provenance,
    RunResult,
    Verdict,
)
from fedprivacy.privacy.claim import RECEIVERS
from fedprivacy.reporting import schema
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.reporting.record import ASKED, document
from fedprivacy.study.record import record

NOTHING = "none: no differential privacy is claimed"
CLAIM = PrivacyClaim("record", "add-remove", 4.0, 1e-5, "PLD", 12, cross_check=4.01, seeded=True)


def result(claim: PrivacyClaim = CLAIM, audit: Audit | None = None, defense: str = "dp-sgd") -> RunResult:
    config = RunConfig.model_validate(
        {"protocol": "fedavg", "defense": {"name": defense, "epsilon": 4.0, "options": {"clip": 1.0}}}
    ).model_dump(mode="json")
    auc = Finding(
        "membership", "noised updates", "joint", "server (honest-but-curious)", "all clients", "AUC",
        0.61, 0.5, 0.58, 0.64, 0.95, 900, 0.47, 0.53, 450, 450, headline=True,
    )  # fmt: skip
    shown = (auc, replace(auc, statistic="loss", headline=False), replace(auc, target="client-1"))
    told = Provenance({"fedprivacy": "0.1.0", NAME: digest()}, 0, 1, 2, 1, 1.0, 1.0, "abc")
    verdict = Verdict("epsilon 4 holds", "a claim", "not refuted", "1.4 was measured")
    return RunResult(config, {}, (), Communication(1, 1, 0, 2, 2, ()), claim, shown, (verdict,), told, audit)


def test_it_holds_the_claim_the_trust_model_and_the_evidence_with_its_version() -> None:
    made = record(result())
    assert (made.privacy_loss.privacy_unit, made.privacy_loss.epsilon, made.privacy_loss.delta) == ("record", 4.0, 1e-5)
    assert "unbounded" in made.privacy_loss.privacy_unit_description
    assert made.model.model_name == "local" and made.dp_flavor.name == "approximate DP"
    assert made.accounting.accountant == "PLD" and made.accounting.second_accountant_epsilon == 4.01
    assert made.implementation.mechanism.startswith("dp-sgd: ") and "clip = 1" in made.implementation.mechanism_settings
    assert "McMahan" in made.implementation.protocol
    (auc,) = made.evidence
    assert (auc.value, auc.low, auc.high, auc.chance) == (0.61, 0.58, 0.64, 0.5)
    assert auc.attack_version == f"fedprivacy 0.1.0, code {digest()}"
    assert any("named seed" in words for words in made.hazards)


@pytest.mark.parametrize(
    ("claim", "model", "flavour"),
    [
        (replace(CLAIM, adversary=RECEIVERS), "central", "approximate DP"),
        (replace(CLAIM, delta=0.0), "local", "pure DP"),
        (
            replace(CLAIM, epsilon=None, why="without noise: weights"),
            "none",
            "none: no differential privacy is claimed",
        ),
    ],
)
def test_other_claims(claim: PrivacyClaim, model: str, flavour: str) -> None:
    made = record(result(claim))
    assert made.model.model_name == model and made.dp_flavor.name == flavour
    if claim.epsilon is None:
        assert made.dp_flavor.unprotected_quantities == "without noise: weights"
        assert made.hazards == ("No bound protects anybody: without noise: weights.",)


def test_measured_bounds_stand_beside_the_claim() -> None:
    bound = AuditRow(
        "server (honest-but-curious)", "noised updates", "joint", "one run", "fair coins", 1.45, 5.08, "m=1500", True
    )
    audit = Audit("record", "add-remove", "orthogonal", 1500, 1, 4.0, 1e-5, 0.95, (bound, replace(bound, judged=False)))
    made = record(result(audit=audit))
    first = made.evidence[0]
    assert (first.attack, first.low, first.high) == ("audit", 1.45, None) and len(made.evidence) == 2
    page = document_to_markdown(document(made))
    assert "at least 1.45" in page and all(words in page for words in ASKED) and len(page.splitlines()) < 80


def test_its_json_follows_the_schema_and_is_complete() -> None:
    content = json.loads(json.dumps(record(result()).to_json()))
    jsonschema.validate(content, schema.stored("record"))
    for name in ("privacy_loss", "model", "accounting", "evidence", "hazards"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: value for key, value in content.items() if key != name}, schema.stored("record"))


def test_a_change_of_an_attack_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedprivacy.attacks import version

    before = digest()
    (tmp_path / "version.py").write_text("")
    monkeypatch.setattr(version, "__file__", str(tmp_path / "version.py"))
    version.digest.cache_clear()
    first = version.digest()
    (tmp_path / "statistic.py").write_text("x = 1\n")
    version.digest.cache_clear()
    second = version.digest()
    (tmp_path / "statistic.py").write_bytes(b"x = 1\r\n")
    version.digest.cache_clear()
    assert len({before, first, second}) == 3 and version.digest() == second
    monkeypatch.undo()
    version.digest.cache_clear()
