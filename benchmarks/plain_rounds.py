"""Rounds as a library for personalised federated learning usually writes them, for `benchmarks/protocols.py` to beat.

Written anew after what TsingZ0/PFLlib does in a round: records as a list of tensors behind a data loader, unfused SGD,
default memory layout, ReLU before pooling; two backward passes that each run through both models, because no target
is detached; gradients clipped by their norm; every matrix of every client and of the server through a full singular
value decomposition; and a look at all training and test records in every round. Nothing is encoded or sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from fedprivacy import seeds

BATCH, RATE, ENERGY, LONGEST = 32, 0.05, 0.95, 10.0
Pairs = list[tuple[Tensor, Tensor]]
Train = Callable[[int, Tensor, Tensor], None]


class PlainNetwork(nn.Module):
    """The network of `benchmarks/protocols.py` as one would first write it."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(
            *(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(1024, 512), nn.ReLU()),
        )
        self.head = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, 28, 28] -> logits [B, 10]."""
        logits: Tensor = self.head(self.base(x))
        return logits


class PlainClients:
    """Clients with their records, models and optimisers."""

    def __init__(self, trained: Sequence[Pairs], tested: Sequence[Pairs], shared: bool, mapped: bool) -> None:
        self.trained, self.tested = trained, tested
        clients = range(len(trained))
        with seeds.torch_scope(0, "benchmark", "plain"):
            self.own = [PlainNetwork() for _ in clients]
            self.shared = [PlainNetwork() for _ in clients] if shared else []
            self.maps = [nn.Linear(512, 512, bias=False) for _ in clients] if mapped else []
        every = [*self.own, *self.shared, *self.maps]
        self.optimizers = {id(module): torch.optim.SGD(module.parameters(), lr=RATE) for module in every}
        self.order = seeds.generator(0, "benchmark", "plain", "order")

    def modules(self, client: int) -> list[nn.Module]:
        """All that a client trains."""
        return [group[client] for group in (self.own, self.shared, self.maps) if group]

    def batches(self, client: int) -> DataLoader[tuple[Tensor, Tensor]]:
        """A client's training records in a new order."""
        return DataLoader(self.trained[client], BATCH, shuffle=True, drop_last=True, generator=self.order)  # type: ignore[arg-type]

    def look(self) -> None:
        """Accuracy on the test records and loss on the training records of every client."""
        for client, model in enumerate(self.own):
            model.eval()
            with torch.no_grad():
                for x, y in DataLoader(self.tested[client], BATCH):  # type: ignore[arg-type]
                    (model(x).argmax(1) == y).sum().item()
                for x, y in self.batches(client):
                    F.cross_entropy(model(x), y).item()
                    if self.shared:
                        self.shared[client](x)
            model.train()

    def descend(self, client: int, losses: Sequence[Tensor], clip: bool) -> None:
        """One step of everything a client trains."""
        for module in self.modules(client):
            self.optimizers[id(module)].zero_grad()
        for number, loss in enumerate(losses, start=1):
            loss.backward(retain_graph=number < len(losses))
        for module in self.modules(client):
            if clip:
                nn.utils.clip_grad_norm_(module.parameters(), LONGEST)
            self.optimizers[id(module)].step()


def averaged(models: Sequence[nn.Module]) -> None:
    """All models take over their mean."""
    with torch.no_grad():
        for parts in zip(*(model.parameters() for model in models), strict=True):
            mean = torch.stack(list(parts)).mean(0)
            for part in parts:
                part.copy_(mean)


def decomposed(
    weights: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Every matrix, and each position of every kernel, through a full decomposition and back."""
    found = []
    for weight in weights:
        if weight.ndim > 1:
            left, sigma, right = np.linalg.svd(weight, full_matrices=False)
            found.append(np.matmul(left * sigma[..., None, :], right).astype(np.float32))
        else:
            found.append(weight)
    return found


def both_losses(clients: PlainClients, client: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Cross-entropies and divergences of a client's two models; the distance of their features if there is a map."""
    own, shared = clients.own[client], clients.shared[client]
    hidden, common = own.base(x), shared.base(x)
    a, b = own.head(hidden), shared.head(common)
    to_own = F.kl_div(F.log_softmax(a, 1), F.softmax(b, 1), reduction="batchmean")
    to_shared = F.kl_div(F.log_softmax(b, 1), F.softmax(a, 1), reduction="batchmean")
    distance = F.mse_loss(hidden, clients.maps[client](common)) if clients.maps else torch.zeros(())
    return F.cross_entropy(a, y), F.cross_entropy(b, y), to_own, to_shared, distance


def rounds(name: str, trained: Sequence[Pairs], tested: Sequence[Pairs]) -> Iterator[tuple[float, float]]:
    """Cpu-seconds of one round after another of ``fedavg``, ``fml`` or ``fedkd``, and what of it was looking."""
    clients = PlainClients(trained, tested, shared=name != "fedavg", mapped=name == "fedkd")
    while True:
        start = time.process_time()
        clients.look()
        looked = time.process_time() - start
        for client in range(len(trained)):
            for x, y in clients.batches(client):
                if name == "fedavg":
                    clients.descend(client, [F.cross_entropy(clients.own[client](x), y)], clip=False)
                    continue
                ce, ce_shared, to_own, to_shared, distance = both_losses(clients, client, x, y)
                if name == "fml":
                    losses = [(ce + to_own) / 2, (ce_shared + to_shared) / 2]
                else:
                    quality = ce + ce_shared
                    losses = [ce + (to_own + distance) / quality, ce_shared + (to_shared + distance) / quality]
                clients.descend(client, losses, clip=True)
        if name == "fedkd":
            uploads = [decomposed([p.detach().numpy() for p in model.parameters()]) for model in clients.shared]
            means = decomposed([np.mean(parts, axis=0) for parts in zip(*uploads, strict=True)])
            with torch.no_grad():
                for model in clients.shared:
                    for parameter, mean in zip(model.parameters(), means, strict=True):
                        parameter.copy_(torch.from_numpy(mean))
        else:
            averaged(clients.shared or clients.own)
        yield time.process_time() - start, looked
