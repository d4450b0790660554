"""What few-shot learners are measured and looked at by."""

from skfsl.metrics._calibration import expected_calibration_error
from skfsl.metrics._open_set import (
    in_scope_accuracy,
    oscr_curve,
    oscr_score,
    out_of_scope_recall,
)
from skfsl.metrics._plot._off_screen import draw_off_screen as draw_off_screen
from skfsl.metrics._plot._off_screen import write_gif as write_gif
from skfsl.metrics._plot.distance_matrix import DistanceMatrixDisplay
from skfsl.metrics._plot.distance_matrix import learned_distances as learned_distances
from skfsl.metrics._ranking import mean_average_precision_at_k
from skfsl.metrics._retrieval import (
    mean_average_precision_at_r,
    r_precision,
    recall_at_k,
)
from skfsl.metrics._verification import (
    equal_error_rate,
    fpr_at_tpr,
    true_accept_rate,
)

__all__ = [
    "DistanceMatrixDisplay",
    "equal_error_rate",
    "expected_calibration_error",
    "fpr_at_tpr",
    "in_scope_accuracy",
    "mean_average_precision_at_k",
    "mean_average_precision_at_r",
    "oscr_curve",
    "oscr_score",
    "out_of_scope_recall",
    "r_precision",
    "recall_at_k",
    "true_accept_rate",
]
