#!/usr/bin/env bash
# numpy stores a bfloat16 array (ml_dtypes) in .npy and .npz without a word, and reads it back as
# raw bytes of type V2: no warning, no numbers, and a comparison with the original is false
# everywhere.
#
# Versions: numpy 2.4.6, ml_dtypes 0.5.4
# Why it matters here: weights or scores that come out of JAX in bfloat16 lose their type in the one
# format that everybody exchanges; casting to float32 first is exact.
# Output seen:
#   stored bfloat16 [1. 2. 3.], read back |V2
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 ml_dtypes==0.5.4
"$there/venv/bin/python" - <<'PYTHON'
import io

import ml_dtypes
import numpy as np

file = io.BytesIO()
given = np.array([1, 2, 3], ml_dtypes.bfloat16)
np.savez(file, w=given)
file.seek(0)
back = np.load(file)["w"]
print(f"stored {given.dtype} [1. 2. 3.], read back {back.dtype.str}")
file = io.BytesIO()
np.savez(file, w=given.astype(np.float32))
file.seek(0)
same = np.array_equal(np.load(file)["w"], [1, 2, 3])
raise SystemExit(0 if back.dtype == np.dtype("V2") and same else 1)
PYTHON
