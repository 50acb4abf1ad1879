"""All membership statistics by name, and which of them the signals at hand allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedprivacy.adversary.threat import Signals
from fedprivacy.attacks.membership.decode import HARD_LABEL, UNIFORM_REST
from fedprivacy.attacks.membership.statistics.base import BaseOffline, BaseOnline
from fedprivacy.attacks.membership.statistics.bavaria import Bavaria
from fedprivacy.attacks.membership.statistics.calibrated import Calibrated
from fedprivacy.attacks.membership.statistics.correct import Correct
from fedprivacy.attacks.membership.statistics.joint import Joint
from fedprivacy.attacks.membership.statistics.labelfree import Confidence, Entropy
from fedprivacy.attacks.membership.statistics.lira_offline import CoopLira, DistilLira, FedMia, LiraOffline
from fedprivacy.attacks.membership.statistics.lira_online import LiraOnline
from fedprivacy.attacks.membership.statistics.loss import Loss
from fedprivacy.attacks.membership.statistics.mentr import ModifiedEntropy
from fedprivacy.attacks.membership.statistics.population import Population
from fedprivacy.attacks.membership.statistics.ratio import Ratio
from fedprivacy.attacks.membership.statistics.rmia import Rmia
from fedprivacy.attacks.membership.statistics.trajectory import Trajectory

if TYPE_CHECKING:
    from fedprivacy.federation.knowledge import Statistic

STATISTICS: dict[str, type[Statistic]] = {
    "loss": Loss,
    "confidence": Confidence,
    "entropy": Entropy,
    "mentr": ModifiedEntropy,
    "correct": Correct,
    "population": Population,
    "calibrated": Calibrated,
    "ratio": Ratio,
    "base-online": BaseOnline,
    "base-offline": BaseOffline,
    "rmia": Rmia,
    "lira-online": LiraOnline,
    "lira-offline": LiraOffline,
    "coop-lira": CoopLira,
    "distil-lira": DistilLira,
    "fedmia": FedMia,
    "bavaria": Bavaria,
    "trajectory": Trajectory,
    "joint": Joint,
}
"""Name -> class; every class builds with its paper's defaults."""

WHOLE_DISTRIBUTION = frozenset({"confidence", "entropy", "mentr", "correct"})
"""Statistics that read the probabilities of wrong classes, so a uniform fill would make them up."""


def offers(signals: Signals, surrogates: bool = False) -> frozenset[str]:
    """What the signals hold, in the words of a statistic's ``needs``.

    ``references`` (one that was not trained on some candidate), ``in-references`` (one that was, beside one that was
    not), ``never-trained`` (one trained on no candidate, as other clients are), ``surrogates`` (all references are
    surrogates of the target: only the caller knows, so it says), ``population`` (auxiliary non-members, also seen by
    the references where there are any), ``several-rounds`` (some candidate was seen, and clean, in two or more),
    ``scores`` (decoded jointly).
    """
    found = set() if signals.scores is None else {"scores"}
    references = signals.references
    if references is not None and (~references.included).any():
        found |= {"references", "surrogates"} if surrogates else {"references"}
        if references.included.any():
            found.add("in-references")
        if not surrogates and (~references.included.any(axis=1)).any():
            found.add("never-trained")
    if signals.population_logp is not None and (references is None or references.with_population):
        found.add("population")
    if ((signals.seen & signals.clean).sum(axis=0) > 1).any():
        found.add("several-rounds")
    return frozenset(found)


def applicable(signals: Signals, surrogates: bool = False) -> list[Statistic]:
    """The statistics that ``signals`` allow, with default settings, in the order of the table.

    From hard labels only ``correct``; from losses none that reads the other classes. References that are surrogates
    of the target serve ``distil-lira`` alone.
    """
    if HARD_LABEL in signals.floor:
        return [Correct()]
    held = offers(signals, surrogates)
    if not signals.logp.shape[-1]:
        return [Joint()] if "scores" in held else []
    names = [name for name, statistic in STATISTICS.items() if statistic.needs <= held]
    if surrogates:
        names = [name for name in names if not (STATISTICS[name].needs and name != "distil-lira")]
    if UNIFORM_REST in signals.floor:
        names = [name for name in names if name not in WHOLE_DISTRIBUTION]
    return [STATISTICS[name]() for name in names]


def same_as(statistic: Statistic, rule: str, signals: Signals) -> str | None:
    """Name of what ``statistic`` is to the last digit where scores combine over rounds by ``rule``; None for none.

    Where no reference was trained on any candidate, as without shadow federations, they all are co-op references.
    """
    references = signals.references
    if statistic.name == LiraOffline.name and references is not None and not references.included.any():
        return CoopLira.name
    return getattr(statistic, "twin", None) if getattr(statistic, "over_rounds", "each") == rule else None


def headline(signals: Signals) -> str:
    """The statistic a verdict rests on unless the configuration names one: ``joint`` where candidates were decoded
    together, else ``ratio`` with references, else ``loss``.

    It is fixed before any score is computed. Hard labels leave only ``correct``.
    """
    if signals.scores is not None:
        return Joint.name
    if HARD_LABEL in signals.floor:
        return "correct"
    return "ratio" if "references" in offers(signals) else "loss"
