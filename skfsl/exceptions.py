"""Errors and warnings of skfsl's own; all else is ValueError or TypeError."""

__all__ = [
    "BadFilesWarning",
    "CollapseWarning",
    "DisjointClassesWarning",
    "FineTuningWarning",
    "MetricMismatchWarning",
    "SeenSamplesWarning",
    "StaleSupportError",
    "TrainingDivergedError",
]


class TrainingDivergedError(ValueError):
    """The loss or the weights became NaN or infinite while a metric was learned."""


class BadFilesWarning(UserWarning):
    """Image files cannot be read, and their samples are left out."""


class CollapseWarning(UserWarning):
    """Training brought all embeddings together, or taught nothing."""


class FineTuningWarning(UserWarning):
    """Stages of one's own did not beat the pretrained encoder, which is kept."""


class StaleSupportError(ValueError):
    """The metric has changed since the support set was enrolled under it."""


class MetricMismatchWarning(UserWarning):
    """A classifier reads embeddings with another metric than the learned one."""


class DisjointClassesWarning(UserWarning):
    """None of the true labels is of a class that could have been predicted."""


class SeenSamplesWarning(UserWarning):
    """A metric is judged on samples that it was trained on."""
