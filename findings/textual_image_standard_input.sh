#!/usr/bin/env bash
# On a terminal whose standard input is something else (`program < file`), importing the renderables of
# textual-image raises termios.error: the module asks the terminal what it can draw while it is imported and
# reads the answer from standard input; that it is no terminal is not among the errors it expects.
#
# Versions: textual-image 0.12.0
# Why it matters here: pictures on a terminal would end a run whose input is a pipe; rich-pixels asks nothing.
# Output seen:
#   the import ends with termios.error
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check textual-image==0.12.0
"$there/venv/bin/python" - <<'PYTHON'
import os
import pty
import sys

seen = bytearray()


def heard(file: int) -> bytes:
    part = os.read(file, 1024)
    seen.extend(part)
    return part


line = f"{sys.executable} -c 'import textual_image.renderable' < /dev/null"
try:
    code = os.waitstatus_to_exitcode(pty.spawn(["sh", "-c", line], heard))
except OSError:  # the terminal is gone
    code = 1
found = code != 0 and b"termios.error" in seen
print("the import ends with termios.error" if found else f"ended with {code}: {seen.decode()}")
raise SystemExit(0 if found else 1)
PYTHON
