"""`score` tells an accuracy that could not be other than zero."""

import copy
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfsl import KNeighborsClassifier, PrototypeClassifier, make_few_shot_pipeline
from skfsl.exceptions import DisjointClassesWarning

ESTIMATORS = [
    PrototypeClassifier(),
    PrototypeClassifier(store="sums"),
    KNeighborsClassifier(n_neighbors=1),
    KNeighborsClassifier(n_neighbors=1, algorithm="kd_tree"),
    make_pipeline(StandardScaler(), PrototypeClassifier()),
    make_pipeline(StandardScaler(), KNeighborsClassifier(1)),
    make_few_shot_pipeline(StandardScaler(), PrototypeClassifier()),
    make_few_shot_pipeline(StandardScaler(), KNeighborsClassifier(1)),
]
X = np.repeat(np.eye(3), 2, axis=0) + np.linspace(0, 0.1, 6)[:, np.newaxis]
Y = np.repeat([1, 2, 3], 2)


@pytest.fixture(params=ESTIMATORS, ids=lambda e: str(e).replace("\n", ""))
def fitted(request):
    return clone(request.param).fit(X, Y)


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_labels_of_no_class_are_told(fitted):
    match = (
        r"None of the 2 classes in y, \[7, 9\], is among the 3 of the support set, "
        r"\[1, 2, 3\].*partial_fit.*ClassKFold.*make_episodic_scorer"
    )
    with pytest.warns(DisjointClassesWarning, match=match) as told:
        assert fitted.score(X, [7, 7, 7, 9, 9, 9]) == 0.0
    assert len(told) == 1


@pytest.mark.usefixtures("silent")
def test_one_known_label_is_enough(fitted):
    assert fitted.score(X, Y) == 1.0
    assert fitted.score(X, [1, 7, 7, 7, 7, 7]) == pytest.approx(1 / 6)
    assert fitted.score(X, [2, 7, 7, 7, 7, 7]) == 0.0  # known, and wrongly predicted


@pytest.mark.usefixtures("silent")
def test_weights_do_not_hide_a_known_label(fitted):
    assert fitted.score(X, [1, 7, 7, 7, 7, 7], sample_weight=[0, 1, 1, 1, 1, 1]) == 0.0


def test_weights_count(fitted):
    y, weight = [1, 1, 2, 7, 7, 7], [1, 1, 4, 2, 1, 1]
    assert fitted.score(X, y, sample_weight=weight) == pytest.approx(0.6)
    with pytest.warns(DisjointClassesWarning):
        assert fitted.score(X, np.full(6, 7), sample_weight=weight) == 0.0


@pytest.mark.usefixtures("silent")
def test_enrolled_classes_are_not_told(fitted):
    if "kd_tree" in str(fitted) or not hasattr(fitted, "partial_fit"):
        pytest.skip("cannot enrol")
    assert fitted.partial_fit(X + 9, Y + 6).score(X + 9, Y + 6) == 1.0


@pytest.mark.parametrize(
    "kind",
    [list, pd.Series, pl.Series, torch.tensor, lambda y: np.array(y)[:, np.newaxis],
     lambda y: np.array(y, dtype=np.int8), lambda y: np.array(y, dtype=float),
     lambda y: pd.Series(y, dtype="Int64"), lambda y: pd.Series(y, dtype="category")],
    ids=["list", "pandas", "polars", "torch", "column", "int8", "float", "nullable",
         "category"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:A column-vector")
def test_labels_in_any_container(kind):
    clf = PrototypeClassifier().fit(X, Y)
    with pytest.warns(DisjointClassesWarning, match="None of the 2 classes"):
        assert clf.score(X, kind([7, 7, 7, 9, 9, 9])) == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", DisjointClassesWarning)
        assert clf.score(X, kind([2, 7, 7, 7, 7, 7])) == 0.0


def test_strings():
    clf = KNeighborsClassifier(1).fit(X, np.array(["a", "b", "c"])[Y - 1])
    with pytest.warns(DisjointClassesWarning, match=r"\['d', 'e'\].*\['a', 'b', 'c'\]"):
        assert clf.score(X, np.array(["d", "e"] * 3, dtype=object)) == 0.0


@pytest.mark.parametrize("y", [None, [], Y[:4], [0.5] * 6, [[1, 0]] * 6, [None] * 6])
@pytest.mark.parametrize("clf", [PrototypeClassifier(), KNeighborsClassifier(1)])
def test_what_scikit_learn_refuses_is_refused_in_its_words(clf, y):
    clf = clone(clf).fit(X, Y)
    with pytest.raises((ValueError, TypeError)) as expected:
        accuracy_score(y, clf.predict(X))
    with pytest.raises(expected.type) as found:
        clf.score(X, y)
    assert str(found.value) == str(expected.value)


def test_labels_of_another_kind():
    """Recent versions of scikit-learn refuse them, older ones answer zero."""
    clf = PrototypeClassifier().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DisjointClassesWarning)
        with pytest.raises(
            (ValueError, DisjointClassesWarning),
            match=r"Mix of label|in y, \['1'\], .* support set, \[1, 2, 3\]",
        ):
            clf.score(X, ["1"] * 6)


def test_unfitted_it_says_so():
    for clf in (PrototypeClassifier(), KNeighborsClassifier()):
        with pytest.raises(NotFittedError):
            clf.score(X, Y)


@pytest.mark.usefixtures("silent")
def test_several_outputs_are_left_alone():
    several = np.column_stack([Y == 1, Y == 2]).astype(int)
    clf = KNeighborsClassifier(1).fit(X, several)
    assert clf.score(X, several) == 1.0
    assert clf.score(X, 1 - several) == 0.0
    assert clf.score(X, sparse.csr_matrix(1 - several)) == 0.0


@pytest.mark.usefixtures("silent")
def test_stored_samples_without_their_own_vote():
    clf = KNeighborsClassifier(1).fit(X, Y)
    assert clf.score(None, Y) == 1.0


def test_class_disjoint_folds_are_told(fitted):
    with pytest.warns(DisjointClassesWarning) as told:
        scores = cross_val_score(fitted, X, Y, groups=Y, cv=GroupKFold(3))
    np.testing.assert_array_equal(scores, 0)
    assert len(told) == 3


def test_scoring_changes_nothing(fitted):
    before = copy.deepcopy(fitted).predict(X)
    with pytest.warns(DisjointClassesWarning):
        fitted.score(X, Y + 10)
    np.testing.assert_array_equal(fitted.predict(X), before)


def test_the_warning_points_to_the_caller():
    with pytest.warns(DisjointClassesWarning) as told:
        PrototypeClassifier().fit(X, Y).score(X, Y + 10)
    assert told[0].filename == __file__


def test_routing_of_weights_is_known():
    for clf in (PrototypeClassifier(), KNeighborsClassifier()):
        requests = clf.get_metadata_routing().score.requests
        assert requests == {"sample_weight": None}
