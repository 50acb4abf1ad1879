"""Which public records a whole update is made of: its classes' counts and mean images, after any local training.

The view of joint decoding (:mod:`fedprivacy.attacks.membership.joint`) with the adversary's own records in the place of
the candidates. An update is, to first order, what an average client's training does plus the sum over its records of
their gradients along the way. The gradients of records that the adversary owns are a dictionary: solving for how much
of each is in the update gives shares, whose sums by class are label counts and whose weighted means are mean images.
By duality this is the ridge regression that learns on the adversary's records to turn a gradient back into its record
(compare Wu, Chen, Guo, Weinberger, "Learning to Invert", 2022), applied to the sum that was sent.

Adam is undone as there. How far to shrink towards the public mean is chosen on simulated clients, each read without the
records that it was simulated from, as a stranger's are not in the dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fedprivacy.adversary.threat import Bool, Float, Int, View
from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.messages import Sent, nominal_records
from fedprivacy.attacks.inversion.recovered import Recovered
from fedprivacy.attacks.membership.joint.along import along, denominators, undone
from fedprivacy.attacks.membership.joint.changes import Change, changes
from fedprivacy.attacks.membership.joint.simulate import Columns, Played, Simulation
from fedprivacy.data.pixels import PixelScale
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.federation.local_training import MixesModels, TrainsLocally
from fedprivacy.training.learner import Records
from fedprivacy.wire.codec import same_bits

DICTIONARY = "dictionary"
WORLDS, POINTS = 6, 2
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 300.0, 1e5)
"""Lambda over the mean diagonal of the Gram matrix; the last is as good as knowing nothing but public records."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """One update as public records: ``counts`` [classes], mean ``images`` [classes, C, H, W] in pixels.

    ``loss``: relative L2 distance of the update (Adam undone) to what the simulations and the shares make of it.
    """

    counts: Float
    images: Float
    loss: float


def mixtures(
    view: View, knowledge: Knowledge, sent: Sequence[Sent], scale: PixelScale, clock: Clock = UNLIMITED
) -> dict[tuple[int, int], Mixture]:
    """By round and client, what each update in ``sent`` is made of; none of rounds that begin when ``clock`` is over.

    Raises ValueError where nobody said how one client trains, or the adversary owns no more records than a client.
    """
    rules = knowledge.rules
    if rules is None or not isinstance(rules.protocol, TrainsLocally):
        raise ValueError("nobody said how the protocol trains one client by itself, so none can be simulated")
    protocol, wanted = rules.protocol, {(one.round, one.client) for one in sent}
    everybody = range(len(rules.division.candidates))
    columns = _columns(knowledge, len(rules.division.candidates[0]))
    simulation = Simulation(knowledge, rules, dict.fromkeys(everybody, columns), WORLDS, POINTS)
    parts = rules.initial.parts if rules.initial is not None else {}
    start = {client: parts.get(protocol.held(client), {}) for client in everybody}
    last = max((one.round for one in sent), default=0)
    groups: list[list[Change]] = []
    mixing = protocol if isinstance(protocol, MixesModels) else None
    for change in changes(view, start, knowledge.settings, mixing):
        if change.round > last or len(change.clients) != 1:
            continue
        group = groups[-1] if groups else []
        same = group and group[0].round == change.round and same_bits(group[0].start, change.start)
        group.append(change) if same else groups.append([change])
    found: dict[tuple[int, int], Mixture] = {}
    for group in groups:
        if clock.over:
            break
        played = simulation.play(group[0])
        asked = [change for change in group if (change.round, change.clients[0]) in wanted]
        if asked:
            fold = min(group[0].round, len(rules.division.candidates[0])) - 1
            found |= _read(asked, group[0], played, simulation, columns.fold == fold, knowledge, scale)
    return found


def of_mixture(sent: Sent, mixture: Mixture) -> Recovered:
    """What one update gave to this attack."""
    images, marks = mixture.images, np.arange(len(mixture.counts))
    blank = Recovered(sent.round, sent.client, sent.number, "classes", images, marks, "")
    return with_mixture(blank, mixture)


def with_mixture(found: Recovered, mixture: Mixture | None) -> Recovered:
    """What other attacks gave, with this one beside them: chosen wherever it was made.

    The order is fixed beforehand: here the training of whole clients is played, while the others take an update that
    is sought class by class as one step. Their losses are of different models of the training, so none is compared.
    """
    if mixture is None:
        return found
    images, counts, others = mixture.images, mixture.counts, {DICTIONARY: mixture.images, **found.others}
    return replace(found, images=images, counts=counts, attack=DICTIONARY, loss=mixture.loss, others=others)


def _columns(knowledge: Knowledge, folds: int) -> Columns:
    """The adversary's records, in a stranger's place: as many of them in each world as a client has."""
    own = knowledge.auxiliary
    share = nominal_records(knowledge) * folds / max(1, len(own))
    if share >= 1:
        raise ValueError(f"a client has as many records as the adversary ({len(own)}); raise data.auxiliary")
    return Columns(np.full(len(own), -1), own, np.full(len(own), share), np.arange(len(own)) % folds)


def _read(
    asked: Sequence[Change],
    leader: Change,
    played: Played,
    simulation: Simulation,
    rows: Bool,
    knowledge: Knowledge,
    scale: PixelScale,
) -> dict[tuple[int, int], Mixture]:
    """All updates of one start, by the simulations of the ``leader``; ``rows``: the records of this round's fold."""
    client = leader.clients[0]
    ids, data = simulation.columns[client].ids[rows], knowledge.dataset
    module = knowledge.workbench.module(knowledge.wire.travelling(client), "dictionary")
    names = list(leader.start)
    found = along(module, played.paths[client], Records(data.x_train[ids], data.y_train[ids])).only(frozenset(names))
    names = [name for name in names if name not in found.left_out]
    by = denominators(list(played.paths.values()), names)
    moved = [undone({name: one[name] for name in names}, by) for one in played.moved]
    own = [undone({name: change.start[name] - change.end[name] for name in names}, by) for change in asked]
    mean = {name: torch.stack([one[name] for one in moved]).mean(0) for name in names}
    public = Dictionary(
        found.gram().double(),
        torch.stack([found.inner(one).double() for one in moved]),
        np.stack([world.coins[client][rows] for world in simulation.worlds]),
        scale.pixels(data.x_train[ids]),
        data.y_train[ids],
        len(data.classes),
    )
    for_counts, for_images = public.best_ridges()
    result = {}
    for change, one in zip(asked, own, strict=True):
        product = found.inner(one).double()
        shares, counts = public.shares(product, for_images), public.counts(public.shares(product, for_counts))
        away = float(sum((one[name] - mean[name]).double().square().sum() for name in names))
        size = float(sum(one[name].double().square().sum() for name in names))
        left = public.unexplained(product, shares, away)
        result[change.round, change.clients[0]] = Mixture(counts, public.images(shares), (max(0.0, left) / size) ** 0.5)
    return result


