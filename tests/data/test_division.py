"""Every role has its own records: sizes, disjointness by content, reproducibility, and errors that count."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig, RunConfig
from fedprivacy.data.division import divide
from fedprivacy.data.duplicates import content, distinct
from fedprivacy.data.folds import stratified_folds
from fedprivacy.data.needs import fold_for, trained_part
from fedprivacy.data.raw import Part
from fedprivacy.data.records import Dataset, Division, Ids
from fedprivacy.data.sources import load


def dataset(count: int, classes: int = 3, seed: int = 0, duplicated: float = 0.0) -> Dataset:
    """Random images; a share of them copies of others, removed as a source removes them."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (count + 50, 1, 4, 4), dtype=np.uint8)
    y = rng.integers(0, classes, count + 50)
    copies = rng.random(count + 50) < duplicated
    source = rng.integers(0, count + 50, copies.sum())
    x[copies], y[copies] = x[source], y[source]
    train, test = Part(x[:count], y[:count]), Part(x[count:], y[count:])
    kept = distinct(train, test)
    train, test = train.take(kept.train), test.take(kept.test)
    names = tuple(str(c) for c in range(classes))
    return Dataset("made", train.x, train.y, test.x, test.y, names, "0" * 64)


def roles(division: Division) -> list[Ids]:
    """Every array of a division, a repeated public fold once."""
    public = {id(fold): fold for fold in division.public}.values()
    folds = [fold for side in (division.candidates, division.validation) for client in side for fold in client]
    return [division.warmup, division.auxiliary, *public, *folds]


def same(a: Division, b: Division) -> bool:
    return len(roles(a)) == len(roles(b)) and all(map(np.array_equal, roles(a), roles(b)))


configurations = st.fixed_dictionaries(
    {
        "layout": st.sampled_from(["pools", "pools", "folds"]),
        "partition": st.sampled_from(["iid", "dirichlet", "shards", "tasks"]),
        "alpha": st.sampled_from([0.05, 0.5, 100.0]),
        "classes_per_client": st.integers(1, 3),
        "candidates": st.one_of(st.none(), st.integers(2, 60)),
        "schedule": st.sampled_from(["whole", "fresh"]),
        "validation": st.sampled_from([0.0, 0.2, 0.5]),
        "warmup": st.integers(0, 30),
        "public_set": st.sampled_from(["dynamic", "static"]),
        "public_size": st.integers(0, 30),
        "auxiliary": st.integers(0, 60),
    }
)


@settings(deadline=None, max_examples=150)
@given(configurations, st.integers(1, 6), st.integers(1, 6), st.integers(0, 50))
def test_no_record_has_two_roles(values: dict[str, Any], clients: int, rounds: int, seed: int) -> None:
    try:
        config = DataConfig(**values)
    except ValidationError:
        assume(False)
    data = dataset(500, seed=seed, duplicated=0.3)
    try:
        division = divide(data, config, clients, rounds, seed)
    except UsageError as error:
        assert "\n" not in str(error)
        assume(False)
    together = np.concatenate([*map(content, (data.x_train[ids] for ids in roles(division))), content(data.x_test)])
    assert len(np.unique(together)) == len(together)
    assert all(ids.dtype == np.int64 for ids in roles(division))
    assert same(division, divide(data, config, clients, rounds, seed))
    assert len(division.candidates) == len(division.validation) == clients
    folds = 1 if config.schedule == "whole" else rounds
    assert {len(side) for side in (*division.candidates, *division.validation)} == {folds}
    assert all(len(fold) >= 1 for client in division.candidates for fold in client)
    assert len(division.auxiliary) == config.auxiliary
    if config.layout == "pools":
        assert len(division.public) == rounds and {len(fold) for fold in division.public} == {config.public_size}
        assert len(division.warmup) == config.warmup
        sizes = {len(division.pool(k)) for k in range(clients)}
        assert sizes == {config.candidates} if config.candidates is not None else min(sizes) >= 2
    if config.layout == "pools" and config.schedule == "fresh":
        for client in division.candidates:
            assert max(map(len, client)) - min(map(len, client)) <= 1
    for client, looked in zip(division.candidates, division.validation, strict=True):
        for fold, rest in zip(client, looked, strict=True):
            if config.layout == "pools" or config.schedule == "fresh":
                assert len(fold) == trained_part(len(fold) + len(rest), config.validation)


