"""Every input that the user can mend: one line on standard error, exit 2, nothing trained, nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedprivacy.training.learner import Learner

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_trains(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training step is an error here, but for tests marked by a fixture that needs one."""
    if "training_allowed" not in request.fixturenames:

        def fit(*_: Any, **__: Any) -> None:
            raise AssertionError("trained before the input was checked")

        monkeypatch.setattr(Learner, "fit", fit)


@pytest.fixture
def training_allowed() -> None:
    """Marks a test that trains."""


FILES = {
    "key.toml": 'protocol = "mutual"\nruonds = 3\n',
    "nested.toml": "[training]\nlearning_rate = 0.1\n",
    "broken.toml": "rounds = = 3\n",
    "type.toml": 'rounds = "many"\n',
    "file": "not a folder",
}

WRONG: dict[str, tuple[str, ...]] = {
    "rnu": ("No command 'rnu' exists. Did you mean 'run'?",),
    "run --protocol mutal": ("No protocol 'mutal' exists. Did you mean 'mutual'?",),
    "run --protocol zzz": ("No protocol 'zzz' exists. Known: ", "mutual", "fedavg"),
    "run --attack membreship": ("No attack 'membreship' exists. Did you mean 'membership'?",),
    "run --dataset mnist5": ("No data set 'mnist5' exists. Did you mean 'mnist5k'?",),
    "run --model cnnn": ("No model 'cnnn' exists. Did you mean 'cnn'?",),
    "run --client-models mlp,cnnn": ("No model 'cnnn' exists. Did you mean 'cnn'?",),
    "run --attack membership --statistic rmiaa": ("No statistic 'rmiaa' exists. Did you mean 'rmia'?",),
    "run --attack membership --headline los": ("No statistic 'los' exists. Did you mean 'loss'?",),
    "run --defense gausian": ("gausian", "Did you mean 'gaussian'?"),
    "run --protocl mutual": ("--protocl", "Did you mean", "--protocol"),
    "run --rounds": ("--rounds", "requires an argument"),
    "run extra": ("unexpected extra argument", "extra"),
    "run --rounds 0": ("--rounds: Input should be greater than or equal to 1 (got 0).",),
    "run --rounds three": ("--rounds: 'three' is not a whole number.",),
    "run --rounds 2.5": ("--rounds: '2.5' is not a whole number.",),
    "run --clients 0": ("--clients", "greater than or equal to 1"),
    "run --alpha 0": ("--alpha: Input should be greater than 0 (got 0.0).",),
    "run --alpha -1": ("--alpha: Input should be greater than 0 (got -1.0).",),
    "run --alpha nan": ("--alpha: Input should be a finite number (got nan).",),
    "run --lr inf": ("--lr: Input should be a finite number (got inf).",),
    "run --lr fast": ("--lr: 'fast' is not a number.",),
    "run --inclusion 0": ("--inclusion", "greater than 0"),
    "run --seed -1": ("--seed", "greater than or equal to 0"),
    "run --partition dirichlt": ("--partition", "'iid', 'dirichlet', 'shards' or 'tasks'", "dirichlt"),
    "run --format xml": ("--format", "'xml' is not one of"),
    "run --workers 0": ("--workers: must be at least 1 (got 0).",),
    "run --device cdua": ("no device 'cdua'", "Did you mean 'cuda'?"),
    "run --set kl": ("--set: 'kl' is not NAME=VALUE",),
    "run --set kl_wieght=2": ("protocol mutual: no setting 'kl_wieght' exists. Did you mean 'kl_weight'?",),
    "run --set kl=literall": ("protocol mutual: kl:", "'literal'", "literall"),
    "run --set public_epochs=0": ("protocol mutual: public_epochs", "greater than or equal to 1"),
    "run --set payload=labels": ("payload = 'labels' needs kl_direction = 'peer_own'",),
    "run --epsilon 1 --sigma 2": ("not both",),
    "run --duplicates keep": ("duplicates = 'drop'",),
    "run --layout folds --partition shards": ("layout = 'folds'", "layout = 'pools'"),
    "run --fail-above auc": ("--fail-above: 'auc' is not METRIC=VALUE",),
    "run --fail-above tpr=0.1": ("--fail-above", "tpr@1%fpr"),
    "run --attack membership --fail-above auc=high": ("--fail-above: 'high' in 'auc=high' is not a number.",),
    "run --attack membership --fail-above auc=nan": ("--fail-above: 'nan' in 'auc=nan' is not a number.",),
    "run --attack membership --fail-above auc=2": ("auc lies between 0 and 1", "limit of 2"),
    "run --attack inversion --budget 5x": (
        "--budget: '5x' is not a time such as 60s or 2m, steps such as 400steps, or rounds such as 4rounds.",
    ),
    "run --fail-above auc=0.6": ("--fail-above", "add --attack membership"),
    "run --attack membership --adversary sever": ("--adversary", "sever", "server"),
    "run --attack membership --adversary client-9": ("--adversary client-9: there are 5 clients, 0 to 4.",),
    "run --protocol fedproto --attack membership --adversary active-server": ("--adversary active-server", "fedproto"),
    "run --protocol fedavg --rounds 1 --attack membership --adversary active-server": ("use --rounds 2 or more",),
    "run --protocol fedmd --attack membership --adversary active-client-1": ("--adversary active-client-1",),
    "run --protocol local --attack membership": ("local sends nothing", "use mutual or fedavg"),
    "run --protocol central --attack membership": ("central sends nothing",),
    "run --protocol local --attack labels": ("local sends nothing", "use mutual or fedavg"),
    "run --alpha 0.1": ("--alpha changes nothing with --partition iid; add --partition dirichlet.",),
    "run --partition dirichlet --classes-per-client 3": ("--classes-per-client changes nothing", "--partition shards"),
    "run --bins 64": ("--bins changes nothing without --attack; add --attack inversion.",),
    "run --attack labels --methods idlg": ("--methods changes nothing with --attack labels; add --attack inversion.",),
    "run --protocol fedavg --attack inversion --bins 64": (
        "--bins changes nothing without --adversary; add --adversary active-server.",
    ),
    "run --protocol fedavg --attack inversion --adversary server --bins 64": (
        "--bins changes nothing with --adversary server; add --adversary active-server.",
    ),
    "run --momentum 0.9": ("--momentum changes nothing with --optimizer adam; add --optimizer sgd.",),
    "run --attack membership --attack labls": ("No attack 'labls' exists. Did you mean 'labels'?",),
    "run --attack membership --inclusion 1": ("needs non-members", "--inclusion must be below 1"),
    "run --protocol fedavg --client-models mlp,cnn": ("needs one architecture", "different ones work with mutual"),
    "run --dataset folder": ("give --data-dir PATH",),
    "run --dataset folder --data-dir nowhere": ("--data-dir: nothing is at nowhere.",),
    "run --dataset folder --data-dir file": ("--data-dir: file is a file",),
    "run --dataset npz --data-dir .": ("--data-dir: . is a folder",),
    "run --dataset cifar10 --data-dir .": ("--download",),
    "run --dataset digits --data-dir .": ("is embedded",),
    "run --dataset digits --download": ("cannot be downloaded",),
    "run --config nowhere.toml": ("--config: nothing is at nowhere.toml.",),
    "run --config .": ("--config: . is no plain file.",),
    "run --config broken.toml": ("broken.toml is not TOML",),
    "run --config key.toml": ("key.toml: no setting 'ruonds' exists. Did you mean 'rounds'?",),
    "run --config nested.toml": ("nested.toml: no setting 'training.learning_rate' exists.",),
    "run --config type.toml": ("type.toml: rounds:", "many"),
    "run --out file": ("--out: cannot write to file", "file is a file"),
    "run --out file/deeper": ("--out: cannot write to", "file is a file"),
    "compare mutual fedavgg": ("No protocol 'fedavgg' exists. Did you mean 'fedavg'?",),
    "compare": ("Missing argument",),
    "reproduce gupta2026": ("No recipe 'gupta2026' exists. Did you mean 'gupta2025'?",),
    "reproduce gupta2025": ("give --data-dir DIR",),
    "reproduce gupta2025 --data-dir nowhere": ("there is no folder at nowhere",),
    "report nowhere": ("nowhere is no run folder",),
    "attack nowhere": ("nowhere holds no finished run",),
    "report . --format pdf": ("'pdf' is not one of",),
    "list protocol": ("there are no 'protocol'. Did you mean 'protocols'?",),
    "list": ("Missing argument",),
    "list protocols cdf": ("no protocol 'cdf' exists. Did you mean 'cfd'?",),
    "list models mlp": ("takes no name",),
    "run --protocol cfd --set delta=maybe": ("delta: Input should be 'auto', 'on' or 'off' (got 'maybe').",),
    "run --protocol fedkd --set energy-start=high": ("--set energy_start: 'high' is not a number.",),
}


