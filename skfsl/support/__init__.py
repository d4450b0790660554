"""The internal support set: classifiers whose classes come and go at any time."""

# Under their own names "as" themselves: opened for the rooms above, not for users.
from skfsl.support._blank_rows import blank_rows as blank_rows
from skfsl.support._blank_rows import drop_blanks as drop_blanks
from skfsl.support._calibrate import Calibration as Calibration
from skfsl.support._ids import SampleIds as SampleIds
from skfsl.support._ids import check_ids as check_ids
from skfsl.support._labels import Labels as Labels
from skfsl.support._labels import check_declared as check_declared
from skfsl.support._leave_one_out import another_of_class as another_of_class
from skfsl.support._neighbors import KNeighborsClassifier
from skfsl.support._neighbors_torch import DeviceIndex as DeviceIndex
from skfsl.support._open_set import LeftOut as LeftOut
from skfsl.support._open_set import choose_rows as choose_rows
from skfsl.support._prototype import PrototypeClassifier
from skfsl.support._scoring_mixin import ScoringMixin as ScoringMixin
from skfsl.support._store import Rows as Rows
from skfsl.support._sums import ClassSums as ClassSums
from skfsl.support._support_mixin import SUPPORT_CONSTRAINTS as SUPPORT_CONSTRAINTS
from skfsl.support._support_set import NeighborSet as NeighborSet
from skfsl.support._support_set import PrototypeSet as PrototypeSet

__all__ = ["KNeighborsClassifier", "PrototypeClassifier"]
