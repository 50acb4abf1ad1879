"""The public face: what it offers, what it costs, and what a result can show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torch import nn

import fedprivacy
from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols.averaging import FedAvgOptions
from fedprivacy.face.result import TABLES
from fedprivacy.face.settings import configured, keywords
from fedprivacy.protocols.fedavg import FedAvg
from fedprivacy.study.documents import write_documents

SMALL: dict[str, Any] = {
    "clients": 2,
    "rounds": 1,
    "candidates": 40,
    "auxiliary": 20,
    "public_size": 10,
    "local_epochs": 1,
    "attack": "membership",
    "adversary": "server",
    "dataset": "digits",
}


class Net(nn.Module):
    """A model of a stranger's module."""

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(int(np.prod(shape)), outputs)

    def forward(self, x: Any) -> Any:
        return self.layer(x.flatten(1))


def test_the_names_are_sorted_and_all_there() -> None:
    assert fedprivacy.__all__ == sorted(fedprivacy.__all__)
    assert set(fedprivacy.__all__) <= set(dir(fedprivacy))
    assert all(getattr(fedprivacy, name) is not None for name in fedprivacy.__all__)
    with pytest.raises(AttributeError, match="no attribute 'judge_me'"):
        fedprivacy.judge_me  # noqa: B018


