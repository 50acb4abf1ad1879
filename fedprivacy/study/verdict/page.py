"""The page in words: what the figure says, when the claim holds and when not, never more than the intervals do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedprivacy.metrics.intervals import Interval, corrected_level, mean_interval
from fedprivacy.reporting.figures.shares import Curve, shares_figure
from fedprivacy.study.runner import ONE_THRESHOLD, over_seeds
from fedprivacy.study.verdict.measured import AUC, TPR, Line, Measured, Point, gap
from fedprivacy.study.verdict.plan import PREDICTIONS, SUM, WEIGHTS

LEVEL = 0.95
TITLE = "Is sharing predictions private?"


def figure(found: Measured) -> bytes:
    """AUC and TPR at 1% FPR over the share, as PNG."""
    curves = []
    for line in found.lines:
        values: dict[str, dict[float, Interval]] = {}
        for metric in (AUC, TPR):
            read = {share: point.over_seeds(metric, LEVEL) for share, point in line.points.items()}
            values[metric] = {share: one for share, one in read.items() if one is not None}
        curves.append(Curve(line.series.title, values))
    name = found.base.data.dataset
    words = "what a passive server learns; weights stopped at the accuracy of plain predictions"
    return shares_figure(curves, {AUC: 0.5, TPR: 0.01}, f"{name}: {words}")


def page(found: Measured, command: str, picture: str) -> str:
    """Markdown: the verdict first, then figure, table, accuracies, limits and the command."""
    lines = [
        f"# {TITLE} ({found.base.data.dataset})",
        "",
        *_verdicts(found),
        "",
        f"![leakage over the share of the pool that is known]({picture})",
        "",
        *_table(found),
        "",
        *_accuracies(found),
        "",
        *_limits(found),
        "",
        f"Regenerate: `{command}` ({found.cpu_seconds / 60:.0f} cpu-minutes; a stopped run goes on, and finished runs "
        "are found again).",
    ]
    return "\n".join(lines) + "\n"


def _verdicts(found: Measured) -> list[str]:
    """Both claims, each with when it holds and when not."""
    plain, weights, total = (found.line(series) for series in (PREDICTIONS, WEIGHTS, SUM))
    tests = 3 * len(plain.points) + 2 * len(found.rivals)
    level = corrected_level(LEVEL, tests)
    lines = [_private(plain, level), "", _held(plain, weights, level), "", _held(plain, total, level)]
    noise = [line for line in found.lines if line.series.predicts and line.series.defense]
    for line in noise:
        lines += ["", _noise(line, plain, found.rivals[line.series.title], level)]
    if found.seeds < 2:
        lines += ["", "One seed decides nothing: there is no interval, and every sentence above is about it alone."]
    return lines


def _private(line: Line, level: float) -> str:
    """Whether anything leaks, share by share, and how much."""
    leaks: list[float] = []
    quiet: list[float] = []
    for share, point in sorted(line.points.items()):
        if not point.auc:
            continue
        (leaks if _above(point, level) else quiet).append(share)
    whole = line.points[max(line.points)]
    if whole.failed:
        return f"**Predictions are private**: not judged, the attack gave no number: {whole.failed}"
    area = _told(whole, AUC)
    words = f"With {_known(whole.share)} known the AUC is {area}{_recognised(whole)}."
    if len(whole.auc) < 2:
        return f"**Predictions are private**: inconclusive, one seed decides nothing. {words}"
    if not leaks:
        return f"**Predictions are private**: inconclusive. No leakage was measured, which is no proof. {words}"
    end = f" Not settled by these seeds where it knows {_listed(quiet)}." if quiet else ""
    return (
        f"**Predictions are private**: refuted. A server that follows the protocol to the letter tells members from "
        f"others where it knows {_listed(leaks)} of a client's pool. {words}{end}"
    )


def _held(line: Line, rival: Line, level: float) -> str:
    """Predictions against weights of equal accuracy, share by share."""
    less: list[float] = []
    more: list[float] = []
    open_: list[float] = []
    told: list[str] = []
    alone: list[str] = []
    for share in sorted(set(line.points) & set(rival.points)):
        difference = gap(line.points[share].auc, rival.points[share].auc, level)
        if difference is None:
            open_.append(share)
            continue
        (less if difference.high < 0 else more if difference.low > 0 else open_).append(share)
        told.append(f"{_known(share)} {_interval(difference, '+')}")
        single = gap(line.points[share].auc, rival.points[share].auc, LEVEL)
        alone += [] if single is None else [f"{_known(share)} {_ends(single)}"]
    claim = f"**Predictions leak less than the {rival.series.title} of models as accurate**"
    if less and not more and not open_:
        kind = "holds at every share of the pool that was tried"
    elif more and not less and not open_:
        kind = "is refuted at every share of the pool that was tried: they leak more"
    elif not less and not more:
        kind = "is open: no difference could be measured"
    else:
        parts = [f"holds where the server knows {_listed(less)}"] if less else []
        parts += [f"fails where it knows {_listed(more)}"] if more else []
        parts += [f"is open where it knows {_listed(open_)}"] if open_ else []
        kind = "; ".join(parts)
    numbers = f" AUC difference: {', '.join(told)}." if told else ""
    numbers += f" Each by itself: {', '.join(alone)}." if alone else ""
    apart = gap(line.accuracy, rival.accuracy, LEVEL)
    if apart is not None:
        numbers += f" Their accuracy differs by {_interval(_hundredfold(apart), '+', 1)} points"
        numbers += ", so it is not quite equal." if apart.low > 0 or apart.high < 0 else "."
    return f"{claim}: {kind}.{numbers}"


def _noise(line: Line, plain: Line, rival: Line, level: float) -> str:
    """What noise of one budget costs and buys."""
    share = max(line.points)
    point, cost = line.points[share], gap(line.accuracy, plain.accuracy, LEVEL)
    price = "" if cost is None else f", at {_interval(_hundredfold(cost), '+', 1)} points of accuracy"
    start = f"**Noise of epsilon {line.epsilon:g}**" if line.epsilon is not None else f"**{line.series.title}**"
    if not point.auc:
        return f"{start}: the attack gave no number: {point.failed}"
    against = gap(point.auc, rival.points[share].auc, level)
    words = "" if against is None else f" Against weights of nearest accuracy: {_interval(against, '+')}."
    judged = "still leaks" if _above(point, level) else "no leakage measured"
    judged = "one seed decides nothing" if len(point.auc) < 2 else judged
    return f"{start}{price}: {judged} with {_known(share)} known, AUC {_told(point, AUC)}.{words}"


def _hundredfold(one: Interval) -> Interval:
    return replace(one, value=100 * one.value, low=100 * one.low, high=100 * one.high)


def _above(point: Point, level: float) -> bool:
    """Whether the whole interval lies above chance; a single seed has none."""
    return len(point.auc) > 1 and mean_interval(point.auc, level, (0.0, 1.0)).low > 0.5


def _recognised(point: Point) -> str:
    if point.over_seeds(TPR, LEVEL) is None:
        return ""
    return f", and wrong about 1% of the others it recognises {_told(point, TPR)} of the members"


def _table(found: Measured) -> list[str]:
    shares = sorted({share for line in found.lines for share in line.points})
    head = " | ".join(f"{_known(share)} known" for share in shares)
    lines = [f"| what is sent | {head} |", "|---|" + "---|" * len(shares)]
    for line in found.lines:
        cells = [_cell(line.points[share]) if share in line.points else "-" for share in shares]
        lines.append(f"| {line.series.title} | {' | '.join(cells)} |")
    few = min(point.non_members for line in found.lines for point in line.points.values())
    lines += ["", f"AUC / TPR at 1% FPR, mean over {found.seeds} seeds with its 95% interval. Chance: .5 / .01."]
    if few < 1000:
        lines[-1] += f" TPR rests on as few as {few} non-members a seed: fewer than ten false positives, so read it so."
    if any(not point.tpr and point.together is not None for line in found.lines for point in line.points.values()):
        lines[-1] += f" *: {ONE_THRESHOLD}, where one alone has fewer than the 100 non-members that 1% needs."
    return lines


def _cell(point: Point) -> str:
    if not point.auc:
        return f"failed: {point.failed}"
    return f"{_told(point, AUC)} / {_told(point, TPR)}{'' if point.tpr or point.together is None else ' *'}"


def _told(point: Point, metric: str) -> str:
    """A number with its interval."""
    read = point.over_seeds(metric, LEVEL)
    return "below resolution" if read is None else _interval(read)


def _accuracies(found: Measured) -> list[str]:
    lines = ["| what is sent | rounds | test accuracy | epsilon | weights of nearest accuracy |", "|---" * 5 + "|"]
    for line in found.lines:
        rival = found.rivals.get(line.series.title)
        near = "-" if rival is None else f"{_interval(_mean(rival.accuracy))} after {rival.rounds} rounds"
        epsilon = "infinite" if line.epsilon is None else f"{line.epsilon:.3g}"
        accuracy = _interval(_mean(line.accuracy))
        lines.append(f"| {line.series.title} | {line.rounds} | {accuracy} | {epsilon} | {near} |")
    return lines


def _limits(found: Measured) -> list[str]:
    base = found.base
    plain = found.line(PREDICTIONS)
    point = plain.points[max(plain.points)]
    followed = base.attack.followed or base.clients
    return [
        "Who attacks: an honest-but-curious server, in every row. The share of the pool that it knows is the axis; "
        f"where that is whole it knows {point.knowledge or 'what is stated'}. "
        "Weights, their sum and predictions are decoded jointly over all rounds, each by the attack that was declared "
        f"before. {base.clients} clients with {base.data.candidates} candidates, of whom {followed} "
        f"{'is' if followed == 1 else 'are'} attacked; {base.training.model}; averaging stops in the round whose mean "
        "test accuracy is nearest to that of plain predictions. Intervals of differences hold together at 95% "
        "(Bonferroni), together with whether anything leaks at all, and verdicts rest on them; those of the table, and "
        "each by itself, are single ones.",
        "",
        "What it does not say: a stronger attack may exist for either; another model, other data or more records a "
        "client move every number; a server that does not follow the protocol learns more of both.",
    ]


def _mean(values: Sequence[float]) -> Interval:
    return over_seeds(values, LEVEL)


def _interval(one: Interval, sign: str = "", places: int = 3) -> str:
    """``.912 [.905, .919]``, without the interval where there is none."""
    value = f"{one.value:{sign}.{places}f}"
    return value if one.low == one.high else f"{value} [{one.low:{sign}.{places}f}, {one.high:{sign}.{places}f}]"


def _ends(one: Interval) -> str:
    """``[-.257, -.045]``."""
    return f"[{one.low:+.3f}, {one.high:+.3f}]"


def _known(share: float) -> str:
    return "all" if share == 1 else f"{100 * share:g}%"


def _listed(shares: Sequence[float]) -> str:
    names = [_known(share) for share in shares]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
