"""What is said of the models of a run: the clients' count, and a server's beside them is told apart."""

from __future__ import annotations

import pytest

from fedprivacy.study.utility import utility_of


def test_the_servers_model_beside_the_clients_is_told_and_counts_nothing() -> None:
    one = {
        "client-0": {"accuracy": 0.5, "own_accuracy": 0.7},
        "client-1": {"accuracy": 0.7, "own_accuracy": 0.9},
        "server": {"accuracy": 0.1, "own_accuracy": 0.2},
    }
    other = {**one, "server": {"accuracy": 0.3, "own_accuracy": 0.4}}
    found = utility_of([one, other], 0.95)
    assert found["test_accuracy"].mean == pytest.approx(0.6)
    assert found["test_own_accuracy"].mean == pytest.approx(0.8)
    assert found["server_test_accuracy"].per_seed == (0.1, 0.3)
    assert found["server_test_own_accuracy"].per_seed == (0.2, 0.4)


def test_a_server_that_is_alone_is_the_model_that_counts() -> None:
    found = utility_of([{"server": {"accuracy": 0.4}}], 0.95)
    assert found["test_accuracy"].mean == pytest.approx(0.4) and "server_test_accuracy" not in found
