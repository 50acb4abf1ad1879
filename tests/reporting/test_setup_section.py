"""What was run: absent clients and lost messages are told, and nothing is said of what did not happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from fedprivacy.judge.result import Interval, RunResult
from fedprivacy.reporting.document import Facts
from fedprivacy.reporting.sections import setup, utility


def test_participation_and_loss_are_told_only_where_there_are_any() -> None:
    whole = {"clients": 5, "rounds": 2, "participation": 1.0, "dropout_rate": 0.0}
    assert list(setup._federation(whole)) == ["5 clients", "2 rounds"]
    partly = {**whole, "participation": 0.4, "dropout_rate": 0.3}
    assert list(setup._federation(partly)) == [
        "5 clients",
        "2 rounds",
        "40% of the clients in a round",
        "each drops out of a round with probability 0.3",
    ]


def test_data_from_disk_is_told_by_the_name_of_its_file() -> None:
    for place in ("/somewhere/else/adult.npz", "adult.npz", "C:\\\\else\\\\adult.npz"):
        assert list(setup._data({"data": {"dataset": "npz", "data_dir": place}})) == ["npz (adult.npz)"]
    assert list(setup._data({"data": {"dataset": "digits", "data_dir": None}})) == ["digits"]


def test_a_skewed_partition_is_told_with_its_strength() -> None:
    said = [{"partition": "dirichlet", "alpha": 0.1}, {"partition": "shards", "classes_per_client": 1}]
    words = ["dirichlet partition (alpha 0.1)", "shards partition (1 class a client)"]
    for data, expected in zip(said, words, strict=True):
        assert list(setup._data({"data": {"dataset": "digits", **data}})) == ["digits", expected]
    assert setup._skew({"data": {"classes_per_client": 2}}, "shards") == " (2 classes a client)"
    assert setup._skew({"data": {"alpha": 0.5, "classes_per_client": 2}}, "iid") == ""


def test_the_caption_of_means_says_what_they_are_over() -> None:
    one, many = Interval(0.5, 0.5, 0.5, (), 1, "one model"), Interval(0.5, 0.4, 0.6, (), 5, "clients")
    assert utility._caption("test accuracy", many, 0.95) == "test accuracy, mean over 5 clients with 95% interval"
    assert "mean over 1" not in utility._caption("test accuracy", one, 0.95)


def test_public_folds_are_told_of_protocols_that_use_them(results: Mapping[str, Callable[[], RunResult]]) -> None:
    base = results["ordinary"]()

    def told(protocol: str, **options: object) -> bool:
        config = {
            **base.config,
            "protocol": protocol,
            "options": options,
            "data": {"public_size": 64, "public_set": "dynamic"},
        }
        (facts,) = setup.setup_section(replace(base, config=config)).blocks
        assert isinstance(facts, Facts)
        return "public folds" in dict(facts.pairs)

    assert told("mutual") and told("layerwise-async") and told("fedavg", public_labels=True) and told("of-my-own")
    assert not told("fedavg") and not told("fml")
