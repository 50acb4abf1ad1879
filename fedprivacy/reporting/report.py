"""The whole report of one run as a document: every rendering starts here, and nothing is computed again."""

from __future__ import annotations

from pathlib import Path

from fedprivacy.judge.result import RunResult
from fedprivacy.parts import RECORDING
from fedprivacy.reporting.document import Document, Section
from fedprivacy.reporting.sections.audit import audit_section
from fedprivacy.reporting.sections.claim import claim_section
from fedprivacy.reporting.sections.leakage import leakage_sections
from fedprivacy.reporting.sections.provenance import provenance_section
from fedprivacy.reporting.sections.setup import setup_section
from fedprivacy.reporting.sections.traffic import traffic_section
from fedprivacy.reporting.sections.utility import utility_section
from fedprivacy.reporting.sections.verdicts import verdict_sections
from fedprivacy.reporting.settings import run_name, setting
from fedprivacy.reporting.text import clean


def report(result: RunResult) -> Document:
    """Verdicts first, then what they rest on: utility, bytes, leakage, the privacy claim; last what was run and where.

    Of scores that came from elsewhere nothing is known but what they leak.
    """
    return Document(title(result), (*verdict_sections(result), *measured(result), *origin(result)))


def measured(result: RunResult) -> tuple[Section, ...]:
    """Everything that was measured, an audit first."""
    found: tuple[Section, ...] = leakage_sections(result)
    if setting(result.config, "scores") is None:
        found = (utility_section(result), traffic_section(result), *found, claim_section(result))
    return found if result.audit is None else (audit_section(result.audit), *found)


def origin(result: RunResult) -> tuple[Section, ...]:
    """What was run, and where."""
    return setup_section(result), provenance_section(result)


def title(result: RunResult) -> str:
    """What was run on which data."""
    dataset = setting(result.config, "data.dataset")
    if str(dataset or "").startswith(RECORDING):
        return f"fedprivacy: recording {clean(Path(str(dataset).removeprefix(RECORDING)).name)}"
    return f"fedprivacy: {run_name(result)}" + (f" on {clean(dataset)}" if dataset else "")
