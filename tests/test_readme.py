"""What the README shows of Python is what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
NUMBER = re.compile(r"\d+\.\d+")


@pytest.mark.slow
def test_the_block_of_python_prints_what_stands_below_it(tmp_path: Path) -> None:
    """Words are the same; numbers are near, since they hang on the processor in the last digits."""
    section = README[README.index("## From Python") :]
    code, shown = re.findall(r"```(?:python)?\n(.*?)```", section, re.DOTALL)[:2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", shown)
    assert [float(x) for x in NUMBER.findall(done.stdout)] == pytest.approx(
        [float(x) for x in NUMBER.findall(shown)], abs=0.03
    )


def test_every_name_of_the_public_face_is_in_the_readme_or_the_documents() -> None:
    import fedprivacy

    text = README + (Path(__file__).parents[1] / "docs" / "recording.md").read_text()
    assert not [name for name in fedprivacy.__all__ if name not in text]
