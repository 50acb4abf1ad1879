"""A stranger's protocol and defense get every attack that their releases allow, and nothing inside is edited."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fedprivacy
from fedprivacy.config.base import UsageError
from fedprivacy.face.result import RunResult
from fedprivacy.study.resolve import resolve

Configure = Callable[..., Any]
EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL: dict[str, Any] = {
    "clients": 3,
    "rounds": 2,
    "candidates": 60,
    "auxiliary": 60,
    "public_size": 20,
    "local_epochs": 1,
    "dataset": "digits",
    "baselines": False,
}


def kinds(result: RunResult) -> set[str]:
    """The attacks that gave numbers; each has a declared headline that is one."""
    assert not [
        f.note for f in result.findings if f.flag == "error" and f.headline and f.adversary.startswith("server")
    ]
    return {f.attack for f in result.findings if f.headline and f.value is not None}


def observed(result: RunResult) -> set[tuple[str, str]]:
    return {(f.adversary.partition(" (")[0], f.observation) for f in result.findings if f.attack == "membership"}


@pytest.fixture
def momentum(rivalfed: Path, tmp_path: Path) -> RunResult:
    settings = {**SMALL, "dataset": "rival-digits", "optimizer": "sgd", "lr": 0.1, "iterations": 20, "messages": 2}
    return fedprivacy.run("rival-momentum", model="rival-net", attack="all", out=tmp_path, **settings)


def test_a_protocol_gets_every_attack_that_its_releases_allow(momentum: RunResult) -> None:
    assert kinds(momentum) == {"membership", "labels", "inversion"}
    assert observed(momentum) == {("server", "decoded updates"), ("client-0", "global model")}
    assert momentum.communication.up_bytes > 0 and momentum.privacy.epsilon is None
    assert {v.verdict for v in momentum.verdicts} <= {"supported", "refuted", "inconclusive", "not refuted", "vacuous"}


def test_a_protocol_takes_settings_and_refuses_others(rivalfed: Path, small_config: Configure) -> None:
    made = resolve(small_config(protocol="rival-momentum", options={"momentum": 0.9})).protocol
    assert made.momentum == 0.9  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"no setting 'momentun' exists. Did you mean 'momentum'"):
        resolve(small_config(protocol="rival-momentum", options={"momentun": 0.9}))
    with pytest.raises(UsageError, match=r"No protocol 'rival-momentumm' exists. Did you mean 'rival-momentum'"):
        resolve(small_config(protocol="rival-momentumm"))


def test_a_defense_stands_between_any_protocol_and_the_wire(rivalfed: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "local_epochs": 10, "out": tmp_path}
    plain = fedprivacy.run("rival-momentum", **settings)
    signs = fedprivacy.run("rival-momentum", defense="rival-signs", defense_options={"scale": 0.5}, **settings)
    assert signs.utility["test_accuracy"].mean != plain.utility["test_accuracy"].mean
    with pytest.raises(UsageError, match=r"No defense 'rival-sign' exists. Did you mean 'rival-signs'"):
        fedprivacy.run("rival-momentum", defense="rival-sign", out=tmp_path, **SMALL)
    with pytest.raises(UsageError, match="proves nothing, so no epsilon"):
        fedprivacy.run("rival-momentum", defense="rival-signs", epsilon=4, out=tmp_path, **SMALL)


BROKEN = """
class NoModels:
    def releases(self, federation): return ()
    def init(self, env): ...
    def round(self, state, round, env, channel): ...
Number = 5
class Fails:
    def __init__(self): raise RuntimeError("not today")
    releases = init = round = models = None
