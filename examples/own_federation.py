"""A federation of one's own under attack: a plain loop of PyTorch, and what was added to it.

The loop is federated averaging as anybody writes it. Ten lines were added or changed so that it can be attacked; each
says so in a comment. Run it with ``python examples/own_federation.py``.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

import fedprivacy  # added


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 128)
        self.out = nn.Linear(128, 10)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x.flatten(1))))


def train(net, x, y, epochs=20, batch=16):
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()


def federate(game, wire):  # added: these two arguments
    shared = Net()
    for t in range(1, game.rounds + 1):  # added: was range(1, 4)
        uploads = []
        for k in range(game.clients):  # added: was range(5)
            x, y = map(torch.from_numpy, game.private(k))  # added: was the client's own records
            net = copy.deepcopy(shared)
            train(net, x, y)
            sent = wire.sent(t, f"client-{k}", "server", weights=net)  # added
            uploads.append(sent.tensors)  # added: was net.state_dict()
        mean = {name: torch.stack([u[name] for u in uploads]).mean(0) for name in shared.state_dict()}
        shared.load_state_dict(wire.sent(t, "server", wire.everyone, weights=mean).tensors)  # added: what arrived


if __name__ == "__main__":
    result = fedprivacy.run(  # added
        federate, model=Net, dataset="digits", rounds=3, candidates=150, auxiliary=200, public_size=20, attack="all"
    )
    print(result)  # added
