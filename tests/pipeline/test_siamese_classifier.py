"""SiameseClassifier: a learned head scores the classes of a support set."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skfsl import (
    FewShotPipeline,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
)
from skfsl.exceptions import (
    DisjointClassesWarning,
    SeenSamplesWarning,
    StaleSupportError,
)
from skfsl.heads import CosineHead, DenseSigmoidHead, LearnedNormsHead, MixedNormsHead
from skfsl.losses import BinaryCrossEntropyLoss, ClassConsistencyLoss
from skfsl.model_selection import (
    ClassKFold,
    compare_few_shot,
    estimate_support_score,
    few_shot_report,
    make_episodic_scorer,
)
from skfsl.pipeline import _class_scores
from skfsl.samplers import ClassBalancedSampler

LOGITS = ClassConsistencyLoss()
HEADS = {
    "euclidean": ("euclidean", "prototypical"),
    "mahalanobis": ("mahalanobis", "prototypical"),
    "cosine": ("cosine", "prototypical"),
    "learned scale": (CosineHead("learned"), LOGITS),
    "dense_sigmoid": ("dense_sigmoid", LOGITS),
    "signed": (DenseSigmoidHead(non_negative=False), LOGITS),
    "learned_norms": (LearnedNormsHead(), LOGITS),
    "mixed_norms": (MixedNormsHead(hidden=4), LOGITS),
}
AGGREGATIONS = ["prototype", "mean", "max"]


def small_net():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))


def siamese(head="euclidean", loss="prototypical", encoder=small_net, **params):
    settings = {"max_epochs": 2, "device": "cpu", "random_state": 0} | params
    return SiameseTransformer(encoder, head=head, loss=loss, **settings)


def make_data(n_classes=8, seed=0):
    """Classes of 1, 2, ... samples and of 1 again, in no order."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(n_classes), 1 + np.arange(n_classes) % 7))
    centres = np.random.default_rng(9).normal(size=(n_classes, 6)) * 3
    return (centres[y] + rng.normal(size=(len(y), 6))).astype(np.float32), y


X, Y = make_data()
NAMES = np.array([f"class{label}" for label in Y])
QUERIES = make_data(seed=1)[0]


@pytest.fixture(scope="module")
def metrics():
    """Fitted metrics by the name of their head."""
    return {name: siamese(head, loss).fit(X, Y) for name, (head, loss) in HEADS.items()}


def over(metric, **params):
    return SiameseClassifier(FrozenEstimator(metric), **params)


@pytest.fixture
def fitted(metrics):
    """Knows classes 3 and up."""
    return over(metrics["euclidean"]).fit(X[Y > 2], Y[Y > 2])


# --- the score of a class, from its definition --------------------------------


