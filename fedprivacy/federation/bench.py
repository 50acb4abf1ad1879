"""A workbench whose models fit a data set."""

from __future__ import annotations

from torch import nn

from fedprivacy.config.run import TrainingConfig
from fedprivacy.data.records import Dataset
from fedprivacy.models.build import build
from fedprivacy.training.learner import Seed, Workbench


def workbench(training: TrainingConfig, dataset: Dataset, device: str = "cpu") -> Workbench:
    """Builds models that read the records of ``dataset`` and tell its classes apart."""
    shape, classes, output = dataset.shape, len(dataset.classes), training.output

    def made(name: str, seed: Seed) -> nn.Module:
        root, key = seed
        return build(name, shape, classes, output, root, *key)

    return Workbench(made, training, device)