def test_importing_costs_no_torch_and_next_to_nothing() -> None:
    code = (
        "import time; start = time.process_time(); import fedprivacy, sys; "
        "print(time.process_time() - start, [m for m in ('torch', 'numpy', 'pydantic', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    seconds, _, loaded = done.stdout.strip().partition(" ")
    assert float(seconds) < 0.1 and loaded == "[]"


def test_shadows_one_by_one_are_another_run(tmp_path: Path) -> None:
    """So is said where the run is read again: sums of float32 differ."""
    settings = {**SMALL, "out": tmp_path, "shadows": 2, "baselines": False}
    found = fedprivacy.run("fedavg", exact=True, **settings)
    assert fedprivacy.run("fedavg", exact=True, **settings).folder == found.folder
    with pytest.raises(UsageError, match="one by one"):
        fedprivacy.run("fedavg", **settings)


def test_the_package_is_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedprivacy", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == f"fedprivacy, version {fedprivacy.__version__}"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> fedprivacy.RunResult:
    return fedprivacy.run("fedavg", out=tmp_path_factory.mktemp("runs"), **SMALL)


def test_a_run_is_what_the_command_line_makes(result: fedprivacy.RunResult) -> None:
    assert result.folder is not None
    stored = folder.read_json(result.folder / "result.json")
    assert stored == json.loads(json.dumps(result.to_json())) and "folder" not in stored
    assert fedprivacy.load(result.folder) == result
    assert fedprivacy.load(result.folder / "result.json").folder == result.folder


def test_a_run_that_is_there_is_read_again(result: fedprivacy.RunResult) -> None:
    assert result.folder is not None
    again = fedprivacy.run("fedavg", out=result.folder.parent, **SMALL)
    assert again == result and again.folder == result.folder


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_plain_rows_of_the_same_keys(kind: Any, result: fedprivacy.RunResult) -> None:
    rows = result.table(kind)
    assert json.loads(json.dumps(rows)) == json.loads(json.dumps([dict(row) for row in rows]))
    assert len({tuple(row) for row in rows}) <= 1
    assert bool(rows) == (kind != "audit")
    assert rows._repr_html_().count("<tr>") == len(rows) + 1


def test_a_table_holds_what_the_result_holds(result: fedprivacy.RunResult) -> None:
    assert [row["value"] for row in result.table("findings")] == [finding.value for finding in result.findings]
    mean = next(row for row in result.table("utility") if row["of"] == "mean")
    assert mean["value"] == result.utility["test_accuracy"].mean
    assert sum(row["up"] for row in result.table("bytes")) == result.communication.up_bytes


def test_tables_become_data_frames(result: fedprivacy.RunResult) -> None:
    pandas = pytest.importorskip("pandas")
    frame = result.table("findings").frame()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(result.findings)


def test_a_data_frame_without_pandas_is_told(result: fedprivacy.RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas"):
        result.table("findings").frame()


def test_figures_are_those_of_the_page(result: fedprivacy.RunResult) -> None:
    assert result.folder is not None and not (result.folder / "figures").exists()
    write_documents(result, result.folder)
    for kind in ("roc", "leakage"):
        figure = result.figure(kind)
        assert figure.axes
        from fedprivacy.reporting.figures.style import to_png

        assert to_png(figure) == (result.folder / "figures" / f"{kind}.png").read_bytes()
    with pytest.raises(UsageError, match="No figure 'rocs' of this result exists"):
        result.figure("rocs")


def test_a_notebook_shows_the_page_and_a_terminal_the_report(result: fedprivacy.RunResult) -> None:
    html = result._repr_html_()
    assert html.startswith("<iframe") and "&lt;h1" in html and "<script" not in html.replace("&lt;", "")
    assert "What each adversary learned" in str(result)


def test_live_objects_are_named_and_arrays_are_written_once(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    settings = {**SMALL, "model": Net, "data": (x, y)}
    del settings["dataset"]
    found = fedprivacy.run("fedavg", out=tmp_path, baselines=False, **settings)
    assert found.config["training"]["model"].endswith(":Net")
    assert found.config["data"]["dataset"] == "npz"
    files = list((tmp_path / "data").iterdir())
    assert [str(file) for file in files] == [found.config["data"]["data_dir"]]
    assert configured({"data": (x, y)}, tmp_path).data.data_dir == str(files[0])


def test_a_study_of_live_objects_is_looked_at_and_then_run(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    settings = {**SMALL, "model": Net, "data": (x, y)}
    del settings["dataset"]
    study = fedprivacy.Study.of(FedAvg(FedAvgOptions(weighting="uniform")), out=tmp_path, **settings)
    assert [(seat.name, name) for seat, name in study.seats.observations] == [
        ("server", "joint-updates"),
        ("server", "uploaded-weights"),
    ]
    assert study.protocol.options.weighting == "uniform"
    env, game = study.environment(0)
    assert env.dataset.x_train.shape[1:] == (64,) and len(game.flat_coins) == 80
    found = study.run(out=tmp_path, baselines=False)
    assert found.config == json.loads(study.config.model_dump_json())
    assert {f.adversary for f in found.findings} == {"server (honest-but-curious)"}


def test_what_is_wrong_with_live_objects_is_told_before_data_are_read(tmp_path: Path) -> None:
    def broken() -> Any:
        raise AssertionError("the data were read")

    with pytest.raises(UsageError, match="sends n_k"):
        fedprivacy.Study.of("fedavg", out=tmp_path, data=broken, defense="dp-sgd", epsilon=4.0)
    with pytest.raises(UsageError, match="give it no others"):
        fedprivacy.Study.of(FedAvg(FedAvgOptions()), options={"weighting": "uniform"})


def test_a_stored_run_is_attacked_again(result: fedprivacy.RunResult) -> None:
    found = fedprivacy.attack(result.folder or "", adversary="client-1")
    assert {f.adversary for f in found.findings} == {"client-1 (honest-but-curious)"}
    assert found.folder is not None and found.folder != result.folder


CODE = """
from torch import nn
def net(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
"""


def test_code_from_outside_in_a_stored_run_runs_only_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(CODE)
    found = fedprivacy.run("fedavg", model=f"{tmp_path / 'nets.py'}:net", out=tmp_path, baselines=False, **SMALL)
    assert found.folder is not None
    with pytest.raises(UsageError, match=r"names code from outside .*nets\.py:net.* --allow-code"):
        fedprivacy.attack(found.folder, adversary="client-1")
    again = fedprivacy.attack(found.folder, adversary="client-1", allow_code=True)
    assert {f.adversary for f in again.findings} == {"client-1 (honest-but-curious)"}


def test_protocols_and_budgets_side_by_side(result: fedprivacy.RunResult) -> None:
    assert result.folder is not None
    found = fedprivacy.compare(["fedavg", "local"], out=result.folder.parent, **SMALL)
    assert found.labels == ("fedavg", "local") and len(found) == 2 and not found[1].findings
    assert {row["run"] for row in found.table("utility")} == {"fedavg", "local"}
    assert "| **fedavg** |" in found.to_markdown() and found._repr_html_().startswith("<iframe")
    assert found.figure().axes


def test_every_flag_is_a_keyword() -> None:
    known = keywords()
    assert known["adversary"] == "attack.adversaries" and known["batch_size"] == "training.batch_size"
    assert known["defense"] == "defense.name" and known["protocol"] == "protocol"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fedprivacy.run(batchsize=3), "No setting 'batchsize' exists. Did you mean 'batch_size'?"),
        (lambda: fedprivacy.run(clients="many"), "--clients: 'many' is not a whole number"),
        (lambda: fedprivacy.run(clients=0), "--clients: Input should be greater than or equal to 1"),
        (lambda: fedprivacy.run("fedavg", attack="inversion", budget="5x"), "--budget: '5x' is not a time such as 60s"),
        (lambda: fedprivacy.run(data=5), "data given: it is a int; expected (x, y)"),
        (lambda: fedprivacy.compare("fedavg"), "give the protocols as a list"),
        (lambda: fedprivacy.load("nowhere"), "nowhere is no run folder"),
        (lambda: fedprivacy.attack("nowhere"), "nowhere holds no finished run"),
        (lambda: fedprivacy.sweep([0.0], defense="dp-sgd"), "numbers above 0"),
        (lambda: fedprivacy.reproduce("gupta2026", data_dir="."), "Did you mean 'gupta2025'?"),
        (lambda: fedprivacy.run("fedavg", model=type("Local", (nn.Module,), {}), workers=2), "needs workers=1"),
    ],
)
def test_a_slip_is_one_line(call: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
