"""Judge a metric on classes that it never saw."""

from skfsl.model_selection._class_groups import LeaveOneGroupOfClassesOut
from skfsl.model_selection._class_split import (
    ClassKFold,
    ClassShuffleSplit,
    RepeatedClassKFold,
    StratifiedClassKFold,
)
from skfsl.model_selection._compare import compare_few_shot
from skfsl.model_selection._episodes import iter_episodes
from skfsl.model_selection._report import few_shot_report
from skfsl.model_selection._scorer import EpisodicScorer, make_episodic_scorer
from skfsl.model_selection._support_score import estimate_support_score
from skfsl.model_selection._train_test_class_split import train_test_class_split

__all__ = [
    "ClassKFold",
    "ClassShuffleSplit",
    "EpisodicScorer",
    "LeaveOneGroupOfClassesOut",
    "RepeatedClassKFold",
    "StratifiedClassKFold",
    "compare_few_shot",
    "estimate_support_score",
    "few_shot_report",
    "iter_episodes",
    "make_episodic_scorer",
    "train_test_class_split",
]
