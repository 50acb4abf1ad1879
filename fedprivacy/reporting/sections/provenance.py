"""Where the numbers come from: versions, machine, time and data."""

from __future__ import annotations

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Facts, Line, Section
from fedprivacy.reporting.settings import seeds
from fedprivacy.reporting.text import clean, counted, duration


def provenance_section(result: RunResult) -> Section:
    """Versions, seeds, cost and data digest, with the notes of the run."""
    source = result.provenance
    versions = ", ".join(f"{clean(name)} {clean(version)}" for name, version in source.versions.items())
    facts = (
        ("versions", versions or "not stored"),
        ("seeds", seeds(result)),
        ("time", f"{duration(source.wall_seconds)} wall, {duration(source.cpu_seconds)} cpu"),
        ("machine", f"{counted(source.host_cores, 'core')}, {counted(source.workers, 'worker')}"),
        ("data digest", clean(source.data_digest) or "not stored"),
        ("result schema", clean(result.schema)),
    )
    notes = tuple(Line(f"Note: {clean(note)}", "quiet") for note in source.notes)
    return Section("Provenance", (Facts(facts), *notes), last=True)
