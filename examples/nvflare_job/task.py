"""The game, the model and its training: what server and sites share."""

import torch
from torch import nn
from torch.nn import functional as F

import fedprivacy

GAME = fedprivacy.deal("digits", clients=3, candidates=150, auxiliary=200, rounds=3, seed=0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x.flatten(1))))


def train(net, x, y, epochs=5):
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(16):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.as_tensor(x[rows])), torch.as_tensor(y[rows])).backward()
            optimizer.step()
