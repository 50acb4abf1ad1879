"""The report of a run as a page: what a reader needs first, then all that was measured, and last how it came about."""

from __future__ import annotations

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.brief import summary
from fedprivacy.reporting.document import Document
from fedprivacy.reporting.report import measured, origin, title
from fedprivacy.reporting.sections.banner import banner
from fedprivacy.reporting.sections.verdicts import claim_verdicts


def page(result: RunResult) -> Document:
    """The whole report with its banner; an audit opens with its verdict and its bounds."""
    first = summary(result) if result.audit is None else ()
    sections = (*first, *claim_verdicts(result), *measured(result), *origin(result))
    return Document(title(result), sections, banner(result))
