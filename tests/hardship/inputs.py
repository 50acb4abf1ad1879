"""Bad inputs by number: flags, TOML, arrays, images, scores, stored runs, recordings. A number is the same anywhere."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fedprivacy import folder
from fedprivacy.cli.settings import fields_of, flag_of
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.config.toml import to_toml

SHARES = {"flags": 800, "toml": 700, "npz": 500, "images": 200, "scores": 600, "folder": 2000, "recording": 200}
"""How many of each kind there are: 5,000."""

SMALL = ("--dataset", "digits", "--clients", "2", "--rounds", "2", "--candidates", "20", "--public-size", "10")
SMALL += ("--auxiliary", "20", "--workers", "1")
EVIL = "\x1b[2J\x07\u202e\r\n"
NUMBERS = ("0", "-1", "1", "2", "3", "0.5", "-0.0", "nan", "inf", "-inf", "1e400", "1e-400", str(2**63), "9" * 400)
WORDS = ("", " ", "none", "true", "x", EVIL, "a,b", ",", "../x", "/dev/null", "/", "ünï", "A" * 300, "%s", "[bold]x")
NAMES = (
    *CARDS,
    "mlp",
    "cnn",
    "adam",
    "sgd",
    "membership",
    "all",
    "server",
    "client-0",
    "active-server",
    "loss",
    "rmia",
)
NAMES += ("gaussian", "dp-sgd", "laplace", "secure-aggregation", "shards", "folds", "static", "os:system", "no.py:Net")


@dataclass(frozen=True)
class Case:
    """One bad input: the words of a command, and what lies in the working folder before it."""

    kind: str
    words: tuple[str, ...]
    prepare: Callable[[Path], None] = lambda where: None
    forged: bool = False
    """Whoever made it knows the seals, so that other numbers than the run's own are no wonder."""
    repair: Callable[[], None] = lambda: None


STORED = ("folder", "recording")
"""Kinds of which one sound folder is damaged."""


def case(kind: str, number: int, stored: Path) -> Case:
    """Input ``number`` of a kind; ``stored`` is a finished run folder, or a recording for that kind."""
    draw = random.Random(f"{kind} {number}")
    makers = {"flags": _flags, "toml": _toml, "npz": _npz, "images": _images, "scores": _scores}
    of_stored = {"folder": _folder, "recording": _recording}
    return of_stored[kind](draw, stored) if kind in STORED else makers[kind](draw)


def value(draw: random.Random) -> str:
    return draw.choice(draw.choice((NUMBERS, WORDS, NAMES)))


def _flags(draw: random.Random) -> Case:
    verb = draw.choice(("run", "run", "run", "compare", "audit", "sweep", "attack", "report", "list", "reproduce"))
    words = [verb]
    if verb in ("run", "compare", "audit", "sweep"):
        words += [*(("mutual", value(draw)) if verb == "compare" else ()), *SMALL]
        for path in draw.sample(sorted(fields_of()), draw.randint(1, 4)):
            flag = flag_of(path)
            annotation = fields_of()[path].annotation
            words += [flag] if annotation is bool else [flag, value(draw)]
    for _ in range(draw.randint(0, 2)):
        flag = draw.choice(("--set", "--defense-set", "--fail-above", "--workers", "--device", "--out", "--q"))
        words += [flag, draw.choice((value(draw), f"{value(draw)}={value(draw)}", f"auc={value(draw)}"))]
    if verb in ("attack", "report", "list", "reproduce") or draw.random() < 0.1:
        words.append(value(draw))
    return Case("flags", tuple(word.replace("\0", "") for word in words))


def _toml(draw: random.Random) -> Case:
    text = to_toml(RunConfig()).splitlines()
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(text))
        key = text[at].partition("=")[0]
        new = draw.choice(
            (
                f"{key}= {draw.choice(NUMBERS)}",
                f"{key}= {json.dumps(value(draw))}",
                f"{key}= {'[' * 3000}",
                f"{key}= {{a = {{b = 1}}}}",
                f"{json.dumps(EVIL)} = 1",
                f"[{draw.choice(('data', 'training', 'attack.x', 'options', 'defense.options', 'x'))}]",
                text[draw.randrange(len(text))],
                "".join(chr(draw.randrange(1, 0x500)) for _ in range(20)),
                f"{key}= 2026-01-01",
            )
        )
        text[at] = new
    data = "\n".join(text).encode("utf-8", "replace")
    if draw.random() < 0.2:
        data = _damaged(draw, data)
    pipe = draw.random() < 0.02

    def prepare(where: Path) -> None:
        os.mkfifo(where / "x.toml") if pipe else (where / "x.toml").write_bytes(data)

    return Case("toml", ("run", "--config", "x.toml", *SMALL), prepare)


