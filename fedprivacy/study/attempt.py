"""An attack that fails is written with its cause, so that the run goes on and the report shows the failure.

What records, models and numbers may cause is told in its own words. What torch refuses may be the fault of a model or
of this package, so it is told as not foreseen, with the place. Errors of settings, of memory and of files, and what
only a mistake in the code gives (a wrong type, a missing key) end the run as everywhere.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.execution.exhausted import out_of_memory
from fedprivacy.training.learner import Diverged

SINGULAR: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
PACKAGE = Path(__file__).parents[1]
LONGEST = 300
"""Characters of a cause that nobody here wrote."""


@contextmanager
def attempt(path: Path) -> Iterator[None]:
    """Write to ``path`` why what runs within failed, where that is no reason to end the run."""
    try:
        yield
    except Exception as error:
        if (cause := cause_of(error)) is None:
            raise
        folder.write_arrays(path, {}, {"failed": cause})


def cause_of(error: Exception) -> str | None:
    """One line on an attack's ``error``; None for one that ends the run."""
    if isinstance(error, UsageError) or out_of_memory(error):
        return None
    if isinstance(error, Diverged):
        return f"in what the adversary played, {error}"  # not in the federation, which is done
    if isinstance(error, (ValueError, FloatingPointError, SINGULAR)):
        return _line(error) or type(error).__name__
    if isinstance(error, RuntimeError) and not isinstance(error, RecursionError):
        words = _line(error)[:LONGEST]
        return (
            f"not foreseen: {type(error).__name__}{f': {words}' if words else ''} ({_place(error)}; please report it)"
        )
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _place(error: Exception) -> str:
    """The innermost line of this package that led to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [(Path(frame.filename), frame.lineno) for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    path, line = own[-1]
    return f"{path.relative_to(PACKAGE)}:{line}"
