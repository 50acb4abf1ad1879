"""A recording holds what crossed the wire and the game, its truth apart; what is broken or hostile is one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.face.record import record
from fedprivacy.recording.game import read_coins, read_game
from fedprivacy.recording.transcript import FINISHED, read_start, read_transcript
from fedprivacy.wire.log import Log, read
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.transcript import Transcript


def transcript(where: Path) -> tuple[Transcript, bool]:
    game = read_game(where)
    return read_transcript(where, game.clients, len(game.dataset.y_train))


def test_what_was_sent_is_read_again(stored: Path) -> None:
    told, finished = transcript(stored)
    assert finished and [m.round for m in told.messages] == [1] * 4 + [2] * 4
    assert [(m.sender, m.receiver) for m in told.messages[:3]] == [
        ("client-0", "server"),
        ("client-1", "server"),
        ("server", "client-0"),
    ]
    first, second, mean = (told.payload(told.messages[i]) for i in (0, 1, 2))
    assert isinstance(first, Weights) and isinstance(second, Weights) and isinstance(mean, Weights)
    torch.testing.assert_close(mean.tensors["out.bias"], (first.tensors["out.bias"] + second.tensors["out.bias"]) / 2)
    start = read_start(stored)
    assert start is not None and set(start) == set(first.tensors)


def test_the_game_and_its_truth_are_apart(stored: Path, game: Callable[..., Any]) -> None:
    told, dealt = read_game(stored), game()
    assert told.clients == 2 and told.rounds == 2 and told.training == {}
    for client in range(2):
        assert (told.division.pool(client) == dealt.env.division.pool(client)).all()
    coins = read_coins(stored, told.division)
    for client in range(2):
        pool = told.division.pool(client)
        assert sorted(pool[coins[client]]) == sorted(np.concatenate(dealt.env.members[client]))
        x, y = dealt.private(client)
        assert len(x) == coins[client].sum() and (y == told.dataset.y_train[pool[coins[client]]]).all()
    text = (stored / "game.json").read_text()
    assert "seed" not in text and "coin" not in text.replace('"coins": "record"', "")


def test_nothing_but_the_truth_tells_the_coins(stored: Path) -> None:
    """Without ``truth/`` all that an attack needs is there, and nothing can be judged."""
    files = {str(path.relative_to(stored)) for path in stored.rglob("*") if path.is_file()}
    assert {name for name in files if name.startswith("truth/")} == {"truth/coins.safetensors"}
    assert files - {"truth/coins.safetensors"} == {
        "game.json",
        "records.safetensors",
        "start.safetensors",
        "transcript/contents.bin",
        "transcript/log.jsonl",
    }


def test_every_file_is_json_or_plain_numbers(stored: Path) -> None:
    for path in stored.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert b"\x80\x04" not in data[:2] and not data.startswith(b"PK")


def test_shadows_have_other_coins_and_lie_below(recording: Path, game: Callable[..., Any]) -> None:
    shadow = game().shadow(3)
    with record(recording, shadow) as wire:
        wire.sent(1, "client-0", "server", scalars={"records": 5}, purpose="n_k")
    place = recording / "shadows" / "0003"
    division = read_game(recording).division
    own, other = read_coins(recording, division), read_coins(place, division)
    assert any((a != b).any() for a, b in zip(own, other, strict=True))
    assert not (place / "game.json").exists() and not (place / "records.safetensors").exists()


@pytest.mark.parametrize("lost", [1, 2])
def test_a_killed_federation_leaves_its_whole_rounds(lost: int, tmp_path: Path) -> None:
    code = f"""
import os, fedprivacy
from fedprivacy.face.record import deal, record
game = deal("digits", clients=2, candidates=40, rounds=5, auxiliary=20)
with record({str(tmp_path / "rec")!r}, game) as wire:
    for t in range(1, 6):
        for k in range(2):
            wire.sent(t, f"client-{{k}}", "server", scalars={{"records": t}})
            if t == 4 and k == {lost - 1}:
                os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 9
    told, finished = transcript(tmp_path / "rec")
    assert not finished and [m.round for m in told.messages] == [1, 1, 2, 2, 3, 3]


def test_a_loop_that_fails_leaves_its_whole_rounds(tmp_path: Path, game: Callable[..., Any]) -> None:
    with pytest.raises(ZeroDivisionError), record(tmp_path / "rec", game()) as wire:
        wire.sent(1, "client-0", "server", scalars={"records": 1})
        wire.sent(2, "client-0", "server", scalars={"records": 1})
        raise ZeroDivisionError
    told, finished = transcript(tmp_path / "rec")
    assert not finished and [m.round for m in told.messages] == [1]


