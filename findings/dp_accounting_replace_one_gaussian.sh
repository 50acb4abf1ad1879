#!/usr/bin/env bash
# Under REPLACE_ONE dp-accounting's PLD accountant doubles the sensitivity of a Gaussian event by
# itself and its RDP accountant does not: the same event, three times at noise multiplier 4, costs
# 3.71 or 1.85.
#
# Versions: dp-accounting 0.6.0
# Why it matters here: whoever brings his own doubled sensitivity pays twice with one accountant,
# and whoever does not pays half with the other.
# Output seen:
#   add or remove: PLD 1.698, RDP 1.847; replace one: PLD 3.709, RDP 1.847
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check dp-accounting==0.6.0
"$there/venv/bin/python" - <<'PYTHON'
import dp_accounting
from dp_accounting import pld, rdp


def spent(kind, relation):
    accountant = kind(neighboring_relation=relation)
    accountant.compose(dp_accounting.GaussianDpEvent(4.0), 3)
    return accountant.get_epsilon(1e-5)


relation = dp_accounting.NeighboringRelation
found = [spent(k, r) for r in (relation.ADD_OR_REMOVE_ONE, relation.REPLACE_ONE)
         for k in (pld.PLDAccountant, rdp.RdpAccountant)]
print("add or remove: PLD {:.3f}, RDP {:.3f}; replace one: PLD {:.3f}, RDP {:.3f}".format(*found))
raise SystemExit(0 if found[2] > 2 * found[0] and abs(found[3] - found[1]) < 1e-9 else 1)
PYTHON
