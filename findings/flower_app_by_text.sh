#!/usr/bin/env bash
# Flower looks for a ServerApp's name in the text of its file: a name that the module has, but
# gives by unpacking a pair, is refused before anything is imported.
#
# Versions: flwr 1.42.0
# Why it matters here: functions that make both apps of a federation return a pair, and
# `server, client = made()` is how one writes that.
# Output seen:
#   two names, one each: accepted
#   one line for both: Unable to find attribute server in module pair
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check flwr==1.42.0
cd "$there"
cat > single.py <<'PYTHON'
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

server = ServerApp()
client = ClientApp()
PYTHON
cat > pair.py <<'PYTHON'
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

server, client = ServerApp(), ClientApp()
PYTHON
FLWR_TELEMETRY_ENABLED=0 "$there/venv/bin/python" - <<'PYTHON'
import importlib
import sys
from pathlib import Path

from flwr.supercore.object_ref import validate

sys.path.insert(0, ".")
one = validate("single:server", project_dir=Path("."))
both = validate("pair:server", project_dir=Path("."))
assert importlib.import_module("pair").server is not None
print("two names, one each:", "accepted" if one[0] else one[1])
print("one line for both:", "accepted" if both[0] else both[1].splitlines()[0])
raise SystemExit(0 if one[0] and not both[0] else 1)
PYTHON
