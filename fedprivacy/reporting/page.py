"""The report of a run as a page: verdicts and what they rest on first, how the run came about last."""

from __future__ import annotations

from dataclasses import replace

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Document
from fedprivacy.reporting.report import report
from fedprivacy.reporting.sections.banner import banner


def page(result: RunResult) -> Document:
    """The whole report with its banner."""
    return replace(report(result), banner=banner(result))
