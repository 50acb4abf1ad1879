"""Joint updates: membership of all candidates together from changes of weights, by playing the clients.

Over one round ``start - end = sum_i c_i g_i + rest`` with c_i above 0 for records that were trained on: a product with
one gradient also hears every similar record, so all are solved for at once (a neighbour is explained away). The g_i are
averaged along the paths of simulated clients; Adam is undone by the mean ``sqrt(v_hat)`` of the simulations, floored
at a fiftieth of its root mean square. Equations count by the noise that the simulations show (:mod:`.noise`); see
:mod:`.decode` for centring, scale and ridge, and :mod:`.solve` for the log-odds. Rounds are summed as log-odds: their
noise is close to independent, their equations are not the same.

What breaks it: candidates with nearly parallel gradients, training that the simulation does not resemble (unknown
hyper-parameters, another start, unknown records without any to stand in for them), noise above the sum's own, and pools
so large that each record is lost among the others. Least squares on gradients goes back to Sankararaman et al. 2009
(genomic summaries) and to the linear reconstruction of Dinur and Nissim 2003; here the answers are model updates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from fedprivacy.adversary.threat import View
from fedprivacy.attacks.membership.joint.coursed import player, unheard
from fedprivacy.attacks.membership.joint.follow import GRADES, Follower
from fedprivacy.attacks.membership.joint.told import figures, told
from fedprivacy.federation.knowledge import Knowledge, Observed


@dataclass(frozen=True)
class JointUpdates:
    """Sources are the clients, or the mean of all that are only seen together."""

    name: ClassVar[str] = "joint updates"
    alone: ClassVar[bool] = True

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        """Log-odds of the candidates by source and round, NaN for those of others. ValueError without rules."""
        rules, protocol = player(view, knowledge)
        effort, first = knowledge.attack.effort, knowledge.attack.first_rounds
        grade = GRADES[effort] if first is None else replace(GRADES[effort], changes=None, rounds=first)
        follower = Follower(knowledge, rules, protocol, view.position, grade)
        follower.follow(view)
        notes = (*told(follower, effort), *unheard(protocol, knowledge.settings))
        return Observed.decoded(follower.scores()[1], notes, figures(follower))