def test_the_default_data_set_feeds_five_clients_for_twelve_rounds() -> None:
    data = load(DataConfig())
    config = DataConfig(public_size=100)
    division = divide(data, config, clients=5, rounds=12, root=0)
    assert (len(data.y_train), len(data.y_test)) == (4000, 1000)
    assert [len(division.pool(k)) for k in range(5)] == [400] * 5
    assert [len(fold) for fold in division.public] == [100] * 12
    assert len(division.auxiliary) == 600 and len(division.warmup) == 0
    assert sum(map(len, roles(division))) == 3800
    assert not same(division, divide(data, config, clients=5, rounds=12, root=1))
    run = RunConfig()
    assert divide(data, run.data, run.clients, run.rounds, run.seed).public[0].size == run.data.public_size


def test_a_static_public_set_is_one_fold() -> None:
    division = divide(dataset(400), DataConfig(candidates=40, public_set="static", auxiliary=0), 3, 9, 0)
    assert len(division.public) == 9 and all(fold is division.public[0] for fold in division.public)


def test_pools_stay_when_other_roles_change() -> None:
    data = dataset(900)
    base = DataConfig(candidates=50, public_size=20, auxiliary=30)
    first = divide(data, base, 4, 5, 0)
    for change in ({"public_size": 40}, {"auxiliary": 100}, {"warmup": 60}):
        other = divide(data, base.model_copy(update=change), 4, 5, 0)
        assert all(np.array_equal(first.pool(k), other.pool(k)) for k in range(4))


def test_public_and_auxiliary_records_follow_the_class_proportions_of_a_skewed_run() -> None:
    data = dataset(2000, classes=4)
    config = DataConfig(partition="dirichlet", alpha=0.05, candidates=200, public_size=100, auxiliary=400)
    division = divide(data, config, 4, 5, 0)
    share = np.bincount(data.y_train) / len(data.y_train)
    for ids in (division.auxiliary, *division.public):
        assert np.abs(np.bincount(data.y_train[ids], minlength=4) / len(ids) - share).max() < 0.04
    pools = [np.bincount(data.y_train[division.pool(k)], minlength=4).max() / 200 for k in range(4)]
    assert max(pools) > 0.6


def test_candidates_none_shares_out_the_rest() -> None:
    data = dataset(1000)
    for partition in ("iid", "dirichlet"):
        config = DataConfig(partition=partition, candidates=None, public_size=10, auxiliary=50, validation=0.2)
        division = divide(data, config, 7, 4, 0)
        assert sum(map(len, roles(division))) == len(data.y_train)


def test_one_thousand_clients() -> None:
    data = dataset(9000)
    config = DataConfig(candidates=4, public_size=10, auxiliary=600, partition="dirichlet")
    division = divide(data, config, 1000, 12, 0)
    assert len(division.candidates) == 1000 and {len(division.pool(k)) for k in range(1000)} == {4}


