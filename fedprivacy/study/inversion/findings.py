"""Inversion findings: what every adversary reconstructed, scored beside chance rows and a paired null.

Intervals are Student's t over messages, since the images of one message stand and fall together; messages that share a
record, such as two rounds of one client, count as one. A share of images has the wider of that and Clopper-Pearson over
images, and no interval where all of them came in one message. A reconstruction counts as a leak only where it is
measurably nearer to the truth than the best public guess, and than the same attack fed another client's message, or
where it gives every record of a message exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedprivacy.adversary.threat import Adversary, Float
from fedprivacy.attacks.inversion.recovered import load
from fedprivacy.judge.result import PSNR_EXACT, READ_EXACTLY, Finding, Flag
from fedprivacy.metrics.images import PSNR_CAP
from fedprivacy.metrics.intervals import clopper_pearson, mean_interval
from fedprivacy.study.inversion.batches import UNTOLD, Batches
from fedprivacy.study.inversion.invert import inversion_path
from fedprivacy.study.inversion.pictures import are_pictures, save_pictures
from fedprivacy.study.inversion.read_exactly import read_exactly
from fedprivacy.study.inversion.reconstructed import BEST, MEAN, NEAREST, NULL, PRIOR, RANDOM, UNIFORM, Case, cases
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolved import Study
from fedprivacy.study.seed_notes import of_all, of_seeds

PSNR, SSIM, MSE = "PSNR (dB)", "SSIM", "MSE"
TOLD = "told from {} public images"
GAIN = "PSNR gain (dB) over the "
FEATURES, RECOVERED = "features right", "labels recovered"
RECOVERED_GAIN = "labels recovered, gain over the better guess"
CLEAR = 40.0
"""PSNR above which the eye sees no difference. Without a limit one exact record would outweigh all others."""
PUBLIC = "looks at nothing but public records"
CHOSEN = "the public record of the class that is nearest to the truth, which a guesser could not pick"

Value = Callable[[Case], Float | None]


def inversion_findings(
    study: Study, repetitions: Sequence[Repetition]
) -> tuple[list[Finding], dict[str, dict[str, str]]]:
    """Findings of every adversary, and the card of what each knew."""
    found: list[Finding] = []
    cards: dict[str, dict[str, str]] = {}
    for adversary, source in study.seats.inversion:
        judged: list[Case] = []
        observation, told, chosen = "reconstruction", list[tuple[str, ...]](), Counter[str]()
        loaded = of_all([load(inversion_path(repetition.place, adversary)) for repetition in repetitions])
        cause = loaded if isinstance(loaded, str) else ""
        for repetition, result in () if isinstance(loaded, str) else zip(repetitions, loaded, strict=True):
            observation = result.observation
            cards.setdefault(str(adversary), dict(result.card))
            counted = Counter(one.attack or "none, all failed" for one in result.found)
            chosen.update(counted)
            batches = Batches(study.wire, repetition.game, repetition.root, study.named_batches)
            own = cases(batches, result)
            untold = source != "predictions" and not batches.told
            told.append((*result.notes, *([UNTOLD] if untold else [])))
            judged += [replace(case, unit=case.unit + len(judged)) for case in own]
            if own and repetition is repetitions[0]:
                alike = [case for case in own if case.kind == own[0].kind]
                save_pictures(repetition.place, adversary, observation, alike)
        notes = dict.fromkeys(of_seeds(told))
        every, judged = judged, _of_one_kind(judged, notes)
        if len(chosen) > 1:
            words = ", ".join(f"{name} for {number}" for name, number in chosen.most_common())
            notes[f"chosen, without the truth: {words} of {chosen.total()} messages"] = None
        write = _Writer(study.attack.level, adversary, observation, judged, every, "; ".join(notes))
        rows = [write.failed(cause)] if cause or not judged else write.all()
        found += map(_of_records, rows) if judged and not are_pictures(judged) else rows
    return found, cards


def _of_one_kind(judged: list[Case], notes: dict[str, None]) -> list[Case]:
    """Images of single records and of classes are held against different guesses: the more frequent are judged.

    What the others show is told in ``notes``, so that a message that was read exactly is not passed over.
    """
    kinds = Counter(case.kind for case in judged)
    if len(kinds) < 2:
        return judged
    (kept, _), (left, number) = kinds.most_common()
    shown = np.mean([case.scores[BEST].psnr.mean() for case in judged if case.kind == left])
    messages = f"{number} message{'s' * (number > 1)} that gave images of {left}, at {shown:.1f} dB in the mean,"
    notes[f"{messages} left out beside {kinds[kept]} that gave images of {kept}"] = None
    return [case for case in judged if case.kind == kept]


def _of_records(finding: Finding) -> Finding:
    """The same in words for rows of features."""
    words = {name: getattr(finding, name) for name in ("statistic", "metric", "note")}
    for word, other in (("image", "record"), ("picture", "reconstruction")):
        words = {name: text.replace(word, other) for name, text in words.items()}
    return replace(finding, **words)


@dataclass(frozen=True, eq=False)
class _Writer:
    level: float
    adversary: Adversary
    observation: str
    judged: Sequence[Case]
    """Of one kind."""
    every: Sequence[Case]
    """Of both kinds."""
    notes: str

    def all(self) -> list[Finding]:
        """The best reconstruction, its gains, each attack, the chance rows, and the null."""
        bar = self.judged[0].bar
        rows = self._quality(BEST, headline=True, full=True)
        rows += [self._gain(row) for row in (MEAN, bar, NULL) if self._has(row)]
        if not self._has(NULL):
            rows.append(self._finding(NULL, PSNR, None, None, None, None, 0, note="no other message to pair with"))
        rows += self._exactly() + self._told() + self._labels() + self._features()
        attacks = list(dict.fromkeys(name for case in self.judged for name in case.attacks))
        for name in attacks:
            rows += self._quality(name)
        for name in (MEAN, RANDOM, bar):
            rows += self._quality(name, full=True, note=CHOSEN if name == NEAREST else PUBLIC)
        if self._has(NULL):
            rows += self._quality(NULL, full=True, note="the same attack, fed another client's message")
        return rows

    def failed(self, cause: str) -> Finding:
        """A row for an attack that gave nothing."""
        cause = cause or "no record stood behind any message"
        return self._finding(BEST, PSNR, None, None, None, None, 0, "error", True, cause)

    def _has(self, row: str) -> bool:
        return all(row in case.scores for case in self.judged)

    def _quality(self, row: str, headline: bool = False, full: bool = False, note: str = "") -> list[Finding]:
        bar = self.judged[0].bar
        some = [case for case in self.judged if row in case.scores]
        of: Mapping[str, Callable[[Case, str], Float]] = {
            PSNR: lambda case, name: case.scores[name].psnr,
            SSIM: lambda case, name: case.scores[name].ssim,
            MSE: lambda case, name: case.scores[name].mse,
        }
        found = []
        for metric, value in of.items() if full else [(PSNR, of[PSNR])]:
            values = [value(case, row) for case in some]
            if np.isnan(np.concatenate(values)).any():
                continue
            chance = float(np.concatenate([value(case, bar) for case in some]).mean())
            said = self.notes if headline and metric == PSNR else note
            found.append(self._mean(row, metric, some, values, None if row == bar else chance, headline, said))
        if headline:
            for limit in (20, 30):
                own = [np.asarray(case.scores[row].psnr > limit, dtype=np.float64) for case in some]
                base = np.concatenate([case.scores[bar].psnr for case in some]) > limit
                found.append(self._share(row, f"share above {limit} dB", some, own, float(base.mean()), headline, ""))
        return found

    def _gain(self, row: str) -> Finding:
        seen = [(case.scores[BEST].psnr, case.scores[row].psnr) for case in self.judged]
        values = [np.minimum(own, CLEAR) - np.minimum(other, CLEAR) for own, other in seen]
        said = f"image by image, PSNR counted up to {CLEAR:g} dB"
        return self._mean(BEST, GAIN + row, self.judged, values, 0.0, True, said)

    def _exactly(self) -> list[Finding]:
        """How many messages gave every record exactly, those that are not of the kind that is judged included."""
        seen = read_exactly(self.every, self.level)
        words = f"{seen.words}; chance: what the nearest public records, or another client's message, give so"
        ends = seen.low, seen.high
        rows = [self._finding(BEST, READ_EXACTLY, seen.share, seen.chance, *ends, seen.messages, "", True, words)]
        if seen.psnr is not None:
            rows.append(self._finding(BEST, PSNR_EXACT, seen.psnr, None, None, None, seen.records))
        return rows

    def _told(self) -> list[Finding]:
        """Whether the picture tells its record from public ones, however far its pixels are off."""
        found = []
        for row in (BEST, NULL):
            known = [case for case in self.judged if row in case.told]
            if len(known) < len(self.judged):
                continue
            chance = np.concatenate([np.full(len(case.truths), case.told_chance) for case in known])
            words = (
                "the record is nearer to the picture than every public image is; chance: at most, for pictures that "
                "know nothing, on records drawn like the public ones"
            )
            hits, metric = [case.told[row] for case in known], TOLD.format(known[0].public)
            found.append(self._share(row, metric, known, hits, float(chance.mean()), row == BEST, words))
        return found

    def _labels(self) -> list[Finding]:
        known = [case for case in self.judged if case.label_share is not None]
        if not known:
            return []
        own = [np.array([case.label_share or 0.0]) for case in known]
        guessed = {name: [np.array([case.label_guesses[name]]) for case in known] for name in (UNIFORM, PRIOR)}
        chance = max(float(np.mean(values)) for values in guessed.values())
        words = "counts of each class in common with the truth; chance: the better of both guesses"
        rows = [self._mean(BEST, RECOVERED, known, own, chance, False, words)]
        rows.append(self._over_both(known, own, list(guessed.values())))
        for name, values in guessed.items():
            rows.append(self._mean(name, RECOVERED, known, values, None, False, "looks at no message"))
        return rows

    def _over_both(self, known: Sequence[Case], own: Sequence[Float], guesses: Sequence[Sequence[Float]]) -> Finding:
        """What labels gain over the better of the guesses: its lower end is the least over both, since which is the
        better one is read off the same messages (an intersection-union test; Berger 1982)."""
        both = [[mine - other for mine, other in zip(own, guess, strict=True)] for guess in guesses]
        found = [self._mean(BEST, RECOVERED_GAIN, known, gains, 0.0, False, "message by message") for gains in both]
        lows = [one.low for one in found if one.low is not None]
        least = min(found, key=lambda one: one.value or 0.0)
        return replace(least, low=min(lows) if lows else None)

    def _features(self) -> list[Finding]:
        known = [case for case in self.judged if case.features]
        if not known:
            return []
        prior = float(np.concatenate([case.features["prior"] for case in known]).mean())
        said = "chance: each feature's most frequent public value"
        rows = [self._mean(BEST, FEATURES, known, [case.features[BEST] for case in known], prior, True, said)]
        gains = [case.features[BEST] - case.features["prior"] for case in known]
        rows.append(self._mean(BEST, f"{FEATURES}, gain over the prior", known, gains, 0.0, True, "record by record"))
        if all(NULL in case.features for case in known):
            values = [case.features[NULL] for case in known]
            rows.append(self._mean(NULL, FEATURES, known, values, prior, False, ""))
        return rows

    def _share(
        self,
        row: str,
        metric: str,
        of: Sequence[Case],
        hits: Sequence[Float],
        chance: float,
        headline: bool,
        note: str,
    ) -> Finding:
        """Part of all images with a hit."""
        single = clopper_pearson(int(np.concatenate(hits).sum()), sum(map(len, hits)), self.level)
        low, high = self._ends(of, hits, (0.0, 1.0))
        if low is not None and high is not None:
            low, high = min(low, single.low), max(high, single.high)
        return self._finding(row, metric, single.value, chance, low, high, sum(map(len, hits)), "", headline, note)

    def _mean(
        self,
        row: str,
        metric: str,
        of: Sequence[Case],
        values: Sequence[Float],
        chance: float | None,
        headline: bool,
        note: str,
    ) -> Finding:
        """Mean over all images of ``values``, one array for each message in ``of``."""
        everything = np.concatenate(values)
        within = {
            PSNR: (-np.inf, PSNR_CAP),
            SSIM: (-1.0, 1.0),
            MSE: (0.0, np.inf),
            FEATURES: (0.0, 1.0),
            RECOVERED: (0.0, 1.0),
        }
        low, high = self._ends(of, values, within.get(metric, (-np.inf, np.inf)))
        return self._finding(
            row, metric, float(everything.mean()), chance, low, high, len(everything), "", headline, note
        )

    def _ends(
        self, of: Sequence[Case], values: Sequence[Float], within: tuple[float, float]
    ) -> tuple[float | None, float | None]:
        """Student's t over messages that share no record, around the mean over all images; None of one message."""
        units: dict[int, list[Float]] = {}
        for case, own in zip(of, values, strict=True):
            units.setdefault(case.unit, []).append(np.asarray(own, dtype=np.float64))
        if len(units) < 2:
            return None, None
        means = [float(np.concatenate(own).mean()) for own in units.values()]
        estimate, middle = mean_interval(means, self.level, within), float(np.concatenate(values).mean())
        low, high = middle - (estimate.value - estimate.low), middle + (estimate.high - estimate.value)
        return max(within[0], low), min(within[1], high)

    def _finding(
        self,
        row: str,
        metric: str,
        value: float | None,
        chance: float | None,
        low: float | None,
        high: float | None,
        n: int,
        flag: Flag = "",
        headline: bool = False,
        note: str = "",
    ) -> Finding:
        if value is None and not flag:
            flag = "below"
        return Finding(
            "inversion",
            self.observation,
            row,
            str(self.adversary),
            "all messages",
            metric,
            value,
            chance,
            low,
            high,
            self.level,
            n,
            flag=flag,
            headline=headline,
            note=note,
        )
