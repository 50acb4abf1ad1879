#!/usr/bin/env bash
# FedArtML's earth mover's distance between clients is taken between the sorted shares, not between the
# classes: two clients that share no class are at distance 0, as two equal ones are. Its Jensen-Shannon
# and Hellinger distances of the same split are 1.
#
# Versions: fedartml 0.1.34, numpy 2.4.6, pandas 3.0.6, scipy 1.17.1
# Why it matters here: this is the figure by which a split is called uneven, and the most uneven split
# there is gets the figure of the most even one.
# Output seen:
#   classes [0] and [1]: Jensen-Shannon 1.00, Hellinger 1.00, earth mover's 0.00
#
# The splitting is imported past the package's face, which draws plots in notebooks.
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile fedartml==0.1.34 \
    numpy==2.4.6 scipy==1.17.1 pandas==3.0.6 python-dateutil==2.9.0.post0 six==1.17.0
"$there/venv/bin/python" - <<'PYTHON'
import importlib.util
import sys
import types

import numpy as np

face = types.ModuleType("fedartml")
face.__path__ = list(importlib.util.find_spec("fedartml").submodule_search_locations)
sys.modules["fedartml"] = face
from fedartml.fl_split_as_federated_data import SplitAsFederatedData  # noqa: E402

x, y = np.random.default_rng(0).normal(size=(200, 3)), np.repeat([0, 1], 100)
asked = dict(image_list=x, label_list=y, num_clients=2, method="percent_noniid", percent_noniid=100)
clients, _, _, distances = SplitAsFederatedData(random_state=0).create_clients(**asked)[:4]
held = [sorted({int(label) for _, label in records}) for records in clients["without_class_completion"].values()]
js, hellinger, mover = (distances["without_class_completion"][k] for k in ("jensen-shannon", "hellinger", "earth-movers"))
told = f"Jensen-Shannon {js:.2f}, Hellinger {hellinger:.2f}, earth mover's {mover:.2f}"
print(f"classes {held[0]} and {held[1]}: {told}")
raise SystemExit(0 if held == [[0], [1]] and js > 0.99 and hellinger > 0.99 and mover < 0.01 else 1)
PYTHON