class Dictionary:
    """Public records by ``gram`` [n, n] of their gradients, and simulated clients made of them.

    ``played`` [worlds, n]: products of the gradients with each simulated change, by ``coins`` [worlds, n]; ``pixels``
    [n, C, H, W] and ``labels`` [n] of the records.
    """

    def __init__(self, gram: Tensor, played: Tensor, coins: Bool, pixels: Float, labels: Int, classes: int) -> None:
        self.gram, self.played, self.coins = gram, played, torch.from_numpy(coins).double()
        self.pixels, self.onehot = pixels, np.eye(classes)[labels]
        centred = self.coins - self.coins.mean(0)
        moved = played - played.mean(0)
        self.answer = float((moved * centred).sum() / ((centred @ gram) * centred).sum())
        if not np.isfinite(self.answer) or self.answer <= 0:
            raise ValueError("the simulated training does not follow its records")

    def shares(self, product: Tensor, ridge: float, without: Bool | None = None, world: int | None = None) -> Float:
        """How much [n] of each record is in a change by its ``product`` with the gradients [n].

        ``without`` [n]: records that are left out of the dictionary; ``world``: a simulation that is left out of what
        an average client does.
        """
        kept = np.ones(len(self.gram), dtype=bool) if without is None else ~without
        rows, others = torch.from_numpy(kept), [w for w in range(len(self.coins)) if w != world]
        usual = self.coins[others].mean(0)
        side = (product - self.played[others].mean(0)) / self.answer + self.gram @ usual
        share = float(usual.sum()) / max(1, kept.sum())
        gram = self.gram[rows][:, rows]
        mean = float(self.gram.diagonal().mean())
        eye = torch.eye(len(gram), dtype=gram.dtype)
        apart = torch.linalg.solve(gram + ridge * mean * eye, side[rows] - share * gram.sum(1), left=True)
        found = np.zeros(len(kept))
        found[kept] = share + apart.numpy()
        return found

    def counts(self, shares: Float) -> Float:
        """Records of each class [classes], not below 0."""
        return np.asarray(np.maximum(self.onehot.T @ shares, 0.0))

    def images(self, shares: Float) -> Float:
        """Mean images [classes, C, H, W]: of the public records, moved by what the shares hold beside their mean.

        A class counts for half of what is usual at least: its mean would else be a quotient of two small errors.
        """
        sizes = self.onehot.sum(0)
        means = self._sums(np.ones(len(shares))) / np.maximum(sizes, 1.0)[:, None, None, None]
        own, usual = self.counts(shares), float(self.coins.mean()) * sizes
        counts = np.maximum(np.maximum(own, usual / 2), 1e-9)[:, None, None, None]
        return np.asarray(means + (self._sums(shares) - (self.onehot.T @ shares)[:, None, None, None] * means) / counts)

    def _sums(self, shares: Float) -> Float:
        return np.asarray(np.einsum("nk,nchw->kchw", self.onehot * shares[:, None], self.pixels))

    def best_ridges(self) -> tuple[float, float]:
        """The ridges by which counts and images of the simulated clients come out nearest, each without its records."""
        errors = np.zeros((len(RIDGES), 2))
        for world, coins in enumerate(self.coins.numpy() > 0):
            true = self.counts(coins.astype(float))
            means = self._sums(coins.astype(float)) / np.maximum(true, 1.0)[:, None, None, None]
            for place, ridge in enumerate(RIDGES):
                shares = self.shares(self.played[world], ridge, coins, world)
                errors[place, 0] += np.square(self.counts(shares) - true).sum()
                errors[place, 1] += np.square(np.clip(self.images(shares), 0, 1) - means)[true >= 1].sum()
        of_counts, of_images = errors.argmin(axis=0)
        return RIDGES[of_counts], RIDGES[of_images]

    def unexplained(self, product: Tensor, shares: Float, away: float) -> float:
        """Squared distance of a change to what ``shares`` make of it; ``away``: its squared distance to the average."""
        apart = torch.from_numpy(shares) - self.coins.mean(0)
        explained = float((product - self.played.mean(0)) @ apart)
        return away - 2 * self.answer * explained + self.answer**2 * float(apart @ self.gram @ apart)