def _array(draw: random.Random, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(draw.randrange(2**32))
    shape = tuple(draw.choice((size, size, size, size, 0, 1, size + 1)) for size in shape)
    shape = shape if draw.random() < 0.8 else (*shape, draw.choice((0, 1, 2)))
    kind = draw.choice(("f8", "f8", "f4", "i8", "u1", "bool", "c16", "U5", "M8[s]", "f2", "object"))
    values = rng.normal(size=shape) * draw.choice((1, 1, 100, 1e300, 0))
    if values.size and draw.random() < 0.3:
        values.flat[0] = draw.choice((np.nan, np.inf, -1e308))
    with np.errstate(all="ignore"):
        if kind in ("M8[s]", "bool", "u1"):
            return np.abs(np.nan_to_num(values, posinf=0.0)).astype("i8").astype(kind)
        return values.astype(str).astype("U5") if kind == "U5" else values.astype(kind)


def _saved(draw: random.Random, arrays: dict[str, Any]) -> bytes:
    """A .npz file, in one of the ways in which it can be damaged."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    data = buffer.getvalue()
    how = draw.randrange(8)
    if how == 0:
        return _damaged(draw, data)
    if how == 1:  # a header that claims more than there is
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({draw.choice((10**15, -5, 2**62))}, 3), }}"
        raw = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n"
        return _zipped({"x.npy": raw, "y.npy": raw, "member.npy": raw, "scores.npy": raw})
    if how == 2:
        return _zipped({"x.npy": b"no array", "member": b"text", "y": b"", EVIL: b"1"})
    if how == 3:
        locked = bytearray(data)
        locked[6] |= 1
        at = locked.find(b"PK\x01\x02")
        locked[at + 8] |= 1
        return bytes(locked)
    return data


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npz(draw: random.Random) -> Case:
    arrays = {"x": _array(draw, (120, 4)), "y": _array(draw, (120,))}
    if draw.random() < 0.4:
        arrays["y"] = np.arange(len(arrays["x"])) % 3
    if draw.random() < 0.3:
        arrays |= {draw.choice(("x_train", "x_test", "classes", "columns", "numeric")): _array(draw, (120, 4))}
    if draw.random() < 0.1:
        arrays["categories_json"] = np.array(draw.choice(("[" * 5000, "{}", "1", '{"a": 3}')))
    data = _saved(draw, arrays)
    pipe = draw.random() < 0.02

    def prepare(where: Path) -> None:
        os.mkfifo(where / "x.npz") if pipe else (where / "x.npz").write_bytes(data)

    words = [*SMALL, "--data-dir", "x.npz"]
    words[1] = "npz"
    return Case("npz", ("run", *words, "--protocol", draw.choice(("mutual", "fedavg"))), prepare)


def _images(draw: random.Random) -> Case:
    places = ("a", "b", "Train/a", "Test/a", "val/a", ".h", "_x", EVIL.strip(), "a/deep", "")
    plan = [(draw.choice(places), draw.randrange(9))]
    plan += [(draw.choice(("a", "b", "Train/b", "test/b", "c")), draw.randrange(9)) for _ in range(draw.randint(1, 5))]
    side, salt = draw.choice((1, 4, 8)), draw.randrange(2**32)

    def prepare(where: Path) -> None:
        rng = np.random.default_rng(salt)
        root = where / "pictures"
        for number, (place, how) in enumerate(plan):
            (root / place).mkdir(parents=True, exist_ok=True)
            for copy in range(20):
                path = root / place / f"{number}-{copy}.png"
                pixels = rng.integers(0, 255, (side, side, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(path)
            if how == 0:
                path.write_bytes(path.read_bytes()[:40])
            elif how == 1:
                path.unlink()
                os.mkfifo(path)
            elif how == 2:
                path.write_bytes(b"")
            elif how == 3:
                path.unlink()
                path.symlink_to(path.parent)
            elif how == 4:  # a picture that claims 100,000 x 100,000 pixels
                data = bytearray(path.read_bytes())
                data[16:24] = struct.pack(">II", 100_000, 100_000)
                path.write_bytes(bytes(data))
            elif how == 5:
                Image.fromarray(np.full((side, side), 4000, np.uint16)).save(path)
            elif how == 6:
                Image.new("RGB", (side + 1, side)).save(path)

    words = [*SMALL, "--data-dir", "pictures", *draw.choice(((), ("--skip-bad",), ("--image-size", "8")))]
    words[1] = "folder"
    return Case("images", ("run", *words, "--protocol", "fedavg"), prepare)


def _scores(draw: random.Random) -> Case:
    member = np.arange(60) % 2
    arrays: dict[str, Any] = {"member": member if draw.random() < 0.7 else _array(draw, (60,))}
    if draw.random() < 0.5:
        arrays[draw.choice(("scores", "scores_a", "scores_", f"scores_{EVIL}", "loss", "score"))] = _array(draw, (60,))
    else:
        name = draw.choice(("target_logits", "target_probs", "target_log_probs", "logits", "probs"))
        arrays[name] = _array(draw, (60, 3)) if draw.random() < 0.7 else _array(draw, (4, 60, 3))
        arrays["labels"] = member if draw.random() < 0.7 else _array(draw, (60,))
        if draw.random() < 0.5:
            arrays["shadow_logits"] = _array(draw, (4, 60, 3))
            flags = np.arange(240).reshape(4, 60) % 2
            arrays["shadow_member"] = flags if draw.random() < 0.7 else _array(draw, (4, 60))
        if draw.random() < 0.3:
            arrays["population_labels"] = _array(draw, (9,))
    if draw.random() < 0.2:
        arrays["client"] = _array(draw, (60,))
    data = _saved(draw, arrays)
    verb = draw.choice((("attack",), ("audit", "--epsilon", draw.choice(NUMBERS)), ("audit", "--epsilon", "4")))
    extra = draw.choice(((), (), ("--statistic", value(draw)), ("--level", draw.choice(NUMBERS))))

    def prepare(where: Path) -> None:
        (where / "x.npz").write_bytes(data)

    return Case("scores", (*verb, "--scores", "x.npz", *extra), prepare)


def _damaged(draw: random.Random, data: bytes) -> bytes:
    how = draw.randrange(5)
    at = draw.randrange(len(data)) if data else 0
    if how == 0 and data:
        return data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    if how == 1:
        return data[:at]
    if how == 2:
        return data + draw.randbytes(draw.randint(1, 50))
    if how == 3:
        return draw.randbytes(draw.randint(0, 200))
    return data[:at] + draw.randbytes(8) + data[at + 8 :]


COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "result.json": (("report", "RUN"), *(("report", "RUN", "--format", form) for form in ("markdown", "json"))),
    "scores": (("audit", "RUN"), ("report", "RUN", "--format", "html")),
    "config.toml": (("audit", "RUN"), ("attack", "RUN", "--level", "0.9")),
    "identity.json": (("audit", "RUN"), ("attack", "RUN", "--level", "0.9")),
    "federation.json": (("attack", "RUN", "--level", "0.9"),),
    "checkpoint": (("attack", "RUN", "--level", "0.9"),),
    "transcript": (("attack", "RUN", "--level", "0.9"),),
}
"""What reads which part of a run folder."""


def _folder(draw: random.Random, run: Path) -> Case:
    part = draw.choice(sorted(COMMANDS))
    files = [run / part] if (run / part).is_file() else sorted(p for p in (run / part).rglob("*") if p.is_file())
    words = tuple(str(run) if word == "RUN" else word for word in draw.choice(COMMANDS[part]))
    return _hurt("folder", draw, draw.choice(files), words)


def _recording(draw: random.Random, recording: Path) -> Case:
    files = sorted(path for path in recording.rglob("*") if path.is_file())
    words = ("attack", str(recording), "--statistic", "loss", "--format", "json")
    return _hurt("recording", draw, draw.choice(files), words)


def _hurt(kind: str, draw: random.Random, path: Path, words: tuple[str, ...]) -> Case:
    """One file of a stored folder lost, damaged, forged, or turned into what no file should be."""
    before = path.read_bytes()
    how = draw.randrange(10)
    forged = how >= 6 and path.suffix in (".json", ".toml")
    data = _forged(draw, path, before) if forged else _damaged(draw, before)

    def prepare(_: Path) -> None:
        if how == 0:
            path.unlink()
        elif how == 1:
            path.unlink()
            path.symlink_to("/etc/passwd")
        elif how == 2:
            path.unlink()
            os.mkfifo(path)
        elif how == 3:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(data)

    def repair() -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.write_bytes(before)

    return Case(kind, words, prepare, forged, repair)


def _forged(draw: random.Random, path: Path, before: bytes) -> bytes:
    """The file with one value replaced by another that has no business there, under a seal that fits."""
    if path.suffix == ".toml":
        lines = before.decode().splitlines()
        at = draw.randrange(len(lines))
        lines[at] = f"{lines[at].partition('=')[0]}= {draw.choice((*NUMBERS, json.dumps(value(draw))))}"
        return "\n".join(lines).encode()
    content = json.loads(before)
    content.pop("seal")
    target: Any = content
    for _ in range(draw.randint(1, 6)):
        keys = list(target) if isinstance(target, dict) else list(range(len(target or [])))
        if not keys:
            break
        key = draw.choice(keys)
        if not isinstance(target[key], (dict, list)) or not target[key] or draw.random() < 0.2:
            target[key] = draw.choice((None, -1, 1e308, EVIL, [], {}, 10**30, "../../etc/passwd", True, "x", [[1]], 0))
            break
        target = target[key]
    return json.dumps({**content, "seal": folder.seal_of(content)}).encode()
