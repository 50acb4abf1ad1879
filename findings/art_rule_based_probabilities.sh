#!/usr/bin/env bash
# The rule-based membership attack of the Adversarial Robustness Toolbox gives every record of a two-class
# model the same probability of being a member: the rows are written one over the other, and the last record
# of either kind stays. As yes or no it calls those members that the model gets right; as probabilities it is
# at AUC .5 whatever the model does, and a row does not sum to 1.
#
# Versions: adversarial-robustness-toolbox 1.20.1, scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1
# Why it matters here: whoever draws a ROC curve takes the probabilities, and sees a model that leaks as one that
# does not.
# Output seen (a forest that knows its 100 training records by heart, labels at random):
#   members called members 1.00, others 0.47
#   rows of probabilities that differ: 1 of 200, AUC 0.50, the sum of one 0.44
#
# Exits non-zero where that is no longer so.
set -euo pipefail
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
"${PYTHON:-python3}" -m venv "$there/venv"
"$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
    adversarial-robustness-toolbox==1.20.1 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 joblib==1.6.0 \
    threadpoolctl==3.8.0 narwhals==2.29.0 six==1.17.0 tqdm==4.70.1 packaging==26.4 setuptools==65.5.0 \
    cloudpickle==3.1.3
"$there/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
from art.attacks.inference.membership_inference import MembershipInferenceBlackBoxRuleBased
from art.estimators.classification.scikitlearn import SklearnClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

random = np.random.default_rng(0)
x, y, member = random.normal(size=(200, 5)), random.integers(0, 2, 200), np.arange(200) < 100
forest = RandomForestClassifier(random_state=0, bootstrap=False).fit(x[member], y[member])
attack = MembershipInferenceBlackBoxRuleBased(SklearnClassifier(model=forest))
called, told = attack.infer(x, y), attack.infer(x, y, probabilities=True)
print(f"members called members {called[member].mean():.2f}, others {called[~member].mean():.2f}")
rows, area = len(np.unique(told, axis=0)), roc_auc_score(member, told[:, 1])
print(f"rows of probabilities that differ: {rows} of {len(told)}, AUC {area:.2f}, the sum of one {told[0].sum():.2f}")
held = called[member].all() and called[~member].mean() < 0.7 and rows == 1 and area == 0.5
raise SystemExit(0 if held else 1)
PYTHON
