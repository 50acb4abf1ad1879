"""Sizes and counts of Gupta 2025 (arXiv 2503.05803): its 3,833 images, 5 clients and 12 rounds, without the training.

Everything is real but the pixels, the steps of the optimiser and the predictions, so that the whole takes a moment.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.data.records import Dataset
from fedprivacy.federation import engine
from fedprivacy.study import dataset as dataset_room
from fedprivacy.study.paper.recipe import recipe
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Epoch, Learner, Workbench
from fedprivacy.wire.parties import SERVER

WEIGHTS = 4 * 1_862_785
SHALLOW, DEEP = 4 * 56_320, 4 * 1_806_465


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs rows of the recipe by key, each once."""
    with pytest.MonkeyPatch.context() as patch:
        x = np.zeros((3833, 3, 100, 100), dtype=np.uint8)
        y = np.repeat([0, 1], [1915, 1918]).astype(np.int64)
        names = ("with_mask", "without_mask")
        dataset = Dataset("facemask", x, y, x[:4], y[:4], names, "0")
        patch.setattr(dataset_room, "dataset_of", lambda data: dataset)
        trained: dict[tuple[Any, ...], int] = {}

        def fit(self: Learner, records: Any, epochs: int, seed: Any, *_: Any, **__: Any) -> list[Epoch]:
            trained[(running[0], *seed[1])] = len(records)
            return [Epoch(0.0, 0.0)] * epochs

        patch.setattr(Learner, "fit", fit)
        patch.setattr(Workbench, "logits", lambda self, model, weights, x: torch.zeros(len(x), 1))
        paper, place = recipe("gupta2025"), tmp_path_factory.mktemp("data")
        done: dict[str, tuple[Any, engine.Federation]] = {}
        running = [""]

        def run(key: str) -> tuple[Any, engine.Federation]:
            if key not in done:
                running[0] = key
                (row,) = (row for row in paper.rows if row.key == key)
                study = resolve(paper.config(row, {"data": {"data_dir": str(place)}}))
                env, _ = study.environment(0)
                where: Path = tmp_path_factory.mktemp(key)
                done[key] = env, engine.run(study.protocol, env, where)
            return done[key]

        run.trained = trained  # type: ignore[attr-defined]
        yield run


def payload(done: engine.Federation, sender: str, receiver: str, kind: str = "") -> int:
    chosen = [m for m in done.transcript.messages if (m.sender, m.receiver) == (sender, receiver)]
    return sum(m.payload_bytes for m in chosen if kind in ("", m.kind))


def test_the_model(runs: Any) -> None:
    env, _ = runs("C")
    parameters = dict(env.workbench.module("gupta-cnn").named_parameters())
    assert sum(p.numel() for p in parameters.values()) == 1_862_785
    deep = tuple(env.workbench.module("gupta-cnn").deep)
    assert sum(p.numel() for name, p in parameters.items() if name.startswith(deep)) == 1_806_465


def test_folds_and_public_images(runs: Any) -> None:
    env, _ = runs("C")
    division = env.division
    folds = [*division.public, division.warmup]
    for candidates, validation in zip(division.candidates, division.validation, strict=True):
        folds += [np.concatenate(parts) for parts in zip(candidates, validation, strict=True)]
    assert Counter(map(len, folds)) == {52: 53, 53: 3, 54: 17}
    assert sum(map(len, division.public)) == 631
    assert len(np.unique(np.concatenate(folds))) == 3833
    assert {len(fold) for client in division.candidates for fold in client} == {41, 42, 43}
    assert [sum(map(len, client)) for client in env.members] == pytest.approx([498] * 5, abs=4)


def test_mutual_learning_sends_a_number_a_public_image(runs: Any) -> None:
    _, done = runs("C")
    for client in range(5):
        assert payload(done, f"client-{client}", SERVER) == 2_524
        assert payload(done, SERVER, f"client-{client}") == 10_096
    by_round = {m.payload_bytes for m in done.transcript.messages}
    assert by_round <= {4 * 52, 4 * 53, 4 * 54}
    images = sum(fold.bytes - len(fold.records) for fold in done.transcript.folds)
    assert images == 18_930_000 and {fold.receivers for fold in done.transcript.folds} == {5}
    assert pytest.approx(14_170, rel=1e-3) == 2 * 12 * WEIGHTS / (2_524 + 10_096)
    assert 2 * 12 * WEIGHTS / (2_524 + 10_096 + images) == pytest.approx(9.4, abs=0.05)


def test_the_common_start_is_trained_without_its_validation_part(runs: Any) -> None:
    """41 of the 52 images of its fold, as Keras splits them; 36 where three tenths are held back."""
    runs("C")
    assert runs.trained["C", "initial", "gupta-cnn", "warmup"] == 41
    env, _ = runs("H")
    assert runs.trained["H", "initial", "gupta-cnn", "warmup"] == 36
    for round in range(1, 13):
        assert runs.trained["H", "server", "round", round, "public"] == int(0.7 * len(env.public_ids(round)))
        assert runs.trained["H", "client", 0, "round", round, "private"] == len(env.private(0, round)) in (36, 37)


def test_history_rows_are_those_of_the_published_table(runs: Any) -> None:
    """10 of the warm-up, and in each of 12 rounds 10 private epochs, one look, 10 public epochs."""
    _, done = runs("C")
    for client in range(5):
        rows = [row for row in done.history if row.client in (client, -1)]
        assert len(rows) == 262
        assert Counter(row.phase for row in rows) == {"warmup": 10, "private": 120, "look": 12, "public": 120}


def test_federated_averaging_sends_the_model_both_ways(runs: Any) -> None:
    _, done = runs("F")
    for client in range(5):
        assert payload(done, f"client-{client}", SERVER) == 89_413_680 == 12 * WEIGHTS
        assert payload(done, SERVER, f"client-{client}") == 89_413_680


def test_layer_groups_send_a_third_of_that(runs: Any) -> None:
    _, done = runs("H")
    assert 8 * SHALLOW + 4 * DEEP == 30_705_680
    for client in range(5):
        name = f"client-{client}"
        assert payload(done, name, SERVER, "weights") == 30_705_680 == payload(done, SERVER, name)
        assert payload(done, name, SERVER, "scalars") == 12 * 4
        sizes = [m.payload_bytes for m in done.transcript.messages if m.sender == name and m.kind == "weights"]
        assert sizes == [DEEP if round % 3 == 0 else SHALLOW for round in range(1, 13)]
    assert {fold.receivers for fold in done.transcript.folds} == {0}