@pytest.mark.parametrize("name", ["start.safetensors", "truth/models.safetensors"])
def test_a_file_that_the_log_speaks_of_and_that_is_gone_is_told(
    name: str, game: Callable[..., Any], tmp_path: Path
) -> None:
    dealt = game()
    with record(tmp_path / "rec", dealt) as wire:
        wire.started(dealt.model())
        wire.sent(1, "client-0", "server", scalars={"records": 1})
        wire.ended("client-0", dealt.model())
    (tmp_path / "rec" / name).unlink()
    with pytest.raises(UsageError, match=f"{name} is missing"):
        transcript(tmp_path / "rec")


def test_a_recording_without_its_truth_can_be_read(recording: Path) -> None:
    shutil.rmtree(recording / "truth")
    assert transcript(recording)[1]


def test_a_torn_last_line_does_not_count(recording: Path) -> None:
    log = recording / "transcript" / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    told, finished = transcript(recording)
    assert not finished and {m.round for m in told.messages} == {1}


def test_a_folder_is_not_overwritten_unless_asked(recording: Path, game: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"), record(recording, game()):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("all of it")
    with pytest.raises(UsageError, match="holds no recording"), record(tmp_path / "other", game(), fresh=True):
        pass
    assert (tmp_path / "other" / "thesis.txt").exists()
    with record(recording, game(), fresh=True) as wire:
        wire.sent(1, "client-0", "server", scalars={"records": 1})
        with pytest.raises(UsageError, match="is being recorded by process "), record(recording, game(), fresh=True):
            pass
    assert not list(recording.parent.glob(".*"))
    assert len(transcript(recording)[0].messages) == 1


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file, and seal it as its writer would."""
    folder.write_json(path, {**folder.read_json(path), **changes})


def arrays(path: Path, **changes: Any) -> None:
    folder.write_arrays(path, {**folder.read_arrays(path)[0], **changes})


def relog(where: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    """Write the log of a recording anew, with other rows and right seals."""
    entries, contents = read(where / "transcript")
    data = {digest: contents.get(digest) for digest in contents.places}
    log = Log(where / "transcript")
    for digest, content in data.items():
        log.contents.put(digest, content)
    for entry in change(list(entries)):
        log.append(*entry)


def message(where: Path, **changes: Any) -> None:
    from dataclasses import replace

    def change(entries: list[Any]) -> list[Any]:
        first = entries[0]
        messages = (replace(first.messages[0], **changes), *first.messages[1:])
        rest = [(e.round, e.messages, e.folds, e.more) for e in entries[1:]]
        return [(first.round, messages, first.folds, first.more), *rest]

    relog(where, change)


X = np.zeros((30, 5), np.float32)
HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no game": (lambda w: (w / "game.json").unlink(), "game.json is missing"),
    "a link": (lambda w: ((w / "game.json").unlink(), (w / "game.json").symlink_to("/etc/passwd")), "it is a link"),
    "no JSON": (lambda w: (w / "game.json").write_text("{"), "is not JSON"),
    "deep": (lambda w: (w / "game.json").write_text("[" * 100_000), "nested too deeply"),
    "a list": (lambda w: (w / "game.json").write_text("[1, 2]"), "carries no seal"),
    "changed": (
        lambda w: (w / "game.json").write_text((w / "game.json").read_text().replace('"rounds": 2', '"rounds": 3')),
        "was changed after it was written",
    ),
    "another version": (lambda w: rewrite(w / "game.json", format="fedprivacy recording 9"), "this version reads"),
    "no clients": (lambda w: rewrite(w / "game.json", clients=0), "'clients' is 0, not a whole number from 1"),
    "clients as text": (lambda w: rewrite(w / "game.json", clients="2"), "'clients' is '2'"),
    "clients as truth": (lambda w: rewrite(w / "game.json", clients=True), "'clients' is True"),
    "other clients": (lambda w: rewrite(w / "game.json", clients=3), "'candidates' is"),
    "a record that is not there": (lambda w: rewrite(w / "game.json", auxiliary=[10**9]), "'auxiliary' is"),
    "a negative record": (lambda w: rewrite(w / "game.json", auxiliary=[-1]), "'auxiliary' is [-1], not numbers"),
    "a record with two roles": (
        lambda w: rewrite(w / "game.json", auxiliary=folder.read_json(w / "game.json")["candidates"][0][0]),
        "has two roles",
    ),
    "no probability": (lambda w: rewrite(w / "game.json", inclusion=1.5), "'inclusion' is 1.5"),
    "no models": (lambda w: rewrite(w / "game.json", models=[]), "'models' is []"),
    "one class": (lambda w: rewrite(w / "game.json", classes=["0"]), "'classes' is ['0']"),
    "no records": (lambda w: (w / "records.safetensors").unlink(), "records.safetensors is missing"),
    "records cut": (
        lambda w: (w / "records.safetensors").write_bytes((w / "records.safetensors").read_bytes()[:-9]),
        "was changed after it was written",
    ),
    "records that are none": (lambda w: (w / "records.safetensors").write_bytes(b"x" * 99), "is not safetensors"),
    "records of floats": (lambda w: arrays(w / "records.safetensors", x_train=X.astype(float)), "is neither uint8"),
    "records not finite": (lambda w: arrays(w / "records.safetensors", x_train=X + np.nan), "is neither uint8"),
    "labels too high": (
        lambda w: arrays(
            w / "records.safetensors", y_test=folder.read_arrays(w / "records.safetensors")[0]["y_test"] + 99
        ),
        "y_test is not one int64 class below 10",
    ),
    "no transcript": (lambda w: (w / "transcript" / "log.jsonl").unlink(), "log.jsonl is missing"),
    "no round": (lambda w: relog(w, lambda entries: []), "holds no whole round"),
    "rounds backwards": (
        lambda w: relog(w, lambda entries: [(e.round, e.messages, e.folds, e.more) for e in entries[1::-1]]),
        "its rounds are not in order",
    ),
    "an unknown party": (lambda w: message(w, receiver="client-7"), "no party 'client-7' exists"),
    "a path as a party": (lambda w: message(w, receiver="../../etc"), "no party '../../etc' exists"),
    "to itself": (lambda w: message(w, receiver="client-0"), "nobody sends to itself"),
    "another kind": (lambda w: message(w, kind="predictions"), "it is said to be predictions and is weights"),
    "other sizes": (lambda w: message(w, payload_bytes=1), "its sizes are not those"),
    "no contents": (lambda w: (w / "transcript" / "contents.bin").unlink(), "behind the end of contents.bin"),
    "contents changed": (
        lambda w: (w / "transcript" / "contents.bin").write_bytes(
            bytes(b ^ 1 for b in (w / "transcript" / "contents.bin").read_bytes())
        ),
        "is not the one that was recorded",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_broken_or_hostile_is_one_line(name: str, recording: Path) -> None:
    spoil, words = HOSTILE[name]
    spoil(recording)
    with pytest.raises(UsageError) as caught:
        transcript(recording)
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"\xff" * 40, b"{}", b"\x02" + b"\x00" * 7 + b"{}"])
def test_a_content_that_is_no_payload_is_one_line(content: bytes, recording: Path) -> None:
    import hashlib

    digest = hashlib.sha256(content).hexdigest()

    def change(entries: list[Any]) -> list[Any]:
        return [(e.round, e.messages, e.folds, e.more) for e in entries]

    relog(recording, change)
    entries, contents = read(recording / "transcript")
    log = Log(recording / "transcript")
    log.contents.put(digest, content)
    from dataclasses import replace

    first = replace(entries[0].messages[0], digest=digest, payload_bytes=0, encoded_bytes=len(content))
    log.append(1, [first], [], {FINISHED: False})
    with pytest.raises(UsageError, match=r"its sizes are not|cannot be decoded"):
        transcript(recording)
    del contents


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda w: (w / "truth" / "coins.safetensors").unlink(), "so nothing can be judged"),
        (lambda w: arrays(w / "truth" / "coins.safetensors", **{"client-0": np.ones(3, np.uint8)}), "has no 40 coins"),
        (lambda w: arrays(w / "truth" / "coins.safetensors", **{"client-1": np.full(40, 2, np.uint8)}), "of 0 or 1"),
    ],
)
def test_a_truth_that_does_not_fit_is_one_line(spoil: Callable[[Path], Any], words: str, recording: Path) -> None:
    spoil(recording)
    with pytest.raises(UsageError, match=words):
        read_coins(recording, read_game(recording).division)


def test_the_index_is_readable_json(stored: Path) -> None:
    head, *lines = (stored / "transcript" / "log.jsonl").read_text().splitlines()
    assert json.loads(head)["format"] and all(json.loads(line.partition(" ")[2])["round"] for line in lines)
