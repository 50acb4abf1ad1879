"""Losses of distillation. A target is a constant of the step; ``KL(a || b)`` is a mean over the batch, in nats."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from fedprivacy.training.learner import Loss, of_logits
from fedprivacy.training.losses import cross_entropy, kl_divergence, log_probabilities, on_common_classes


def fml_losses(
    private: Tensor, meme: Tensor, labels: Tensor, alpha: float, beta: float, pfllib: bool = False
) -> tuple[Tensor, Tensor]:
    """``alpha CE(private) + (1 - alpha) KL(meme || private)``, and the same for the meme with beta (Shen et al. 2020).

    Logits [B, C]; each target is detached. Where the private model has outputs for some classes alone, the divergences
    are over these. ``pfllib``: over B * C instead of B, nothing detached, as that library has
    it: its numbers need it, the method does not.
    """
    log_p, log_m = (log_probabilities(logits) for logits in on_common_classes(private, meme))
    if pfllib:
        share = 1 / log_p.shape[1]
        to_private, to_meme = share * kl_divergence(log_m, log_p), share * kl_divergence(log_p, log_m)
    else:
        to_private, to_meme = kl_divergence(log_m.detach(), log_p), kl_divergence(log_p.detach(), log_m)
    return (
        alpha * cross_entropy(private, labels) + (1 - alpha) * to_private,
        beta * cross_entropy(meme, labels) + (1 - beta) * to_meme,
    )


def fedkd_loss(
    mentor: Tensor,
    mentee: Tensor,
    labels: Tensor,
    hidden: Tensor | None = None,
    floor: float = 1e-2,
    grad_through_weight: bool = False,
) -> Tensor:
    """The joint objective of mentor and mentee (Wu et al. 2022): both cross-entropies, both divergences over D, and
    ``hidden`` over D once.

    ``D = CE(mentor) + CE(mentee)``, at least ``floor`` and a constant unless ``grad_through_weight``. ``hidden``: the
    squared distance between hidden states (``MSE(H_t, W_h H_s)``), or None.
    """
    log_t, log_s = (log_probabilities(logits) for logits in on_common_classes(mentor, mentee))
    supervised = cross_entropy(mentor, labels) + cross_entropy(mentee, labels)
    quality = (supervised if grad_through_weight else supervised.detach()).clamp_min(floor)
    mutual = kl_divergence(log_s.detach(), log_t) + kl_divergence(log_t.detach(), log_s)
    return supervised + (mutual if hidden is None else mutual + hidden) / quality


def profe_loss(
    student: Tensor,
    teacher: Tensor,
    student_features: Tensor,
    teacher_features: Tensor,
    own: Tensor,
    alpha: float,
    beta: float,
    temperature: float,
) -> Tensor:
    """``own + alpha T^2 KL(teacher || student) + beta MSE(features)`` (arXiv 2412.11207); the teacher is detached.

    ``own``: the student's loss without its teacher.
    """
    total = own
    if alpha:
        taught, learning = on_common_classes(teacher.detach(), student)
        log_t, log_s = log_probabilities(taught, temperature), log_probabilities(learning, temperature)
        total = total + alpha * temperature**2 * kl_divergence(log_t, log_s)
    if beta:
        total = total + beta * functional.mse_loss(student_features, teacher_features.detach())
    return total


def taught_loss(teachers: Sequence[tuple[float, Tensor]], temperature: float) -> Loss:
    """``CE + sum_i w_i T^2 KL(teacher_i || own)``: teachers as (weight, logits [N, C] on the records of the fit)."""
    targets = [(weight, log_probabilities(logits.detach(), temperature)) for weight, logits in teachers if weight]

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        total = cross_entropy(logits, labels)
        if targets:
            log_p = log_probabilities(logits, temperature)
            for weight, log_q in targets:
                total = total + weight * temperature**2 * kl_divergence(log_q.to(rows.device)[rows], log_p)
        return total

    return of_logits(loss)


def soft_label_loss(target: Tensor, temperature: float = 1.0) -> Loss:
    """``T^2 KL(target || own)`` with target probabilities [N, C]; zeros are allowed, labels are not used.

    Cross-entropy to a fixed target has the same gradient. With a temperature, ``target`` is already softened.
    """
    constant = target.detach()

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        own = log_probabilities(logits, temperature)
        return temperature**2 * functional.kl_div(own, constant.to(rows.device)[rows], reduction="batchmean")

    return of_logits(loss)


def digest_loss(consensus: Tensor, distance: str, temperature: float = 1.0) -> Loss:
    """Distance of own logits to consensus logits [N, C]: ``mae``, ``mse`` or ``kl`` after a softmax.

    Li and Wang 2019, arXiv 1910.03581; their code takes the mean absolute error.
    """
    if distance == "kl":
        return soft_label_loss(log_probabilities(consensus, temperature).exp(), temperature)
    measure = functional.l1_loss if distance == "mae" else functional.mse_loss
    constant = consensus.detach()

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return measure(logits, constant.to(rows.device)[rows])

    return of_logits(loss)
