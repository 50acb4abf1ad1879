"""One class against all others: labels, their share, and a class that is not there."""

from __future__ import annotations

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.sources import load


def test_one_digit_is_told_from_all_others() -> None:
    whole, told = load(DataConfig(dataset="digits")), load(DataConfig(dataset="digits", positive="8"))
    assert told.classes == ("not 8", "8") and told.digest != whole.digest
    assert 0.08 < told.y_train.mean() < 0.12
    eights = {row.tobytes() for row in whole.x_train[whole.y_train == 8]} | {
        row.tobytes() for row in whole.x_test[whole.y_test == 8]
    }
    for x, y in ((told.x_train, told.y_train), (told.x_test, told.y_test)):
        np.testing.assert_array_equal(y == 1, [row.tobytes() in eights for row in x])


def test_a_class_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="--positive: the data have no class 'eight'"):
        load(DataConfig(dataset="digits", positive="eight"))