def slow_scores(metric, queries, X, y, aggregation):
    """Pair by pair, for classes in sorted order."""
    scores = np.empty((len(queries), len(set(y))))
    for j, label in enumerate(sorted(set(y))):
        own = X[y == label]
        if aggregation == "prototype":
            a, b = metric._embed(queries), metric._embed(own).mean(dim=0)
            with torch.inference_mode():
                scores[:, j] = metric.head_.paired(a, b.expand(len(a), -1)).numpy()
            continue
        for i, query in enumerate(queries):
            pairs = metric.pair_score([(query, example) for example in own])
            scores[i, j] = pairs.mean() if aggregation == "mean" else pairs.max()
    return scores


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("head", HEADS)
def test_scores_follow_their_definition(metrics, head, aggregation):
    clf = over(metrics[head], aggregation=aggregation).fit(X, NAMES)
    expected = slow_scores(metrics[head], QUERIES[:6], X, NAMES, aggregation)
    scores = clf.decision_function(QUERIES[:6])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        clf.score_samples(QUERIES[:6]), expected.max(axis=1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("head", ["euclidean", "mahalanobis", "dense_sigmoid"])
def test_prototypes_are_those_of_folded_embeddings(metrics, head):
    metric = metrics[head]
    plain = PrototypeClassifier(metric.metric_).fit(metric.transform(X), Y)
    clf = over(metric).fit(X, Y)
    folded = metric.transform(QUERIES)
    np.testing.assert_array_equal(clf.predict(QUERIES), plain.predict(folded))
    # A sigmoid's bias is the same for all classes.
    np.testing.assert_allclose(
        clf.predict_proba(QUERIES), plain.predict_proba(folded), atol=1e-4
    )


def test_prototypes_under_cosine_are_means_before_folding(metrics):
    metric = metrics["cosine"]
    clf = over(metric).fit(X, Y)
    embeddings = metric._embed(X).numpy()
    means = np.array([embeddings[label == Y].mean(axis=0) for label in range(8)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = metric.transform(QUERIES) @ means.T
    np.testing.assert_allclose(clf.decision_function(QUERIES), cosines, atol=1e-5)


@pytest.mark.parametrize(
    "head", ["euclidean", "mahalanobis", "cosine", "learned scale", "dense_sigmoid"]
)
def test_highest_score_is_the_nearest_neighbor(metrics, head):
    metric = metrics[head]
    nearest = KNeighborsClassifier(1, metric=metric.metric_)
    nearest.fit(metric.transform(X), Y)
    clf = over(metric, aggregation="max").fit(X, Y)
    np.testing.assert_array_equal(
        clf.predict(QUERIES), nearest.predict(metric.transform(QUERIES))
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("n_scores", [1, 7, 40, 300])
def test_blocks_change_nothing(metrics, aggregation, n_scores, monkeypatch):
    clf = over(metrics["learned_norms"], aggregation=aggregation).fit(X, Y)
    expected = clf.predict_proba(QUERIES)
    monkeypatch.setattr(_class_scores, "_SCORES", n_scores)
    monkeypatch.setattr(_class_scores, "_MIN_ROWS", 2)
    np.testing.assert_allclose(clf.predict_proba(QUERIES), expected, atol=1e-5)


def test_no_block_is_larger_than_allowed(metrics, monkeypatch):
    sizes = []
    scores = _class_scores.pair_scores

    def watched(*args):
        sizes.append(scores(*args).size)
        return scores(*args)

    monkeypatch.setattr(_class_scores, "pair_scores", watched)
    monkeypatch.setattr(_class_scores, "_SCORES", 60)
    over(metrics["euclidean"], aggregation="max").fit(X, Y).predict(QUERIES)
    assert max(sizes) <= 60


def test_temperature_divides_scores(fitted):
    scores = fitted.decision_function(QUERIES)
    proba = fitted.set_params(temperature=3.0).predict_proba(QUERIES)
    expected = np.exp(scores / 3)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(proba, expected, atol=1e-5)
    np.testing.assert_allclose(
        fitted.predict_log_proba(QUERIES), np.log(expected), atol=1e-3
    )


def test_two_classes_have_one_decision(fitted):
    two = clone(fitted).fit(X[Y > 5], Y[Y > 5])
    decision = two.decision_function(QUERIES)
    assert decision.shape == (len(QUERIES),)
    np.testing.assert_array_equal(two.predict(QUERIES), np.where(decision > 0, 7, 6))


# --- classes come and go -------------------------------------------------------


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_classes_in_parts_are_those_of_one_fit(metrics, fitted, aggregation):
    whole = over(metrics["euclidean"], aggregation=aggregation).fit(X, Y)
    parts = clone(fitted).set_params(aggregation=aggregation)
    for label in (5, 1, 7, 0, 3, 2, 6, 4):
        parts.partial_fit(X[label == Y], Y[label == Y])
    np.testing.assert_array_equal(parts.classes_, whole.classes_)
    np.testing.assert_array_equal(parts.counts_, np.bincount(Y))
    np.testing.assert_allclose(
        parts.decision_function(QUERIES), whole.decision_function(QUERIES), atol=1e-4
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_columns_follow_when_the_first_class_comes_last(fitted, aggregation):
    fitted.set_params(aggregation=aggregation)
    fitted.predict(QUERIES)  # what was made of the support set before does not stay
    fitted.partial_fit(X[Y <= 2], Y[Y <= 2])
    proba = fitted.predict_proba(X)
    assert roc_auc_score(Y, proba, multi_class="ovr") > 0.9
    assert log_loss(Y, proba) < 2
    np.testing.assert_array_equal(
        fitted.classes_[proba.argmax(axis=1)], fitted.predict(X)
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_forgotten_classes_leave_what_was_never_there(metrics, fitted, aggregation):
    clf = over(metrics["euclidean"], aggregation=aggregation).fit(X, Y)
    clf.forget([1, 0, 2])
    np.testing.assert_allclose(
        clf.decision_function(QUERIES),
        fitted.set_params(aggregation=aggregation).decision_function(QUERIES),
        atol=1e-4,
    )


def test_validation_classes_are_in_the_support_set():
    X, y = make_data(60)
    more = np.random.default_rng(0).normal(size=X.shape).astype(np.float32) / 9
    X, y = np.concatenate([X, X + more]), np.tile(y, 2)
    clf = SiameseClassifier(siamese()).fit(X, y)
    assert len(clf.siamese_.validation_classes_) > 0
    np.testing.assert_array_equal(clf.classes_, np.arange(60))


def test_metric_is_trained_by_fit_only():
    template = siamese()
    clf = SiameseClassifier(template).fit(X, Y)
    assert not hasattr(template, "net_")
    before = clf.siamese_.fit_id_
    clf.partial_fit(X[:1], [99]).forget([0])
    assert clf.siamese_.fit_id_ == before
    alone = clone(template).fit(X, Y)
    np.testing.assert_array_equal(clf.siamese_.transform(X), alone.transform(X))


def test_frozen_metric_is_kept(metrics):
    frozen = FrozenEstimator(metrics["euclidean"])
    clf = SiameseClassifier(frozen).fit(X[:3], Y[:3])
    assert clf.siamese_ is frozen
    assert clf.partial_fit(X, Y).siamese_ is frozen


def test_images():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 5)
    images = rng.integers(0, 100, size=(20, 8, 8)).astype(np.uint8)
    images[np.arange(20), 2 * y] += 150
    clf = SiameseClassifier(SiameseTransformer(max_epochs=2, random_state=0))
    clf.fit(images[y > 0], y[y > 0]).partial_fit(images[y == 0], y[y == 0])
    assert clf.score(images, y) > 0.8
    assert not hasattr(clf, "n_features_in_")


def test_groups_reach_the_sampler():
    grouped = SiameseClassifier(
        siamese(sampler=ClassBalancedSampler(2, n_shot=2, group_share=1.0))
    )
    with pytest.raises(ValueError, match="groups"):
        grouped.fit(X, Y)
    assert grouped.fit(X, Y, groups=Y // 4).score(X, Y) > 0.5


def test_at_the_end_of_a_pipeline():
    pipe = FewShotPipeline(
        [("scaler", StandardScaler()), ("clf", SiameseClassifier(siamese()))]
    )
    pipe.fit(X[Y > 2], Y[Y > 2])
    before = pipe["clf"].siamese_.fit_id_
    pipe.partial_fit(X[Y <= 2], Y[Y <= 2])
    assert pipe["clf"].siamese_.fit_id_ == before
    assert pipe.score(X, Y) > 0.8
    assert pipe.forget(0).score_samples(X).shape == (len(X),)


def test_disjoint_labels_are_warned_of(fitted):
    with pytest.warns(DisjointClassesWarning):
        assert fitted.score(X[Y < 3], Y[Y < 3]) == 0


# --- parameters ----------------------------------------------------------------


def test_no_transformer_is_one_with_defaults():
    clf = SiameseClassifier().set_params(siamese__max_epochs=1, siamese__random_state=0)
    assert clf.siamese.get_params()["max_epochs"] == 1
    assert isinstance(clf.fit(X, Y).siamese_, SiameseTransformer)


def test_koch_end_to_end():
    koch = siamese(
        DenseSigmoidHead(non_negative=False), BinaryCrossEntropyLoss(), max_epochs=60
    )
    clf = SiameseClassifier(koch, aggregation="mean")
    X, y = (np.tile(a, 3) for a in (np.arange(8), np.arange(8)))
    rng = np.random.default_rng(0)
    X = (3 * np.eye(8, 6)[y] + 3 * np.eye(8, 6, -2)[y]).astype(np.float32)
    X += 0.3 * rng.normal(size=X.shape).astype(np.float32)
    assert clf.fit(X, y).score(X, y) > 0.8
    assert clf.siamese_.metric_ is None


def test_a_pickle_holds_the_support_set_once(fitted):
    fitted.set_params(aggregation="max").predict(QUERIES)  # sorts it
    again = pickle.loads(pickle.dumps(fitted))
    assert again._support._examples is None
    np.testing.assert_array_equal(
        again.predict_proba(QUERIES), fitted.predict_proba(QUERIES)
    )


# --- errors: a message to act on, and nothing changes ---------------------------

BAD = X.copy()
BAD[1, 2] = np.nan

WRONG = {
    "nan": (lambda c: c.partial_fit(BAD, Y), ValueError, "NaN"),
    "lengths": (lambda c: c.partial_fit(X, Y[:-1]), ValueError, "inconsistent"),
    "columns": (lambda c: c.partial_fit(X[:, :4], Y), ValueError, "4 features"),
    "images": (lambda c: c.partial_fit(np.ones((2, 8, 8)), [0, 1]), ValueError, "on a"),
    "kind of labels": (lambda c: c.partial_fit(X[:1], ["a"]), TypeError, "kind"),
    "no labels": (lambda c: c.partial_fit(X, None), ValueError, "requires y"),
    "undeclared": (
        lambda c: c.partial_fit(X, Y, classes=[0]), ValueError, "not in classes=",
    ),
    "columns of a query": (lambda c: c.predict(X[:, :4]), ValueError, "4 features"),
    "forget what is not there": (lambda c: c.forget(77), ValueError, "77"),
    "forget all": (lambda c: c.forget(c.classes_), ValueError, "all of the 5"),
    "refit that fails": (
        lambda c: c.set_params(siamese=siamese()).fit(BAD, Y), ValueError, "NaN",
    ),
    "refit of one class": (
        lambda c: c.set_params(siamese=siamese()).fit(X, Y * 0), ValueError,
        "2 of them",
    ),
    "refit without pairs": (
        lambda c: c.set_params(siamese=siamese()).fit(X[:2], [0, 1]), ValueError,
        "second sample",
    ),
    "refit of another kind": (
        lambda c: c.set_params(siamese=StandardScaler()).fit(X, Y), TypeError,
        "must be a SiameseTransformer",
    ),
    "no transformer": (
        lambda c: c.set_params(siamese="net").fit(X, Y), ValueError, "'siamese'",
    ),
    "aggregation": (
        lambda c: c.set_params(aggregation="median").predict(X), ValueError,
        "'aggregation'",
    ),
    "temperature": (
        lambda c: c.set_params(temperature=0).predict_proba(X), ValueError,
        "'temperature'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_and_changes_nothing(fitted, case):
    call, error, match = WRONG[case]
    params, before = fitted.get_params(deep=False), dict(vars(fitted))
    expected = fitted.predict_proba(QUERIES)
    with pytest.raises(error, match=match):
        call(fitted)
    fitted.set_params(**params)
    assert dict(vars(fitted)) == before
    np.testing.assert_array_equal(fitted.predict_proba(QUERIES), expected)


class Cube(nn.Module):
    def forward(self, x):
        return x**3


def test_numbers_that_the_metric_cannot_hold_are_refused():
    clf = SiameseClassifier(siamese(encoder=Cube(), max_epochs=0)).fit(X, Y)
    before = clf._support
    with pytest.raises(ValueError, match="embeddings of some samples are NaN or inf"):
        clf.partial_fit(np.full((1, 6), 1e20), [0])
    assert clf._support is before
    with pytest.raises(ValueError, match="scores of some queries are NaN or infinite"):
        clf.predict(np.full((1, 6), 1e10))


def test_first_fit_that_fails_leaves_it_unfitted():
    clf = SiameseClassifier(siamese())
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(BAD, Y)
    assert set(vars(clf)) == set(SiameseClassifier().get_params(deep=False))


def test_training_on_makes_the_support_set_stale(metrics):
    clf = over(copy.deepcopy(metrics["euclidean"])).fit(X, Y)
    clf.siamese_.partial_fit(X, Y)  # a frozen one trains on where it is asked by name
    for call in (
        clf.predict, clf.predict_proba, clf.score_samples, clf.predict_set,
        lambda X: clf.partial_fit(X, Y), lambda X: clf.calibrate(X, Y),
        lambda X: clf.rejection_threshold(), lambda X: clf.suspicious_support(),
    ):  # fmt: skip
        with pytest.raises(StaleSupportError, match="Enrol the support set again"):
            call(X)
    again = SiameseClassifier(FrozenEstimator(clf.siamese_)).fit(X, Y)
    assert again.score(X, Y) > 0.8


def test_readers_see_one_state_while_classes_come(fitted):
    states = [fitted.predict_proba(QUERIES)]
    growing = copy.deepcopy(fitted)
    for label in (2, 1, 0):
        growing.partial_fit(X[label == Y], Y[label == Y])
        states.append(growing.predict_proba(QUERIES))
    expected = {proba.shape[1]: proba for proba in states}
    torn, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            proba = fitted.predict_proba(QUERIES)
            if not np.allclose(proba, expected[proba.shape[1]], atol=1e-6):
                torn.append(proba)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(15):
            for label in (2, 1, 0):
                fitted.partial_fit(X[label == Y], Y[label == Y])
            fitted.forget([0, 1, 2])
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not torn


# --- judged on classes that it never saw ----------------------------------------


@pytest.fixture(scope="module")
def judged():
    """Ten samples of each of 12 classes."""
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(12), 10)
    X = 2 * rng.normal(size=(12, 6))[y] + rng.normal(size=(120, 6))
    return X.astype(np.float32), y


SCORER = make_episodic_scorer(n_way=4, n_shot=2, n_episodes=30)


def test_episodic_scores_are_those_of_the_pipeline(judged):
    cv = ClassKFold(2)
    alone, behind, joined = (
        cross_val_score(e, *judged, cv=cv, scoring=SCORER, error_score="raise")
        for e in (
            SiameseClassifier(siamese()),
            make_pipeline("passthrough", SiameseClassifier(siamese())),
            make_pipeline(siamese(), PrototypeClassifier()),
        )
    )
    np.testing.assert_allclose(alone, joined, atol=1e-3)
    np.testing.assert_array_equal(alone, behind)


@pytest.mark.filterwarnings("ignore::skfsl.exceptions.SeenSamplesWarning")
def test_grid_search_over_loss_and_aggregation(judged):
    grid = {
        "siamese__loss": ["prototypical", "contrastive"],
        "aggregation": ["mean", "max"],
    }
    search = GridSearchCV(
        SiameseClassifier(siamese()), grid, scoring=SCORER,
        cv=ClassKFold(2), error_score="raise",
    ).fit(*judged)  # fmt: skip
    assert search.best_score_ > 0.6
    assert search.score(*judged) == SCORER(search.best_estimator_, *judged)


@pytest.mark.parametrize(
    "params",
    [
        *({"aggregation": name} for name in AGGREGATIONS),
        {"max_per_class": 1},
        {"max_per_class": 2, "keep": "random", "aggregation": "mean"},
        {"aggregation": "max", "shortlist": 3},
    ],
    ids=str,
)
def test_episodes_are_scored_as_by_a_classifier_of_each(judged, metrics, params):
    X, y = judged
    clf = over(metrics["learned_norms"], **params).fit(X, y)
    embedder, classifier = clf._episode_steps()
    rng = np.random.default_rng(0)
    support = [3, 4, 5, 51, 52, 53, 90, 91, 92]
    support = rng.permuted(np.tile(support, (2, 1)), axis=1)
    query = np.array([[7, 6, 58, 99], [57, 1, 2, 93]])

    class Block:
        pass

    block = Block()
    block.support, block.query = support, query
    ((scores, closeness),) = classifier._score_episodes(
        embedder.transform(X), y, [block]
    )
    assert closeness is None
    for own, asked, given in zip(support, query, scores, strict=True):
        one = clone(clf).fit(X[own], y[own])
        np.testing.assert_allclose(given, one.decision_function(X[asked]), atol=1e-4)
        fitted = clone(classifier).fit(embedder.transform(X[own]), y[own])
        answers = fitted.predict(embedder.transform(X[asked]))
        np.testing.assert_array_equal(answers, one.predict(X[asked]))


def test_seen_samples_are_told(judged):
    X, y = judged
    clf = SiameseClassifier(siamese()).fit(X[y < 6], y[y < 6])
    with pytest.warns(SeenSamplesWarning, match="60 of the 120 samples"):
        SCORER(clf, X, y)
    with pytest.warns(SeenSamplesWarning, match="support examples"):
        estimate_support_score(clf, X, y, n_repeats=1)


def test_a_subclass_that_predicts_otherwise_is_not_judged_by_our_scores(
    judged, metrics
):
    class Cautious(SiameseClassifier):
        def predict(self, X):
            return np.zeros(len(X), dtype=int)

    clf = Cautious(FrozenEstimator(metrics["euclidean"])).fit(X, Y)
    with pytest.raises(TypeError, match="Cautious predicts otherwise"):
        SCORER(clf, *judged)


@pytest.mark.filterwarnings("error::skfsl.exceptions.SeenSamplesWarning")
def test_reports_take_it_and_train_nothing(judged):
    X, y = judged
    clf = SiameseClassifier(siamese(), aggregation="max").fit(X[y < 6], y[y < 6])
    state, X, y = dict(vars(clf)), X[y >= 6], y[y >= 6]
    few_shot_report(clf, X, y, n_way=4, n_shot=1, n_episodes=20)
    both = {"alone": clf, "frozen": FrozenEstimator(clf)}
    compare_few_shot(both, X, y, n_way=4, n_shot=1, n_episodes=20)
    estimate = estimate_support_score(clf, X, y, n_repeats=1, random_state=0)
    nearest = make_pipeline(FrozenEstimator(clf.siamese_), KNeighborsClassifier(1))
    expected = estimate_support_score(nearest, X, y, n_repeats=1, random_state=0)
    assert estimate.accuracy == pytest.approx(expected.accuracy)
    assert dict(vars(clf)) == state