@pytest.mark.parametrize("validation", [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_fold_for_inverts_trained_part(validation: float) -> None:
    for trained in range(1, 200):
        records = fold_for(trained, validation)
        assert trained_part(records, validation) == trained > trained_part(records - 1, validation)


def test_validation_split_as_in_keras() -> None:
    assert [trained_part(n, 0.2) for n in (52, 53, 54)] == [41, 42, 43]


def test_guptas_folds_on_the_sizes_of_the_face_mask_set() -> None:
    labels = np.repeat([0, 1], [1914, 1918])
    folds = stratified_folds(labels, 73, np.random.default_rng(0))
    sizes = [len(fold) for fold in folds]
    assert [sizes.count(n) for n in (52, 53, 54)] == [53, 4, 16] and sum(sizes) == 3832
    assert {int(n) for fold in folds for n in np.bincount(labels[fold])} == {26, 27}
    assert sum(sizes[72 - 6 * t] for t in range(1, 13)) == 631
    assert sorted(np.concatenate(folds).tolist()) == list(range(3832))
    full = [len(f) for f in stratified_folds(np.repeat([0, 1], [1915, 1918]), 73, np.random.default_rng(0))]
    assert [full.count(n) for n in (52, 53, 54)] == [53, 3, 17]


def test_the_folds_layout_hands_them_out_from_the_end() -> None:
    y = np.repeat([0, 1], [1914, 1918])
    x = np.arange(3832 * 4, dtype=np.uint32).view(np.uint8).reshape(3832, 1, 4, 4)
    data = Dataset("faces", x, y, x[:2], y[:2], ("a", "b"), "")
    config = DataConfig(layout="folds", schedule="fresh", validation=0.2, auxiliary=0, duplicates="keep", inclusion=1.0)
    division = divide(data, config, 5, 12, 333)
    assert len(division.warmup) == 52 and sum(map(len, division.public)) == 631
    assert sum(map(len, roles(division))) == 3832
    assert {len(fold) for client in division.candidates for fold in client} == {41, 42, 43}
    assert all(493 <= len(division.pool(k)) <= 503 for k in range(5))
    whole = divide(data, config.model_copy(update={"schedule": "whole"}), 5, 12, 333)
    assert all(np.array_equal(whole.pool(k), division.pool(k)) and len(whole.candidates[k]) == 1 for k in range(5))
    static = divide(data, config.model_copy(update={"public_set": "static"}), 5, 12, 333)
    assert all(fold is static.public[0] for fold in static.public)
    assert np.array_equal(static.public[0], division.public[0]) and len(static.public) == 12


@pytest.mark.parametrize(
    ("values", "clients", "rounds", "words"),
    [
        (
            {"candidates": 800, "auxiliary": 600, "warmup": 50, "public_size": 100},
            5,
            12,
            ["needs 5,850 training records", "private 5 x 800", "public 12 x 100", "auxiliary 600", "warmup 50"],
        ),
        ({}, 5, 12, ["but made has 1,000 for training"]),
        ({"candidates": 200, "public_size": 0, "auxiliary": 0}, 8, 2, ["lower candidates to 125"]),
        ({"candidates": 100, "public_size": 0, "auxiliary": 0}, 300, 2, ["lower clients to 10"]),
        ({"candidates": 10, "public_size": 200, "auxiliary": 0}, 5, 10, ["lower public_size to 95"]),
        ({"candidates": 10, "public_size": 0, "auxiliary": 1200}, 5, 10, ["lower auxiliary to 950"]),
        ({"candidates": 10, "public_size": 0, "auxiliary": 0, "warmup": 1100}, 5, 10, ["lower warmup to 950"]),
        (
            {"candidates": None, "public_size": 0, "auxiliary": 0},
            600,
            3,
            ["private 600 x 2 at least", "clients to 500"],
        ),
        ({"candidates": 5, "schedule": "fresh"}, 5, 12, ["5 candidates into 12 rounds", "at least 12"]),
        (
            {"layout": "folds", "auxiliary": 0},
            100,
            12,
            ["1,213 folds", "smallest would hold 0", "Lower clients or rounds."],
        ),
        ({"layout": "folds", "auxiliary": 999}, 2, 2, ["cuts 1 records", "or auxiliary."]),
        ({"layout": "folds", "auxiliary": 5000}, 2, 2, ["cuts 0 records", "or auxiliary."]),
        (
            {"partition": "shards", "candidates": None, "auxiliary": 0, "public_size": 0, "classes_per_client": 4},
            5,
            2,
            ["classes_per_client is 4", "3 classes"],
        ),
        (
            {
                "partition": "shards",
                "candidates": None,
                "auxiliary": 0,
                "public_size": 0,
                "classes_per_client": 1,
                "schedule": "fresh",
                "validation": 0.9,
            },
            30,
            3,
            ["partition 'shards' leaves a client", "at least"],
        ),
    ],
)
def test_errors_count(values: dict[str, Any], clients: int, rounds: int, words: list[str]) -> None:
    data = dataset(1000)
    assert len(data.y_train) == 1000
    with pytest.raises(UsageError) as caught:
        divide(data, DataConfig(**values), clients, rounds, 0)
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text


@settings(deadline=None, max_examples=150)
@given(configurations, st.integers(1, 30), st.integers(1, 12))
def test_following_the_advice_helps(values: dict[str, Any], clients: int, rounds: int) -> None:
    data = dataset(200)
    config = DataConfig(**{**values, "layout": "pools", "partition": "iid"})
    try:
        divide(data, config, clients, rounds, 0)
        assume(False)
    except UsageError as error:
        advice = re.search(r"(?:lower|raise) (\w+) to (?:at least )?(\d+)", str(error).replace(",", ""))
        assert advice or "lower clients, candidates and public_size" in str(error), error
    assume(advice is not None and "raise" not in advice.group(0))
    assert advice is not None
    setting, number = advice.group(1), int(advice.group(2))
    if setting == "clients":
        clients = number
    else:
        config = config.model_copy(update={setting: number})
    divide(data, config, clients, rounds, 0)
