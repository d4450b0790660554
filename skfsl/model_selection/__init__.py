"""Judge a metric on classes that it never saw."""

from skfsl.model_selection._episodes import iter_episodes

__all__ = ["iter_episodes"]
