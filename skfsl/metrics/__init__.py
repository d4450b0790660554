"""What few-shot learners are measured and looked at by."""

from skfsl.metrics._plot.distance_matrix import DistanceMatrixDisplay

__all__ = ["DistanceMatrixDisplay"]
