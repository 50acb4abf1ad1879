"""Stored runs: taken up, attacked and audited only as what they are; no command removes one unless told to.

One small run is made for the whole file and copied for each test.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprivacy import folder, lock
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.protocols.mutual import Mutual
from fedprivacy.study import stored
from fedprivacy.study.run import Plan, execute

Call = Callable[..., Any]
RUN = (
    "run --protocol mutual --attack membership --dataset npz --data-dir data.npz --clients 2 --rounds 2 "
    "--candidates 40 --public-size 10 --auxiliary 20 --local-epochs 1 --surrogate-epochs 3 --workers 1 --no-baselines "
    "--format json"
)


def records(path: Path, seed: int = 0) -> None:
    draw = np.random.default_rng(seed)
    np.savez(path, x=draw.normal(size=(300, 4)), y=np.arange(300) % 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with data and one finished run."""
    where = tmp_path_factory.mktemp("made")
    records(where / "data.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        content = {
            "protocol": "mutual",
            "clients": 2,
            "rounds": 2,
            "data": {"dataset": "npz", "data_dir": "data.npz", "candidates": 40, "public_size": 10, "auxiliary": 20},
            "training": {"local_epochs": 1},
            "attack": {"attacks": ["membership"], "surrogate_epochs": 3},
        }
        from fedprivacy.cli.carry_out import placed

        config = build(RunConfig, content, "test")
        execute(config, Plan(placed(config, Path("runs")), baselines=False))
    return where


