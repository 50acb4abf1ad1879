"""Rounds of TsingZ0/PFLlib by its own code, for `benchmarks/protocols.py` to time beside ours.

``PFLlib DIR``: a clone of that repository. Its servers and clients of FedAvg, FML and FedKD, its network, its loop and
its look at all training and test records in every round are run as they are; nothing of it is copied here. They read
one file a client, in its format, from a temporary folder. What it imports and does not use in a round is replaced by
an empty module (:data:`UNUSED`), and what it writes after its last round is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import os
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

UNUSED = ("h5py",)
"""Packages that its servers import to write results."""
SERVERS = {"fedavg": ("serveravg", "FedAvg"), "fml": ("serverfml", "FML"), "fedkd": ("serverkd", "FedKD")}
"""Name here -> its module and class."""
TOGETHER = 2
"""Rounds of one call of its loop, which makes one more than it is asked for."""
SETTINGS = {
    **dict.fromkeys(("join_ratio", "eval_gap", "local_epochs"), 1),
    **dict.fromkeys(("local_learning_rate", "mentee_learning_rate"), 0.05),
    **dict.fromkeys(("alpha", "beta"), 0.5),
    **dict.fromkeys(("T_start", "T_end"), 0.95),
    **dict.fromkeys(("client_drop_rate", "train_slow_rate", "send_slow_rate"), 0.0),
    **dict.fromkeys(("random_join_ratio", "learning_rate_decay", "auto_break", "dlg_eval", "time_select"), False),
    **dict.fromkeys(("few_shot", "num_new_clients", "fine_tuning_epoch_new"), 0),
    **dict.fromkeys(("dlg_gap", "batch_num_per_client", "top_cnt"), 1),
    **dict.fromkeys(("goal", "save_folder_name"), ""),
    "dataset": "Digits",
    "num_classes": 10,
    "batch_size": 32,
    "global_rounds": TOGETHER - 1,
    "learning_rate_decay_gamma": 0.99,
    "time_threthold": float("inf"),
}
"""What its command line would set. The energy of FedKD stands still, since its loop's end is not ours."""

Fold = tuple[NDArray[np.float32], NDArray[np.int64]]


def server(library: Path, name: str) -> Any:
    """The library's class of servers, imported."""
    for package in UNUSED:
        sys.modules.setdefault(package, types.ModuleType(package))
    if str(library / "system") not in sys.path:
        sys.path.insert(0, str(library / "system"))
    module, kind = SERVERS[name]
    importlib.import_module("flcore.trainmodel.models")
    return getattr(importlib.import_module(f"flcore.servers.{module}"), kind)


class Peer:
    """A server of the library with its clients; ``trained`` and ``tested``: (x [N, C, H, W], y [N]) of each client."""

    def __init__(self, library: Path, name: str, trained: Sequence[Fold], tested: Sequence[Fold]) -> None:
        self._place = tempfile.TemporaryDirectory()
        self._written(trained, tested)
        self.looked = 0.0
        with self._at_home():
            self._server = server(library, name)(self._arguments(name, len(trained)), 0)
        self._server.save_results = self._server.save_global_model = lambda: None
        evaluate = self._server.evaluate

        def look() -> None:
            start = time.process_time()
            evaluate()
            self.looked += time.process_time() - start

        self._server.evaluate = look

    def rounds(self) -> tuple[float, float]:
        """Cpu-seconds of a round, and those without its look at all records: the mean of :data:`TOGETHER` rounds."""
        self.looked = 0.0
        with self._at_home():
            start = time.process_time()
            self._server.train()
            spent = time.process_time() - start
        return spent / TOGETHER, (spent - self.looked) / TOGETHER

    def parameters(self) -> int:
        """Numbers in its network."""
        return sum(p.numel() for p in self._server.clients[0].model.parameters())

    def _written(self, trained: Sequence[Fold], tested: Sequence[Fold]) -> None:
        """One file a client, as the library reads them."""
        (Path(self._place.name) / "system").mkdir()
        for part, folds in (("train", trained), ("test", tested)):
            where = Path(self._place.name) / "dataset" / "Digits" / part
            where.mkdir(parents=True)
            for client, (x, y) in enumerate(folds):
                np.savez_compressed(where / f"{client}.npz", data=np.array({"x": x, "y": y}, dtype=object))

    @contextlib.contextmanager
    def _at_home(self) -> Iterator[None]:
        """In the folder that its paths are relative to; what it prints is dropped."""
        before = Path.cwd()
        os.chdir(Path(self._place.name) / "system")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        finally:
            os.chdir(before)

    def _arguments(self, name: str, clients: int) -> argparse.Namespace:
        """What its command line would give, with its network."""
        models: Any = importlib.import_module("flcore.trainmodel.models")
        model = models.FedAvgCNN(in_features=1, num_classes=10, dim=1024)
        if name != "fml":
            head = copy.deepcopy(model.fc)
            model.fc = nn.Identity()
            model = models.BaseHeadSplit(model, head)
        own = {"model": model, "algorithm": SERVERS[name][1], "num_clients": clients, "device": torch.device("cpu")}
        return argparse.Namespace(**own, **SETTINGS)
