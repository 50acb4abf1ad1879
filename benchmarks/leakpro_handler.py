"""What LeakPro asks of its user: how records are held, how a model is trained and tested. For `leakpro_audit.py`."""

from __future__ import annotations

from typing import Any

import torch
from leakpro.input_handler.abstract_input_handler import AbstractInputHandler
from leakpro.schemas import EvalOutput, TrainingOutput


class Handler(AbstractInputHandler):
    """Records in memory, and a plain loop."""

    class UserDataset(AbstractInputHandler.UserDataset):
        """Images and labels."""

        def __init__(self, data: Any, targets: Any, **more: Any) -> None:
            self.data, self.targets = data, targets

    def train(self, dataloader: Any, model: Any, criterion: Any, optimizer: Any, epochs: int) -> Any:
        """All passes; loss and accuracy of the last."""
        loss_sum, right, total = 0.0, 0, 1
        for _ in range(epochs):
            model.train()
            loss_sum, right, total = 0.0, 0, 0
            for inputs, labels in dataloader:
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
                right += outputs.argmax(1).eq(labels).sum().item()
                total += len(labels)
                loss_sum += loss.item() * len(labels)
        return TrainingOutput(model=model, metrics=EvalOutput(accuracy=right / total, loss=loss_sum / total))

    def eval(self, loader: Any, model: Any, criterion: Any) -> Any:
        """Loss and accuracy."""
        model.eval()
        loss, right, total = 0.0, 0, 0
        with torch.no_grad():
            for inputs, labels in loader:
                outputs = model(inputs)
                loss += criterion(outputs, labels).item() * len(labels)
                right += outputs.argmax(1).eq(labels).sum().item()
                total += len(labels)
        return EvalOutput(accuracy=right / total, loss=loss / total)
