"""Loss by epoch over the phases of a federation, and on test records between the phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from fedprivacy.reporting.figures.style import BAND, colour, dash, drawing, to_png

Trained = Sequence[tuple[int, str, int, float]]
"""(round, phase, epoch, loss) in order of training."""


def epochs_figure(trained: Mapping[str, Trained], between: Mapping[str, Mapping[float, float]], task: str) -> bytes:
    """What :func:`epochs` draws, as PNG."""
    return to_png(epochs(trained, between, task))


def epochs(trained: Mapping[str, Trained], between: Mapping[str, Mapping[float, float]], task: str) -> Figure:
    """A line a method over rounds: above the training loss of each epoch, below the test loss between phases.

    ``between``: loss by place in rounds (1.5 is the middle of the second). The public half of each round is shaded.
    """
    with drawing(8.2, 5.6) as made:
        above, below = made.subplots(2, 1, sharex=True)
        for number, (name, points) in enumerate(trained.items()):
            above.plot(*places(points), color=colour(number), ls=dash(number), lw=1.2, label=name)
        for number, (_, seen) in enumerate(between.items()):
            below.plot(list(seen), list(seen.values()), color=colour(number), ls=dash(number), lw=1.2)
        last = max((t for points in trained.values() for t, *_ in points), default=1)
        for axes in (above, below):
            for round in range(last):
                axes.axvspan(round + 0.5, round + 1, color=BAND, alpha=0.35, lw=0)
            axes.set_xlim(0, last)
        above.set_ylabel("training loss (nats)")
        below.set_ylabel("test loss (nats)")
        below.set_xlabel("round; shaded: public phase, where there is one")
        above.set_title(f"{task}: loss by epoch and phase, mean over clients", loc="left")
        above.legend(fontsize=8, frameon=False, ncols=2)
        return made


def places(points: Trained) -> tuple[list[float], list[float]]:
    """Where each epoch ends in rounds, and its loss; private epochs fill the first half of a round."""
    most: dict[tuple[int, str], int] = {}
    for t, phase, epoch, _ in points:
        most[t, phase] = max(epoch, most.get((t, phase), 0))
    order = sorted(points, key=lambda point: (point[0], point[1] == "public", point[2]))
    x = [t - 1 + (0.5 if phase == "public" else 0.0) + 0.5 * epoch / most[t, phase] for t, phase, epoch, _ in order]
    return x, [loss for *_, loss in order]