class Deaf:
    pass
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NoModels", "it has no models"),
        ("Number", "expected a class, an instance of one, or a function"),
        ("Fails", "making it failed: RuntimeError: not today"),
    ],
)
def test_what_is_no_protocol_is_one_line(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    with pytest.raises(UsageError) as caught:
        fedprivacy.run(f"{tmp_path / 'broken.py'}:{name}", out=tmp_path / "runs", **SMALL)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_defense_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    with pytest.raises(UsageError, match="it has no outgoing"):
        fedprivacy.run("fedavg", defense=f"{tmp_path / 'broken.py'}:Deaf", out=tmp_path / "runs", **SMALL)


class Net(nn.Module):
    """One hidden layer on the 8x8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 32)
        self.out = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        return self.out(torch.relu(self.hidden(x.flatten(1))))


def fit(net: nn.Module, game: Any, client: int, optimizer: Any) -> nn.Module:
    x, y = map(torch.from_numpy, game.private(client))
    for _ in range(game.training.local_epochs):
        for rows in torch.randperm(len(x)).split(game.training.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net


def averaging(game: Any, wire: Any) -> None:
    """Federated averaging that goes by the settings."""
    shared = game.model()
    wire.started(shared)
    for t in range(1, game.rounds + 1):
        got = []
        for k in range(game.clients):
            net = copy.deepcopy(shared)
            fit(net, game, k, game.optimizer(net.parameters()))
            got.append(wire.sent(t, f"client-{k}", "server", weights=net).tensors)
        mean = {name: torch.stack([one[name] for one in got]).mean(0) for name in got[0]}
        shared.load_state_dict(wire.sent(t, "server", wire.everyone, weights=mean).tensors)


def sharing(game: Any, wire: Any) -> dict[str, nn.Module]:
    """Predictions on public records and nothing else."""
    nets = [game.model(k) for k in range(game.clients)]
    for t in range(1, game.rounds + 1):
        x = torch.from_numpy(game.public(t)[0])
        for k, net in enumerate(nets):
            fit(net, game, k, torch.optim.Adam(net.parameters(), 5e-3))
            wire.sent(t, f"client-{k}", "server", probabilities=net(x).softmax(1)).values  # noqa: B018
    return {f"client-{k}": net for k, net in enumerate(nets)}


def test_a_loop_gets_shadow_federations_and_every_attack(tmp_path: Path) -> None:
    settings = {**SMALL, "optimizer": "sgd", "lr": 0.1, "iterations": 20, "messages": 2, "shadows": 2}
    found = fedprivacy.run(averaging, model=Net, attack="all", out=tmp_path, **settings)
    assert kinds(found) == {"membership", "labels", "inversion"}
    assert ("server", "joint updates") in observed(found)  # it goes by game.training, so a client can be played
    assert {f.statistic for f in found.findings} >= {"lira-online", "joint"}
    assert found.communication.up_bytes > 0 and found.utility["test_accuracy"].mean > 0


def test_an_active_server_plants_in_the_folds_of_a_loop(tmp_path: Path) -> None:
    found = fedprivacy.run(sharing, model=Net, attack="membership", out=tmp_path, **{**SMALL, "public_size": 90})
    assert observed(found) == {("server", "planted probes"), ("server", "distilled surrogate")}
    assert {f.adversary for f in found.findings} == {"server (active)", "server (honest-but-curious)"}
    assert kinds(found) == {"membership"}


def test_a_loop_is_audited_under_a_defense(tmp_path: Path) -> None:
    found = fedprivacy.audit(
        protocol=averaging,
        model=Net,
        defense="dp-fedavg",
        epsilon=8,
        coins="client",
        seeds=2,
        control=False,
        out=tmp_path,
        **{name: value for name, value in SMALL.items() if name != "baselines"},
    )
    assert found.privacy.epsilon is not None and found.privacy.epsilon <= 8.01
    assert found.audit is not None and found.audit.rows


def test_training_cannot_be_changed_from_outside_a_loop(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"averaging.*private training cannot take its place"):
        fedprivacy.run(averaging, model=Net, defense="dp-sgd", epsilon=4, out=tmp_path, **SMALL)


def test_the_example_runs_and_adds_at_most_ten_lines(tmp_path: Path) -> None:
    example = EXAMPLES / "own_federation.py"
    added = [line for line in example.read_text().splitlines() if "# added" in line]
    assert 0 < len(added) <= 10
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "server (honest-but-curious): membership leaks" in " ".join(done.stdout.split())
