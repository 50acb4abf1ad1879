"""The public face of the metrics: sorted, complete, documented, and free of torch."""

from __future__ import annotations

import inspect
import subprocess
import sys

import fedprivacy.metrics as metrics


def test_exported_names_are_sorted_present_and_documented() -> None:
    assert metrics.__all__ == sorted(metrics.__all__)
    for name in metrics.__all__:
        exported = getattr(metrics, name)
        if inspect.isclass(exported) or inspect.isfunction(exported):
            assert exported.__doc__, name


def test_importing_metrics_imports_neither_torch_nor_a_heavy_library() -> None:
    code = (
        "import sys, fedprivacy.metrics;"
        "print([m for m in ('torch', 'skimage', 'sklearn', 'scipy.stats', 'pydantic') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
