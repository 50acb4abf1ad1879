"""Pure statistics of an evaluation: leakage, its chance level, its interval, and lower bounds of epsilon.

Nothing here knows a model, a protocol or torch. Scores are oriented so that higher says member.
"""

from __future__ import annotations

from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.metrics.balanced_accuracy import (
    balanced_accuracy,
    best_balanced_accuracy,
    best_balanced_chance,
)
from fedprivacy.metrics.chance import NullTest, auc_chance, null_test, tpr_chance
from fedprivacy.metrics.epsilon.area import epsilon_from_auc
from fedprivacy.metrics.epsilon.bound import CredibleEpsilon, Curve, EpsilonBound
from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon, gdp_mu
from fedprivacy.metrics.epsilon.guesses import correct_guesses, one_run_from_scores, one_run_split
from fedprivacy.metrics.epsilon.joint_beta import joint_beta_interval
from fedprivacy.metrics.epsilon.one_run import one_run_epsilon, one_run_p_value
from fedprivacy.metrics.epsilon.one_run_gaussian import one_run_gaussian_epsilon
from fedprivacy.metrics.epsilon.thresholds import epsilon_all_thresholds, epsilon_at_threshold, epsilon_split
from fedprivacy.metrics.images import ImageScores, nearest_images, psnr, score_images, share_above
from fedprivacy.metrics.intervals import (
    Interval,
    bootstrap_mean,
    clopper_pearson,
    corrected_level,
    mean_interval,
    paired_interval,
    share_interval,
)
from fedprivacy.metrics.labels import LabelScores, chance_labels, compare_labels, gain_over_best
from fedprivacy.metrics.pooling import pool, pool_by_rank, ranks_within
from fedprivacy.metrics.roc import Resolution, RocCurve, TprAtFpr, auc, resolution, roc_curve, tpr_at_fpr
from fedprivacy.metrics.scores import by_coin, mid_ranks
from fedprivacy.metrics.tpr_interval import spent_fpr, tpr_bootstrap, tpr_interval
from fedprivacy.metrics.vulnerability import most_vulnerable, vulnerable_auc

__all__ = [
    "CredibleEpsilon",
    "Curve",
    "EpsilonBound",
    "ImageScores",
    "Interval",
    "LabelScores",
    "NullTest",
    "Resolution",
    "RocCurve",
    "TprAtFpr",
    "auc",
    "auc_chance",
    "auc_interval",
    "balanced_accuracy",
    "best_balanced_accuracy",
    "best_balanced_chance",
    "bootstrap_mean",
    "by_coin",
    "chance_labels",
    "clopper_pearson",
    "compare_labels",
    "correct_guesses",
    "corrected_level",
    "epsilon_all_thresholds",
    "epsilon_at_threshold",
    "epsilon_from_auc",
    "epsilon_split",
    "gain_over_best",
    "gdp_epsilon",
    "gdp_mu",
    "joint_beta_interval",
    "mean_interval",
    "mid_ranks",
    "most_vulnerable",
    "nearest_images",
    "null_test",
    "one_run_epsilon",
    "one_run_from_scores",
    "one_run_gaussian_epsilon",
    "one_run_p_value",
    "one_run_split",
    "paired_interval",
    "pool",
    "pool_by_rank",
    "psnr",
    "ranks_within",
    "resolution",
    "roc_curve",
    "score_images",
    "share_above",
    "share_interval",
    "spent_fpr",
    "tpr_at_fpr",
    "tpr_bootstrap",
    "tpr_chance",
    "tpr_interval",
    "vulnerable_auc",
]
