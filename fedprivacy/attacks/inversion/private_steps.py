"""What the rules of a federation tell of differentially private training: clip bound, noise, steps and their size."""

from __future__ import annotations

from fedprivacy.attacks.inversion.messages import EVERYBODY, Sent
from fedprivacy.attacks.inversion.situation import Private
from fedprivacy.attacks.membership.joint.noised import private_fit
from fedprivacy.federation.knowledge import Knowledge


def private_steps(knowledge: Knowledge, sent: Sent) -> Private | None:
    """How the training behind ``sent`` is clipped and noised; None where it is not, or nobody said how."""
    rules, training = knowledge.rules, knowledge.settings.training
    if rules is None or not knowledge.wire.defended.noised_steps or sent.client == EVERYBODY:
        return None
    env, fit = private_fit(knowledge, rules)
    if fit is None or fit.layers != "all":
        return None
    nominal, epochs = env.nominal(sent.client, sent.number), training.local_epochs
    steps, every = epochs * fit.steps(nominal), fit.steps(nominal) == 1 and fit.rate(nominal) == 1
    share = 1 / fit.steps(nominal) if fit.sampling == "partition" else fit.rate(nominal)
    expected = nominal * share
    deviation = fit.noise_multiplier * fit.max_grad_norm / expected
    return Private(fit.max_grad_norm, expected, deviation, steps, every, share)