@pytest.mark.parametrize("line", WRONG)
def test_one_line_says_what_is_wrong_and_what_would_be_right(line: str, fedprivacy: Call, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    ended = fedprivacy(line)
    assert ended.code == 2 and ended.out == ""
    for words in WRONG[line]:
        assert words in ended.complaint
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_folder_without_permission_is_told(fedprivacy: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the answer of the system, since the superuser may write anywhere."""
    (tmp_path / "locked").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and real(path, mode))
    assert "--out: no permission to write to" in fedprivacy("run {small} --out locked").complaint


def images(root: Path, classes: tuple[str, ...], each: int = 40) -> Path:
    draw = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = (draw.integers(0, 100, (8, 8, 3)) + 100 * label).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:03d}.png")
    return root


SMALLER = "--clients 2 --rounds 2 --candidates 10 --public-size 5 --auxiliary 5 --local-epochs 1 --workers 1"


def test_one_class_only(fedprivacy: Call, tmp_path: Path) -> None:
    images(tmp_path / "faces", ("mask",))
    ended = fedprivacy(f"run --dataset folder --data-dir faces {SMALLER}")
    assert ended.code == 2 and "one class only (mask); at least two class folders are needed" in ended.complaint
    assert not (tmp_path / "runs").exists()


def test_a_corrupt_image_is_named_and_can_be_left_out(fedprivacy: Call, tmp_path: Path, training_allowed: None) -> None:
    images(tmp_path / "faces", ("mask", "none"))
    bad = tmp_path / "faces" / "none" / "007.png"
    bad.write_bytes(bad.read_bytes()[:60])
    ended = fedprivacy(f"run --dataset folder --data-dir faces {SMALLER}")
    assert ended.code == 2 and "none/007.png" in ended.complaint and "--skip-bad" in ended.complaint
    assert not (tmp_path / "runs").exists()
    again = fedprivacy(f"run --dataset folder --data-dir faces {SMALLER} --skip-bad --no-baselines --format json")
    assert again.code == 0 and "left out 1 images that cannot be read, the first is none/007.png" in again.out


def npz(path: Path, **changes: Any) -> Path:
    draw = np.random.default_rng(0)
    arrays = {"x": draw.normal(size=(200, 4)), "y": np.arange(200) % 2, **changes}
    np.savez(path, **arrays)
    return path


def test_what_is_wrong_with_the_records_themselves(fedprivacy: Call, tmp_path: Path) -> None:
    holes = np.random.default_rng(0).normal(size=(200, 4))
    holes[17, 2] = np.nan
    npz(tmp_path / "holes.npz", x=holes)
    npz(tmp_path / "one.npz", y=np.zeros(200, dtype=int))
    npz(tmp_path / "good.npz")
    (tmp_path / "no.npz").write_bytes(b"PK nonsense")
    wrong = {
        "--data-dir holes.npz": ("is nan at row 17, column 2", "Remove or fill them"),
        "--data-dir one.npz": ("only class '0'", "at least two classes are needed"),
        "--data-dir no.npz": ("Cannot read no.npz",),
        "--data-dir good.npz --model cnn": ("Model 'cnn' reads images", "use --model mlp."),
        "--data-dir good.npz --image-size 8": ("--image-size is for images",),
        "--data-dir good.npz --clients 100 --candidates 2": ("This run needs", "lower clients to"),
        "--data-dir good.npz --clients 200 --candidates none": ("This run needs", "for training; lower"),
        "--data-dir good.npz --candidates 500": ("This run needs", "lower candidates to"),
        "--data-dir good.npz --inclusion 0.0001": (
            "has no record to train on",
            "raise --candidates or --inclusion",
        ),
    }
    for words, expected in wrong.items():
        ended = fedprivacy(f"run --dataset npz {SMALLER} {words}")
        assert ended.code == 2 and ended.out == ""
        assert all(part in ended.complaint for part in expected), ended.complaint
        assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--set kl=literal", ("kl = 'literal' is for two classes, digits has 10",)),
        ("--model-output sigmoid", ("two classes", "softmax")),
        ("--model gupta-cnn", ("at least 18x18", "8x8")),
        ("--public-size 0", ("--public-size must be above 0",)),
        ("--clients 2000", ("--clients", "less than or equal to 1000")),
        ("--clients 900", ("This run needs",)),
    ],
)
def test_what_does_not_fit_the_records(words: str, expected: tuple[str, ...], fedprivacy: Call, tmp_path: Path) -> None:
    ended = fedprivacy(f"run {{small}} {words}")
    assert ended.code == 2 and ended.out == ""
    assert all(part in ended.complaint for part in expected), ended.complaint
    assert not (tmp_path / "runs").exists()


def test_a_run_that_was_refused_does_not_stand_in_the_way(
    fedprivacy: Call, tmp_path: Path, training_allowed: None
) -> None:
    """The same command after the mending is no unfinished run."""
    line = f"run --dataset npz --data-dir data.npz {SMALLER} --no-baselines --format json"
    npz(tmp_path / "data.npz", y=np.zeros(200, dtype=int))
    assert fedprivacy(line).code == 2
    npz(tmp_path / "data.npz")
    assert fedprivacy(line).code == 0


def test_training_that_diverges_is_told_in_one_line(fedprivacy: Call, training_allowed: None) -> None:
    ended = fedprivacy("run {small} --optimizer sgd --lr 1e30 --local-epochs 3 --no-baselines --format json")
    assert ended.code == 2 and ended.out == ""
    assert "training diverged: client-0, round 1, private phase" in ended.complaint
