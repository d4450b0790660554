"""The internal support set: classifiers whose classes come and go at any time."""

from skfsl.support._neighbors import KNeighborsClassifier
from skfsl.support._prototype import PrototypeClassifier

__all__ = ["KNeighborsClassifier", "PrototypeClassifier"]