@pytest.fixture
def run(made: Path, tmp_path: Path, fedprivacy: Call) -> Path:
    """A copy of the run, and of its data, in the working folder of the command."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (found,) = Path("runs").glob("mutual-*")
    return found


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """No round is played; the adversary may train what is its own."""

    def round(*_: Any, **__: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(Mutual, "round", round)


def everything(where: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(where.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("line", [RUN, f"{RUN} --resume", "attack {run} --level 0.9", "audit {run}"])
def test_data_that_changed_under_the_same_path_is_told(line: str, run: Path, fedprivacy: Call) -> None:
    before = everything(run)
    records(Path("data.npz"), seed=1)
    ended = fedprivacy(line.format(run=run))
    assert ended.code == 2 and ended.out == "" and "is of other data" in ended.complaint
    assert everything(run) == before


@pytest.mark.parametrize("line", ["attack {run} --level 0.9", "audit {run}", f"{RUN} --resume"])
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("version", "0.0.1", "made by fedprivacy 0.0.1"), ("format", 1, "run folder format 1")],
)
def test_another_version_is_one_line(
    line: str, field: str, value: object, words: str, run: Path, fedprivacy: Call
) -> None:
    told = folder.read_json(run / "identity.json")
    folder.write_json(run / "identity.json", {**told, field: value})
    ended = fedprivacy(line.format(run=run))
    assert ended.code == 2 and words in ended.complaint


def test_a_folder_of_an_earlier_version_is_one_line(run: Path, fedprivacy: Call) -> None:
    (run / "identity.json").unlink()
    for line in (RUN, f"attack {run}", f"audit {run}"):
        assert "of an earlier version" in fedprivacy(line).complaint


def test_a_run_without_baselines_is_not_found_where_they_are_asked_for(run: Path, fedprivacy: Call) -> None:
    ended = fedprivacy(RUN.replace(" --no-baselines", ""))
    assert ended.code == 2 and "without local baselines" in ended.complaint


def test_attacking_again_removes_no_other_run(run: Path, fedprivacy: Call, nothing_trains: None) -> None:
    """A run of the settings that the attack would have, with a note of the user in it, stands where it would write."""
    whole = fedprivacy(f"attack {run} --level 0.9 --statistic loss --format json")
    assert whole.code == 0, whole.err
    (made,) = set(Path("runs").glob("mutual-*")) - {run}
    (made / "notes.txt").write_text("mine")
    found = folder.read_json(made / "identity.json")
    again = fedprivacy(f"attack {run} --level 0.9 --statistic loss --format json")
    assert again.code == 0 and again.out == whole.out and "Found in" in again.err
    folder.write_json(made / "identity.json", {**found, "after": "by `run`"})
    before = everything(made)
    ended = fedprivacy(f"attack {run} --level 0.9 --statistic loss")
    assert ended.code == 2 and "was made by `run`" in ended.complaint and everything(made) == before
    renewed = fedprivacy(f"attack {run} --level 0.9 --statistic loss --fresh --format json")
    assert renewed.code == 0 and not (made / "notes.txt").exists()


def test_the_same_attack_leaves_a_run_as_it_is(run: Path, fedprivacy: Call, nothing_trains: None) -> None:
    before = everything(run)
    ended = fedprivacy(f"attack {run} --format json")
    assert ended.code == 0 and "the same attack" in ended.err and everything(run) == before
    assert fedprivacy(f"attack {run} --fresh --format json").code == 0 and everything(run) == before


@pytest.mark.parametrize("gone", ["checkpoint/round-00002.safetensors", "transcript/log.jsonl"])
def test_attack_never_trains_in_silence(gone: str, run: Path, fedprivacy: Call, nothing_trains: None) -> None:
    (run / gone).unlink()
    ended = fedprivacy(f"attack {run} --level 0.9")
    assert ended.code == 2 and "attacking again trains nothing" in ended.complaint
    assert list(Path("runs").iterdir()) == [run]


def test_fresh_removes_no_folder_that_is_no_run(run: Path, fedprivacy: Call) -> None:
    shutil.rmtree(run)
    run.mkdir()
    (run / "thesis.txt").write_text("mine")
    for flag in ("", " --fresh", " --resume"):
        ended = fedprivacy(RUN + flag)
        assert ended.code == 2 and (run / "thesis.txt").read_text() == "mine", ended.err


@pytest.mark.parametrize("line", [RUN, f"{RUN} --fresh", "attack {run} --level 0.9", "audit {run}"])
def test_beside_a_live_run_a_command_names_its_owner(line: str, run: Path, fedprivacy: Call) -> None:
    before = everything(run)
    with lock.held(lock.beside(run)):
        ended = fedprivacy(line.format(run=run))
    assert ended.code == 2 and "is being written by process" in ended.complaint
    assert everything(run) == before
    assert not lock.beside(run).exists()


def test_a_report_replaces_no_earlier_one_unless_told(run: Path, fedprivacy: Call) -> None:
    np.savez("scores.npz", member=np.arange(400) % 2, scores=np.arange(400) % 7)
    for line in ("attack --scores scores.npz", "audit --scores scores.npz --epsilon 4", f"audit {run} --level 0.9"):
        assert fedprivacy(f"{line} --out elsewhere --format json").code in (0, 1)
        ended = fedprivacy(f"{line} --out elsewhere --format json")
        assert ended.code == 2 and "holds an earlier report" in ended.complaint
        assert fedprivacy(f"{line} --out elsewhere --fresh --format json").code in (0, 1)


def test_settings_of_a_stored_run_reach_neither_network_nor_code(run: Path, fedprivacy: Call, tmp_path: Path) -> None:
    path, told = run / "config.toml", run / "identity.json"
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('owned').touch()\nNet = None\n")

    def become(old: str, new: str) -> None:
        text = path.read_text().replace(old, new)
        path.write_text(text)
        config = RunConfig.model_validate(tomllib.loads(text))
        folder.write_json(told, {**folder.read_json(told), "settings": config.digest()})

    become('model = "mlp"', 'model = "evil.py:Net"')
    for line in (f"attack {run} --level 0.9", f"audit {run}"):
        ended = fedprivacy(line)
        assert ended.code == 2 and "code from outside" in ended.complaint and not Path("owned").exists()
    become('model = "evil.py:Net"', 'model = "mlp"')
    path.write_text(path.read_text().replace("threads = 1", "threads = 1000000"))
    ended = fedprivacy(f"attack {run} --level 0.9")
    assert ended.code == 2 and "threads" in ended.complaint


def test_changed_settings_are_told(run: Path, fedprivacy: Call) -> None:
    path = run / "config.toml"
    path.write_text(path.read_text().replace("lr = 0.001", "lr = 0.002"))
    assert "config.toml was changed" in fedprivacy(f"attack {run} --level 0.9").complaint


@pytest.mark.parametrize("shadow", [None, 3])
def test_a_federation_sweeps_its_own_folder_and_never_what_others_write_below_a_run(
    shadow: int | None, tmp_path: Path
) -> None:
    other = tmp_path / "baselines" / "local-0" / ".summary.json.part"
    other.parent.mkdir(parents=True)
    other.write_text("half")
    identity = stored.Identity("settings", "data", "cpu", "", root=0, shadow=shadow)
    with stored.federation(tmp_path, identity):
        assert other.exists() == (shadow is None)
