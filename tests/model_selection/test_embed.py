"""All that judge an estimator open it alike: pipelines, frozen ones, searches."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.exceptions import SeenSamplesWarning
from skfsl.model_selection import (
    ClassKFold,
    EpisodicScorer,
    compare_few_shot,
    estimate_support_score,
    few_shot_report,
)

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(6), 8)
X = RNG.normal(size=(6, 4))[Y] + RNG.normal(size=(48, 4))


class Taught(TransformerMixin, BaseEstimator):
    """Knows the samples that it was fitted on."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y=None):
        self.known_ = {tuple(row) for row in np.asarray(X)}
        return self

    def transform(self, X):
        return self.factor * np.asarray(X)

    def _trained_on(self, X):
        return np.array([tuple(row) in self.known_ for row in np.asarray(X)])


def search(pipe):
    return GridSearchCV(
        pipe, {"taught__factor": [1.0]}, cv=ClassKFold(2),
        scoring=EpisodicScorer(n_way=2, n_episodes=5),
    )  # fmt: skip


WRAPPED = {
    "plain": lambda: make_pipeline(Taught(), PrototypeClassifier()),
    "frozen step": lambda: make_pipeline(
        FrozenEstimator(Taught().fit(X)), PrototypeClassifier()
    ),
    "pipeline within": lambda: make_pipeline(
        make_pipeline("passthrough", Taught()), PrototypeClassifier()
    ),
    "frozen pipeline within": lambda: make_pipeline(
        FrozenEstimator(make_pipeline(StandardScaler(), Taught()).fit(X)),
        PrototypeClassifier(),
    ),
    "search": lambda: search(make_pipeline(Taught(), PrototypeClassifier())),
    "search within": lambda: make_pipeline(
        search(make_pipeline(StandardScaler(), Taught())), PrototypeClassifier()
    ),
}
ASKED = {
    "scorer": lambda estimator, X, y: EpisodicScorer(2, n_episodes=5)(estimator, X, y),
    "report": lambda estimator, X, y: few_shot_report(
        estimator, X, y, n_way=2, n_episodes=5
    ),
    "compare": lambda estimator, X, y: compare_few_shot(
        {"a": estimator, "b": make_pipeline("passthrough")}, X, y,
        n_way=2, n_episodes=5,
    ),
    "support": estimate_support_score,
}  # fmt: skip
everyone = pytest.mark.parametrize("ask", ASKED.values(), ids=list(ASKED))


@everyone
@pytest.mark.parametrize("make", WRAPPED.values(), ids=list(WRAPPED))
def test_samples_that_a_metric_knows_are_told(ask, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeenSamplesWarning)  # a search's own scores
        estimator = make().fit(X, Y)
    with pytest.warns(SeenSamplesWarning, match="48 of the 48 .* was trained on: "):
        ask(estimator, X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(estimator, X + 1, Y)


def test_a_siamese_transformer_knows_its_support_set():
    siamese = SiameseTransformer(max_epochs=1, random_state=0, device="cpu")
    pipe = make_pipeline(siamese, PrototypeClassifier()).fit(X, Y)
    with pytest.warns(
        SeenSamplesWarning,
        match=r"of the 48 support examples .* the estimate is far too high\. Pass",
    ):
        estimate_support_score(pipe, X, Y, random_state=0)


@everyone
@pytest.mark.parametrize("asked", [SiameseTransformer, PrototypeClassifier])
def test_a_class_is_no_instance(ask, asked):
    name = asked.__name__
    with pytest.raises(TypeError, match=rf"Got the class {name}: write {name}\(\)"):
        ask(asked, X, Y)


def test_a_search_is_judged_by_what_it_has_found():
    pipe = make_pipeline(StandardScaler(), PrototypeClassifier())
    found = GridSearchCV(pipe, {"prototypeclassifier__metric": ["cosine"]}, cv=2)
    found.fit(X, Y)
    expected = estimate_support_score(found.best_estimator_, X, Y, random_state=0)
    assert repr(estimate_support_score(found, X, Y, random_state=0)) == repr(expected)
