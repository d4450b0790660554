"""FewShotPipeline and scikit-learn's own Pipeline around a learned metric."""

import copy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier as PlainKNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseTransformer,
)
from skfsl.exceptions import MetricMismatchWarning, StaleSupportError


def make_siamese(**params):
    return SiameseTransformer(max_epochs=2, random_state=0, device="cpu", **params)


def make_pipe(last=None, **params):
    return FewShotPipeline(
        [("siamese", make_siamese(**params)), ("clf", last or PrototypeClassifier())]
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(8), 6)
    X = (rng.normal(size=(8, 10)) * 4)[y] + rng.normal(size=(48, 10))
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def fitted(data):
    X, y = data
    return make_pipe().fit(X[y < 5], y[y < 5])


@pytest.fixture
def pipe(fitted):
    return copy.deepcopy(fitted)


def test_new_classes_leave_the_metric_alone(pipe, data):
    X, y = data
    before = pipe["siamese"].transform(X)
    pipe.partial_fit(X[y >= 5], y[y >= 5])
    np.testing.assert_array_equal(pipe["siamese"].transform(X), before)
    np.testing.assert_array_equal(pipe.classes_, np.arange(8))
    assert pipe.score(X, y) > 0.9


def test_training_on_makes_the_support_set_stale(pipe, data):
    X, y = data
    pipe["siamese"].partial_fit(X, y)
    with pytest.raises(StaleSupportError, match="siamese"):
        pipe.predict(X)
    pipe.set_params(clf=clone(pipe["clf"])).partial_fit(X, y)
    assert pipe.score(X, y) > 0.9


def test_frozen_metric_is_kept_by_a_grid_search(pipe, data):
    X, y = data
    frozen = FewShotPipeline(
        [("m", FrozenEstimator(pipe["siamese"])), ("clf", KNeighborsClassifier())]
    )
    search = GridSearchCV(frozen, {"clf__n_neighbors": [1, 3]}, cv=3).fit(X, y)
    assert search.best_estimator_["m"].fit_id_ == pipe["siamese"].fit_id_
    assert search.best_score_ > 0.9


def test_grid_search_over_the_parts(data):
    grid = {
        "siamese__loss__temperature": [0.5, 1.0],
        "siamese__sampler__n_way": [3],
        "siamese__head": ["euclidean", "cosine"],
    }
    search = GridSearchCV(make_pipe(), grid, cv=2, n_jobs=2, error_score="raise")
    assert search.fit(*data).best_score_ > 0.8


@pytest.mark.parametrize("head", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    "last",
    [
        PrototypeClassifier(),
        KNeighborsClassifier(3),
        PlainKNeighborsClassifier(3),
        SVC(),
        LogisticRegression(),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.filterwarnings("error::skfsl.exceptions.MetricMismatchWarning")
def test_classifiers_read_the_embeddings(head, last, data):
    X, y = data
    assert make_pipe(last, head=head).fit(X, y).score(X, y) > 0.9
    assert (
        make_pipeline(make_siamese(head=head), clone(last)).fit(X, y).score(X, y) > 0.9
    )


def test_wrong_metric_warns(data):
    with pytest.warns(MetricMismatchWarning, match="'euclidean'"):
        make_pipe(PrototypeClassifier(metric="manhattan")).fit(*data)


def test_cosine_head_may_be_read_by_cosine(data, recwarn):
    make_pipe(PrototypeClassifier(metric="cosine"), head="cosine").fit(*data)
    assert not [w for w in recwarn if w.category is MetricMismatchWarning]


def test_failed_fit_of_the_metric_leaves_the_pipeline_as_it_was(pipe, data):
    X, y = data
    before = pipe.predict_proba(X)
    with pytest.raises(ValueError, match="NaN"):
        pipe.fit(np.full_like(X, np.nan), y)
    np.testing.assert_array_equal(pipe.predict_proba(X), before)


def test_images_go_through(data):
    X, y = data
    images = np.clip(X.repeat(10, axis=1).reshape(-1, 10, 10) * 20 + 100, 0, 255)
    images = images.astype(np.uint8)
    pipe = make_pipe().fit(images[y < 5], y[y < 5])
    pipe.partial_fit(images[y >= 5], y[y >= 5])
    assert len(pipe.predict(images)) == 48
