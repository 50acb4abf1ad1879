"""Rounds, checkpoints and resuming, planted folds, and the test of final models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.federation import engine
from fedprivacy.federation.checkpoints import last_round
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import FederatedProtocol
from fedprivacy.federation.probes import planted_folds, probe_last_round, spread_probes
from fedprivacy.federation.tested import best_threshold, margin, own_accuracy, scored
from fedprivacy.study.resolve import resolve
from fedprivacy.training.learner import Diverged
from fedprivacy.wire.codec import same_bits

Configure = Callable[..., Any]


class Stop(BaseException):
    """A process that dies here."""


@pytest.fixture
def world(small_config: Configure) -> Callable[..., tuple[FederatedProtocol, Environment]]:
    """Builds the protocol and the environment of a small configuration."""

    def build(**changes: Any) -> tuple[FederatedProtocol, Environment]:
        config = small_config(**changes)
        return resolve(config).protocol, resolve(config).environment(config.seed)[0]

    return build


def left(where: Path) -> dict[str, bytes]:
    """Every file of a run but those that a dying process leaves under a temporary name."""
    return {
        str(path.relative_to(where)): path.read_bytes()
        for path in sorted(where.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def assert_same(a: engine.Federation, b: engine.Federation) -> None:
    for one, other in ((a.state, b.state), (a.before_last, b.before_last)):
        assert one.round == other.round and list(one.parts) == list(other.parts)
        assert all(same_bits(one.parts[p], other.parts[p]) for p in one.parts)
        assert all(list(one.parts[p]) == list(other.parts[p]) for p in one.parts)
    assert a.history == b.history and a.events == b.events
    assert a.transcript.messages == b.transcript.messages
    for one, other in zip(a.transcript.folds, b.transcript.folds, strict=True):
        assert (one.round, one.labelled, one.bytes, one.receivers) == (
            other.round,
            other.labelled,
            other.bytes,
            other.receivers,
        )
        assert one.records.tolist() == other.records.tolist()


def test_a_run_leaves_checkpoints_messages_and_an_index(world: Any, tmp_path: Path) -> None:
    protocol, env = world(rounds=3)
    seen: list[int] = []
    done = engine.run(protocol, env, tmp_path, progress=seen.append)
    assert seen == [0, 1, 2, 3]
    assert [f.name for f in sorted((tmp_path / "checkpoint").iterdir())] == [
        "round-00001.safetensors",
        "round-00002.safetensors",
        "round-00003.safetensors",
    ]
    assert last_round(tmp_path / "checkpoint") == 3 and done.before_last.round == 2
    stored = engine.stored_transcript(tmp_path / "transcript")
    assert stored.messages == done.transcript.messages
    assert [f.records.tolist() for f in stored.folds] == [ids.tolist() for ids in env.division.public]
    assert {m.round for m in stored.messages} == {1, 2, 3}
    for message in stored.messages:
        assert len(stored.store.get(message.digest)) == message.encoded_bytes
    assert len(done.events) == 3 * 3 and {row.phase for row in done.history} == {"private", "look", "public"}


@pytest.mark.parametrize("protocol", ["mutual", "fedavg", "layerwise-async", "central"])
def test_stopped_after_any_round_it_goes_on_as_if_nothing_had_happened(
    world: Any, tmp_path: Path, protocol: str
) -> None:
    whole = engine.run(*world(protocol=protocol), tmp_path / "whole")
    for last in range(3):

        def die(done: int, last: int = last) -> None:
            if done == last:
                raise Stop

        with pytest.raises(Stop):
            engine.run(*world(protocol=protocol), tmp_path / f"{last}", progress=die)
        assert last_round(tmp_path / f"{last}" / "checkpoint") == last
        assert_same(engine.run(*world(protocol=protocol), tmp_path / f"{last}"), whole)
        assert left(tmp_path / f"{last}") == left(tmp_path / "whole")


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_dying_at_any_write_loses_nothing(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    protocol, env = world(clients=2, data={"candidates": 20, "public_size": 8})
    whole = engine.run(protocol, env, tmp_path / "whole")
    replace, write_at, number = Path.replace, folder.write_at, 0
    survived = False
    while not survived:
        where, writes = tmp_path / f"{number}", 0

        def die_at(write: Callable[..., Any], part: Callable[..., Any], last: int = number) -> Callable[..., Any]:
            def dying(*arguments: Any) -> Any:
                nonlocal writes
                writes += 1
                if writes <= last:
                    return write(*arguments)
                if moment == "during":
                    part(*arguments)
                if moment == "after":
                    write(*arguments)
                raise Stop

            return dying

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", die_at(replace, lambda path, _: path.write_bytes(path.read_bytes()[:7])))
            patch.setattr(folder, "write_at", die_at(write_at, lambda path, at, data: write_at(path, at, data[:7])))
            patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)  # a killed process cleans nothing up
            try:
                engine.run(protocol, env, where)
                survived = True
            except Stop:
                pass
        assert_same(engine.run(protocol, env, where), whole)
        assert {name: data for name, data in left(where).items() if name in left(tmp_path / "whole")} == left(
            tmp_path / "whole"
        )
        number += 1
    assert number > 6


def test_dying_right_after_the_last_checkpoint_leaves_no_older_one(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, env = world(clients=2, rounds=5, data={"candidates": 20, "public_size": 8})
    whole = engine.run(protocol, env, tmp_path / "whole")
    replace = Path.replace

    def dying(path: Path, target: Path) -> None:
        replace(path, target)
        if target.name == "round-00005.safetensors":
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Path, "replace", dying)
        engine.run(protocol, env, tmp_path / "died")
    assert_same(engine.run(protocol, env, tmp_path / "died"), whole)
    assert left(tmp_path / "died") == left(tmp_path / "whole")


def test_nothing_is_written_when_the_check_fails(world: Any, tmp_path: Path) -> None:
    protocol, env = world(options={"kl": "literal"})
    with pytest.raises(UsageError, match="kl = 'literal' is for two classes, digits has 10"):
        engine.run(protocol, env, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_divergence_names_client_round_and_phase(world: Any, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="client-0, round 1, private phase: the loss became"):
        engine.run(*world(training={"lr": 1e30, "optimizer": "sgd", "local_epochs": 3}), tmp_path)
    assert last_round(tmp_path / "checkpoint") == 0


def test_a_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.json"
    folder.write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        folder.write_json(target, {"a": float("nan")})
    assert folder.read_json(target) == {"a": 1}
    assert [path.name for path in target.parent.iterdir()] == ["file.json"]
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        folder.write_text(tmp_path / "taken", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "taken"]


def test_arrays_go_to_disk_and_back(tmp_path: Path) -> None:
    arrays = {"b": np.array([np.nan, 1.0]), "a": np.zeros((0, 3), dtype=bool), "c": np.arange(6).reshape(2, 3).T}
    folder.write_arrays(tmp_path / "x.safetensors", arrays, {"note": ["é"]})
    back, header = folder.read_arrays(tmp_path / "x.safetensors")
    assert header == {"note": ["é"]} and set(back) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


ids = st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=60)


@given(ids, st.integers(1, 30), st.floats(0.01, 1))
def test_planted_folds_hold_each_probe_once_and_keep_the_size(probes: list[int], size: int, share: float) -> None:
    regular = np.arange(10**7, 10**7 + size)
    folds = list(planted_folds(np.array(probes), regular, share))
    planted = [int(r) for fold in folds for r in fold if r < 10**7]
    assert planted == probes
    for fold in folds:
        assert len(fold) == size and len(set(fold.tolist())) == size
        assert sum(r < 10**7 for r in fold) <= max(1, int(share * size))


@given(ids, st.lists(st.integers(1, 20), min_size=1, max_size=6), st.floats(0.01, 1))
def test_spread_probes_stand_once_and_all_of_them_where_there_is_room(
    probes: list[int], sizes: list[int], share: float
) -> None:
    borders = np.cumsum([10**7, *sizes])
    regular = [np.arange(a, a + size) for a, size in zip(borders, sizes, strict=False)]
    planted = spread_probes(np.array(probes), regular, share)
    assert sorted(planted) == list(range(1, len(sizes) + 1))
    standing = [int(r) for fold in planted.values() for r in fold if r < 10**7]
    assert standing == probes[: len(standing)]
    rooms = [max(1, int(share * size)) for size in sizes]
    for number, fold in planted.items():
        assert len(fold) == sizes[number - 1]
        assert sum(r < 10**7 for r in fold) <= rooms[number - 1]
    per_round = -(-len(probes) // len(sizes))
    if min(rooms) >= per_round:
        assert len(standing) == len(probes)


def test_an_active_server_changes_nothing_before_the_last_fold(world: Any, tmp_path: Path) -> None:
    protocol, env = world(data={"candidates": 30})
    done = engine.run(protocol, env, tmp_path)
    before = left(tmp_path)
    probes = np.concatenate([env.division.pool(k) for k in range(env.clients)])
    transcripts = probe_last_round(protocol, env, done.before_last, probes, 0.5, tmp_path / "probes")
    assert left(tmp_path).items() >= before.items()
    asked = [r for t in transcripts for r in t.folds[0].records.tolist()]
    assert set(probes.tolist()) <= set(asked)
    honest = {m.sender: m for m in done.transcript.messages if m.round == env.rounds and m.receiver == "server"}
    regular = env.division.public[-1].tolist()
    for transcript in transcripts:
        assert [m.sender for m in transcript.messages] == sorted(honest)
        rows = [i for i, r in enumerate(transcript.folds[0].records.tolist()) if r in regular]
        assert len(rows) >= len(regular) // 2
        for message in transcript.messages:
            theirs: Any = transcript.payload(message)
            ours: Any = done.transcript.payload(honest[message.sender])
            places = [regular.index(int(transcript.folds[0].records[i])) for i in rows]
            torch.testing.assert_close(theirs.values[rows], ours.values[places], rtol=1e-5, atol=1e-6)


def test_planted_folds_of_a_whole_run_are_what_clients_train_on(world: Any, tmp_path: Path) -> None:
    protocol, env = world()
    planted = spread_probes(env.division.pool(0)[:10], env.division.public, 0.25)
    done = engine.run(protocol, env.with_planted(planted), tmp_path)
    assert [f.records.tolist() for f in done.transcript.folds] == [planted[t].tolist() for t in (1, 2)]
    honest = engine.run(protocol, env, tmp_path / "honest")
    assert not same_bits(done.state.parts["client-0/model"], honest.state.parts["client-0/model"])


def test_final_models_are_tested_on_the_test_set(world: Any, tmp_path: Path) -> None:
    protocol, env = world()
    done = engine.run(protocol, env, tmp_path)
    models = protocol.models(done.state, env)
    results = scored(models, env)
    assert sorted(results) == ["client-0", "client-1", "client-2"]
    for client, (owner, (_, weights)) in enumerate(models.items()):
        own = np.concatenate(env.members[client])
        sets = (env.dataset.x_test, env.dataset.y_test), (env.dataset.x_train[own], env.dataset.y_train[own])
        found = []
        for x, y in sets:
            hidden = torch.relu(
                torch.from_numpy(x).float().flatten(1) / 255 @ weights["hidden.weight"].T + weights["hidden.bias"]
            )
            logits, labels = hidden @ weights["head.weight"].T + weights["head.bias"], torch.from_numpy(y)
            loss = float(torch.nn.functional.cross_entropy(logits, labels))
            found.append((float((logits.argmax(1) == labels).double().mean()), loss))
        (right, loss), (learned, _) = found
        assert results[owner] == pytest.approx({"accuracy": right, "loss": loss, "train_accuracy": learned}, abs=0.004)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_two_classes_have_an_auc_and_a_tuned_threshold(
    world: Any, tmp_path: Path, binary_digits: str, output: str
) -> None:
    data = {"dataset": "npz", "data_dir": binary_digits, "validation": 0.2}
    protocol, env = world(protocol="local", data=data, training={"output": output, "local_epochs": 5})
    done = engine.run(protocol, env, tmp_path)
    models = protocol.models(done.state, env)
    results = scored(models, env)
    y = env.dataset.y_test
    for client, (architecture, weights) in enumerate(models.values()):
        score = margin(env.workbench.logits(architecture, weights, env.dataset.x_test))
        held_out = env.records(np.concatenate(env.division.validation[client]))
        known = margin(env.workbench.logits(architecture, weights, held_out.x))
        cuts = np.concatenate([np.sort(known) + 1e-9, [known.min() - 1, 0.0]])
        right = [((known > cut) == (held_out.y == 1)).sum() for cut in cuts]
        result = results[f"client-{client}"]
        assert result["auc"] == pytest.approx(roc_auc_score(y, score))
        assert result["accuracy"] == pytest.approx(((score > 0) == (y == 1)).mean())
        assert result["tuned_accuracy"] > 0.5
        assert [result[f"recall_{c}"] for c in (0, 1)] == pytest.approx(
            [((score > 0) == c)[y == c].mean() for c in (0, 1)]
        )
        own = env.records(np.concatenate(env.members[client]))
        learned = margin(env.workbench.logits(architecture, weights, own.x))
        assert result["train_accuracy"] == pytest.approx(((learned > 0) == (own.y == 1)).mean())
        tuned = best_threshold(known, held_out.y == 1)
        assert ((known > tuned) == (held_out.y == 1)).sum() == max(right)


def test_skewed_clients_are_also_tested_on_their_own_classes(world: Any, tmp_path: Path) -> None:
    data = {"partition": "shards", "classes_per_client": 2}
    protocol, env = world(protocol="local", data=data)
    done = engine.run(protocol, env, tmp_path)
    models = protocol.models(done.state, env)
    y = env.dataset.y_test
    by_client = []
    for client, (architecture, weights) in enumerate(models.values()):
        right = env.workbench.logits(architecture, weights, env.dataset.x_test).argmax(1).numpy() == y
        held = env.private(client, 1).y
        expected = sum((held == label).mean() * right[y == label].mean() for label in set(held.tolist()))
        by_client.append(expected)
        assert scored(models, env)[f"client-{client}"]["own_accuracy"] == pytest.approx(expected)
    one = scored({"global": models["client-0"]}, env)["global"]
    every = [scored({f"client-{k}": models["client-0"]}, env) for k in range(env.clients)]
    mean = np.mean([row["own_accuracy"] for found in every for row in found.values()])
    assert one["own_accuracy"] == pytest.approx(mean)
    assert len(set(by_client)) > 1


def test_own_accuracy_leaves_out_classes_without_test_records() -> None:
    right, tested = np.array([True, False, True, True]), np.array([0, 0, 1, 1])
    assert own_accuracy(right, tested, np.array([0, 0, 0, 1])) == pytest.approx(0.75 * 0.5 + 0.25)
    assert own_accuracy(right, tested, np.array([0, 7, 7])) == pytest.approx(0.5)
    assert own_accuracy(right, tested, np.array([7])) == pytest.approx(0.75)


@given(st.data())
def test_the_best_threshold_is_the_best(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    scores = data.draw(arrays(np.float64, (n,), elements=st.integers(-3, 3)))
    positive = data.draw(arrays(np.bool_, (n,)))
    cut = best_threshold(scores, positive)
    candidates = np.concatenate([np.unique(scores) - 0.5, [scores.max() + 0.5], [0.0]])
    best = max(int(((scores > c) == positive).sum()) for c in candidates)
    assert int(((scores > cut) == positive).sum()) == best
    if int(((scores > 0) == positive).sum()) == best:
        assert cut == 0
