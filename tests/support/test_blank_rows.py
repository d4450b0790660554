"""Rows of NaN, of files that could not be read: what all classifiers promise."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
)
from skfsl.support._blank_rows import blank_rows

SMALL = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
CLASSIFIERS = [
    PrototypeClassifier(unknown_label="?", reject=None),
    PrototypeClassifier("cosine", store="sums", unknown_label="?", reject=None),
    KNeighborsClassifier(n_neighbors=3, unknown_label="?", reject=None),
    KNeighborsClassifier(
        n_neighbors=1, metric="cosine", unknown_label="?", reject=None
    ),
    KNeighborsClassifier(
        n_neighbors=3, algorithm="kd_tree", unknown_label="?", reject=None
    ),
    SiameseClassifier(SiameseTransformer(**SMALL), unknown_label="?", reject=None),
    FewShotPipeline(
        [
            ("scaler", StandardScaler()),
            ("clf", PrototypeClassifier(unknown_label="?", reject=None)),
        ]
    ),
]
WARNING = r"Rows \[2, 7\] of X are wholly NaN"
BLANK = [2, 7]


def without_unknown(clf):
    name = "clf__unknown_label" if isinstance(clf, FewShotPipeline) else "unknown_label"
    return clone(clf).set_params(**{name: None})


@pytest.fixture(params=CLASSIFIERS, ids=str)
def clf(request):
    return clone(request.param)


@pytest.fixture
def data(rng):
    y = np.repeat(["ant", "bee", "cow"], 4)
    X = 5 * rng.normal(size=(3, 6))[np.repeat(range(3), 4)] + rng.normal(size=(12, 6))
    return X.astype(np.float32), y


def blanked(X):
    X = X.copy()
    X[BLANK] = np.nan
    return X


def answers(clf, X):
    names = ("predict", "predict_proba", "decision_function", "score_samples")
    return {name: getattr(clf, name)(X) for name in names if hasattr(clf, name)}


def test_fit_drops_them_with_one_warning(clf, data):
    X, y = data
    with pytest.warns(UserWarning, match=WARNING) as caught:
        clf.fit(blanked(X), y)
    assert len(caught) == 1
    stays = np.delete(np.arange(12), BLANK)
    if not isinstance(clf, FewShotPipeline):  # whose scaler sees no NaN either way
        expected = clone(clf).fit(X[stays], y[stays])
        for name, answer in answers(expected, X).items():
            assert_array_equal(getattr(clf, name)(X), answer)


def test_partial_fit_drops_them_with_one_warning(clf, data):
    X, y = data
    if getattr(clf, "algorithm", None) == "kd_tree":
        pytest.skip("cannot enrol")
    clf.fit(X, y)
    more = np.repeat(["dog", "elk"], 4)
    with pytest.warns(UserWarning, match=WARNING) as caught:
        clf.partial_fit(blanked(X[:8] + 20), more)
    assert len(caught) == 1
    assert clf.classes_.tolist() == ["ant", "bee", "cow", "dog", "elk"]
    stays = np.delete(np.arange(8), BLANK)
    expected = clone(clf).fit(X, y).partial_fit(X[:8][stays] + 20, more[stays])
    assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


def test_queries_are_answered_with_the_unknown_label(clf, data):
    X, y = data
    clf.fit(X, y)
    whole, holed = answers(clf, X), answers(clf, blanked(X))
    seen = np.delete(np.arange(12), BLANK)
    for name, answer in holed.items():
        assert answer.shape == whole[name].shape
        assert_allclose(answer[seen], whole[name][seen], rtol=1e-5) if (
            name != "predict"
        ) else assert_array_equal(answer[seen], whole[name][seen])
        if name == "predict":
            assert_array_equal(answer[BLANK], "?")
        else:
            assert np.isnan(answer[BLANK]).all()


def test_all_queries_may_be_blank(clf, data):
    clf.fit(*data)
    nothing = np.full((2, 6), np.nan)
    for name, answer in answers(clf, nothing).items():
        assert len(answer) == 2
        assert (answer == "?").all() if name == "predict" else np.isnan(answer).all()
    if not isinstance(clf, FewShotPipeline):
        with pytest.raises(ValueError, match="X has 5 features"):
            clf.predict(nothing[:, :5])


def test_without_an_unknown_label_predict_names_the_rows(clf, data):
    clf = without_unknown(clf).fit(*data)
    with pytest.raises(ValueError, match=r"rows \[2, 7\] are wholly NaN"):
        clf.predict(blanked(data[0]))
    assert np.isnan(clf.predict_proba(blanked(data[0]))[BLANK]).all()


@pytest.mark.parametrize("method", ["fit", "predict", "predict_proba"])
def test_a_row_that_is_nan_in_part_is_refused(clf, data, method):
    X, y = data
    clf.fit(X, y)
    bad = blanked(X)
    bad[4, 3] = np.nan
    arguments = (bad, y) if method == "fit" else (bad,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the blank rows
        with pytest.raises(ValueError, match="contains NaN"):
            getattr(clf, method)(*arguments)


def test_nothing_but_blank_rows_is_refused(clf, data):
    X, y = data
    if not isinstance(clf, FewShotPipeline):  # the scaler has no mean of it
        with pytest.raises(ValueError, match="All 12 rows of X are wholly NaN"):
            clf.fit(np.full_like(X, np.nan), y)
    if getattr(clf, "algorithm", None) != "kd_tree":
        clf.fit(X, y)
        with pytest.raises(ValueError, match="All 3 rows of X are wholly NaN"):
            clf.partial_fit(np.full((3, 6), np.nan), ["dog"] * 3)
        assert clf.classes_.tolist() == ["ant", "bee", "cow"]


def test_classes_that_are_lost_are_named(data):
    X, y = data[0][:8], ["a", "a", "lost", "b", "b", "b", "b", "b"]
    with pytest.warns(UserWarning, match=r"no other sample here: \['lost'\]"):
        clf = PrototypeClassifier().fit(blanked(X), y)
    assert clf.classes_.tolist() == ["a", "b"]


def test_weights_are_dropped_with_their_rows(data):
    X, y = data
    weight = np.arange(1.0, 13.0)
    with pytest.warns(UserWarning, match=WARNING):
        clf = PrototypeClassifier().fit(blanked(X), y, sample_weight=weight)
    stays = np.delete(np.arange(12), BLANK)
    expected = PrototypeClassifier().fit(X[stays], y[stays], weight[stays])
    assert_array_equal(clf.prototypes_, expected.prototypes_)
    assert_array_equal(clf.counts_, expected.counts_)


def test_frames_keep_their_names(clf, data):
    X, y = data
    frame = pd.DataFrame(blanked(X), columns=list("abcdef"))
    with pytest.warns(UserWarning, match=WARNING):
        clf.fit(frame, pd.Series(y))
    assert clf.feature_names_in_.tolist() == list("abcdef")
    assert_array_equal(clf.predict(frame)[BLANK], "?")


class HalfBlind(SiameseTransformer):
    """Gives rows of NaN, as for files that cannot be read."""

    def _embed(self, X):
        numbers = np.asarray(X, dtype=object)[:, 0].astype(np.float32)
        columns = np.stack([numbers] * 6, axis=1)
        embeddings = super()._embed(np.nan_to_num(columns)).clone()
        embeddings[np.isnan(numbers)] = np.nan
        return embeddings


def test_embeddings_of_files_that_cannot_be_read(data):
    siamese = HalfBlind(**SMALL).fit(*data)
    clf = SiameseClassifier(FrozenEstimator(siamese), unknown_label="?", reject=None)
    # No table of numbers: what it holds is the transformer's own business.
    files = np.array([["1"], ["nan"], ["9"], ["nan"]], dtype=object)
    with pytest.warns(UserWarning, match=r"Rows \[1, 3\] of X are wholly NaN"):
        clf.fit(files, ["a", "b", "c", "a"])
    assert clf.classes_.tolist() == ["a", "c"]
    assert clf.predict(files).tolist() == ["a", "?", "c", "?"]
    assert np.isnan(clf.predict_proba(files)[[1, 3]]).all()
    assert clf.predict(files[[1]]).tolist() == ["?"]


@pytest.mark.parametrize(
    ("label", "error", "match"),
    [
        ("ant", ValueError, "unknown_label='ant' is a class of the support set"),
        (-1, TypeError, "Expected an unknown_label of the kind of the labels: str"),
        (["?"], ValueError, "must be one label or None"),
    ],
)
def test_an_unknown_label_is_checked_before_anything_changes(
    clf, data, label, error, match
):
    if isinstance(clf, FewShotPipeline):
        pytest.skip("of its last step")
    with pytest.raises(error, match=match):
        clone(clf).set_params(unknown_label=label).fit(*data)
    clf.fit(*data)
    if getattr(clf, "algorithm", None) != "kd_tree":
        with pytest.raises(ValueError, match=r"unknown_label='\?' is a class"):
            clf.partial_fit(data[0][:1], ["?"])
        assert clf.classes_.tolist() == ["ant", "bee", "cow"]
    with pytest.raises(error, match=match):
        clf.set_params(unknown_label=label).predict(data[0])


def test_an_unknown_label_may_be_longer_than_the_classes(clf, data):
    name = "clf__unknown_label" if isinstance(clf, FewShotPipeline) else "unknown_label"
    clf.set_params(**{name: "none of these"}).fit(*data)
    assert clf.predict(blanked(data[0]))[2] == "none of these"


def test_several_outputs_have_no_unknown_label(rng):
    X, y = rng.normal(size=(6, 2)), np.arange(12).reshape(6, 2) % 3
    with pytest.raises(ValueError, match="y of several outputs"):
        KNeighborsClassifier(unknown_label=-1).fit(X, y)


@pytest.mark.parametrize(
    "X", [None, [[1, 2], [3]], [["a"]], np.zeros((0, 3)), np.full(3, np.nan), [[None]]]
)
def test_what_has_no_blank_rows(X):
    assert blank_rows(X) is None
