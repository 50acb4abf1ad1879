"""The whole report of one run as a document: every rendering starts here, and nothing is computed again."""

from __future__ import annotations

from fedprivacy.judge.result import RunResult
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


def report(result: RunResult, verdicts_first: bool = False) -> Document:
    """What was run, utility, bytes, leakage, the privacy claim, verdicts, provenance.

    Of scores that came from elsewhere nothing is known but what they leak.
    ``verdicts_first`` puts the verdicts behind what was run: a page is read from its top, a terminal from its end.
    """
    dataset = setting(result.config, "data.dataset")
    title = f"fedprivacy: {run_name(result)}" + (f" on {clean(dataset)}" if dataset else "")
    measured: tuple[Section, ...] = leakage_sections(result)
    if setting(result.config, "scores") is None:
        measured = (utility_section(result), traffic_section(result), *measured, claim_section(result))
    if result.audit is not None:
        measured = (*measured, audit_section(result.audit))
    verdicts = verdict_sections(result)
    body = (*verdicts, *measured) if verdicts_first else (*measured, *verdicts)
    return Document(title, (setup_section(result), *body, provenance_section(result)))
