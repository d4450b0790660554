import pickle
import re
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    roc_auc_score,
)
from sklearn.model_selection import (
    GridSearchCV,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier as SklearnKNN
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseTransformer,
)
from skfsl.exceptions import MetricMismatchWarning, SeenSamplesWarning
from skfsl.model_selection import (
    EpisodicScorer,
    iter_episodes,
)
from skfsl.model_selection._episodes import episode_blocks

pytestmark = pytest.mark.filterwarnings("error")


def _table(n_classes=20, n_samples=12, n_features=6, seed=0):
    rng = np.random.RandomState(seed)
    codes = np.repeat(np.arange(n_classes), n_samples)
    X = rng.randn(n_classes, n_features)[codes] + 0.7 * rng.randn(
        len(codes), n_features
    )
    y = np.array([f"class {c:02}" for c in codes])
    order = rng.permutation(len(y))
    return X[order], y[order]


def _halves(y):
    """Split by class: what the metric learns, what is judged."""
    base = np.isin(y, np.unique(y)[::2])
    return base, ~base


X, Y = _table()
BASE, NEW = _halves(Y)
XB, YB, XN, YN = X[BASE], Y[BASE], X[NEW], Y[NEW]


def _name(value):
    """Name a test's parameter, the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


# What the scorer says, said by slow loops.


def _slow_scores(fitted, queries):
    if hasattr(fitted, "decision_function"):
        scores = fitted.decision_function(queries)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1)
        return scores
    return fitted.predict_proba(queries)


def _slow_familiarity(fitted, queries):
    if hasattr(fitted, "score_samples"):
        return fitted.score_samples(queries)
    if type(fitted) is KNeighborsClassifier:
        return -fitted.kneighbors(queries, n_neighbors=1)[0][:, 0]
    return _slow_scores(fitted, queries).max(axis=1)


def _slow_closeness(fitted, queries):
    """Return what breaks ties: of our neighbours, the distance of the nearest one."""
    if type(fitted) is not KNeighborsClassifier:
        return np.zeros((queries.shape[0], len(fitted.classes_)))
    distances, near = fitted.kneighbors(queries, n_neighbors=fitted.n_samples_fit_)
    classes = fitted._y[near]
    return [
        [-row[own == c].min() for c in range(len(fitted.classes_))]
        for row, own in zip(distances, classes, strict=True)
    ]


def _slow_worth(metric, fitted, queries, y_true, known):
    if metric == "auroc_unknown":
        return roc_auc_score(known, _slow_familiarity(fitted, queries))
    y_pred = fitted.predict(queries)
    if callable(metric):
        return metric(y_true, y_pred)
    if metric == "accuracy":
        return accuracy_score(y_true, y_pred)
    if metric == "balanced_accuracy":
        return balanced_accuracy_score(y_true, y_pred)
    kind, k = metric.split("@")
    worth = []
    closeness = _slow_closeness(fitted, queries)
    for i, scores in enumerate(_slow_scores(fitted, queries)):
        own = fitted.classes_.tolist().index(y_true[i])
        place = 1
        if y_pred[i] != y_true[i]:
            rivals = [c for c in range(len(scores)) if c != own]
            key = [(scores[c], closeness[i][c]) for c in range(len(scores))]
            place = max(2, 1 + sum(key[c] >= key[own] for c in rivals))
        worth.append(0 if place > int(k) else 1 if kind == "top" else 1 / place)
    return np.mean(worth)


def _slow_episodes(scorer, transformers, classifier, X, y, groups=None):
    for step in transformers:
        X = step.transform(X)
    params = scorer.get_params()
    metric = params.pop("metric")
    params.pop("return_stats")
    if metric == "auroc_unknown":
        params["n_unknown"] = params["n_way"] * params["n_query"]
    if not sparse.issparse(X):
        X = np.asarray(X)
    y = np.asarray(y)
    for support, query in iter_episodes(None, y, groups=groups, **params):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes")
            fitted = clone(classifier).fit(X[support], y[support])
        known = np.isin(y[query], y[support])
        yield _slow_worth(metric, fitted, X[query], y[query], known)


def _slow(*args, **kwargs):
    return np.mean(list(_slow_episodes(*args, **kwargs)))


@dataclass
class Case:
    """An estimator that the scorer takes, and what it is made of."""

    name: str
    fitted: object
    transformers: list
    classifier: object

    def __str__(self):
        return self.name


class Stateless(TransformerMixin, BaseEstimator):
    """A user's transformer without anything learned."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.sign(X) * np.sqrt(np.abs(X))


class Teaches(Stateless):
    """Says by which metric its embeddings are to be compared."""

    def __init__(self, learned):
        self.learned = learned

    @property
    def metric_(self):
        return self.learned


def _siamese(**params):
    return SiameseTransformer(max_epochs=1, random_state=0, device="cpu", **params)


def _cases():
    pca, scaler = PCA(4, random_state=0).fit(XB), StandardScaler().fit(XB)
    prototypes = PrototypeClassifier()
    for metric in ("euclidean", "cosine", "manhattan", _chebyshev):
        clf = PrototypeClassifier(metric)
        yield Case(f"prototypes {getattr(metric, '__name__', metric)}", clf, [], clf)
    for params in (
        {"n_neighbors": 1},
        {"n_neighbors": 2, "weights": "distance"},
        {"n_neighbors": 3, "weights": _votes},
        {"n_neighbors": 1, "metric": "cosine"},
        {"n_neighbors": 2, "metric": "manhattan"},
        {"n_neighbors": 2, "p": 3},
    ):
        clf = KNeighborsClassifier(**params)
        yield Case(_name(clf), clf, [], clf)
    for clf in (
        prototypes, KNeighborsClassifier(2), LogisticRegression(), GaussianNB(),
        LinearSVC(), SVC(), SklearnKNN(2), NearestCentroid(),
        LinearDiscriminantAnalysis(), DecisionTreeClassifier(random_state=0),
    ):  # fmt: skip
        pipe = make_pipeline(PCA(4, random_state=0), clf).fit(XB, YB)
        yield Case(f"pca and {_name(clf)}", pipe, [pipe[0]], clf)
    pipe = FewShotPipeline([("pca", PCA(4)), ("clf", prototypes)]).fit(XB, YB)
    yield Case("few-shot pipeline", pipe, [pipe[0]], prototypes)
    yield Case("bare pca", pca, [pca], prototypes)
    yield Case("bare scaler", scaler, [scaler], prototypes)
    siamese = _siamese().fit(XB, YB)
    yield Case("siamese", siamese, [siamese], prototypes)
    cosine = _siamese(head="cosine").fit(XB, YB)
    yield Case("siamese cosine", cosine, [cosine], PrototypeClassifier(cosine.metric_))
    manhattan = Teaches("manhattan")
    yield Case("another metric", manhattan, [manhattan],
               PrototypeClassifier("manhattan"))  # fmt: skip
    yield Case("pipeline of transformers", Pipeline([("a", scaler), ("b", pca)]),
               [scaler, pca], prototypes)  # fmt: skip
    yield Case("passthrough last", Pipeline([("a", manhattan), ("b", "passthrough")]),
               [manhattan], PrototypeClassifier("manhattan"))  # fmt: skip
    yield Case("passthrough first", Pipeline([("a", None), ("b", SklearnKNN(1))]), [],
               SklearnKNN(1))  # fmt: skip
    yield Case("pipeline in a pipeline",
               make_pipeline(scaler, make_pipeline("passthrough", manhattan)),
               [scaler, manhattan], PrototypeClassifier("manhattan"))  # fmt: skip
    nested = make_pipeline(StandardScaler(), make_pipeline(PCA(3), GaussianNB()))
    nested.fit(XB, YB)
    yield Case("classifier in a pipeline in a pipeline", nested,
               [nested[0], nested[1][0]], GaussianNB())  # fmt: skip
    yield Case("frozen", FrozenEstimator(cosine), [cosine],
               PrototypeClassifier(cosine.metric_))  # fmt: skip
    yield Case("frozen in a pipeline",
               make_pipeline(FrozenEstimator(pca), LogisticRegression()), [pca],
               LogisticRegression())  # fmt: skip
    kmeans = KMeans(5, n_init=1, random_state=0).fit(XB)
    yield Case("clusterer last", make_pipeline(scaler, kmeans), [scaler, kmeans],
               prototypes)  # fmt: skip
    lda = LinearDiscriminantAnalysis().fit(XB, YB)
    yield Case("frozen classifier that transforms",
               make_pipeline("passthrough", FrozenEstimator(lda)), [lda],
               prototypes)  # fmt: skip
    search = GridSearchCV(
        make_pipeline(PCA(4), KNeighborsClassifier(1)),
        {"kneighborsclassifier__n_neighbors": [3]}, cv=2,
    ).fit(XB, YB)  # fmt: skip
    yield Case("search", search, [search.best_estimator_[0]], KNeighborsClassifier(3))
    inner = make_pipeline(
        PCA(4), GridSearchCV(SklearnKNN(), {"n_neighbors": [1]}, cv=2)
    ).fit(XB, YB)  # fmt: skip
    yield Case("search last", inner, [inner[0]], inner[-1])


def _chebyshev(a, b):
    return np.abs(a - b).max()


def _votes(distances):
    return 1 / (1 + distances)


CASES = list(_cases())
METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "map@3": "map@3",
    "top@2": "top@2",
    "auroc_unknown": "auroc_unknown",
    "f1": partial(f1_score, average="macro"),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_score_is_that_of_slow_loops(case, metric):
    scorer = EpisodicScorer(4, n_shot=2, n_query=3, n_episodes=3, metric=metric)
    asked = (case.transformers, case.classifier)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All queries of an episode are equally fam")
        score = scorer(case.fitted, XN, YN)
    np.testing.assert_allclose(score, _slow(scorer, *asked, XN, YN), rtol=1e-9)


SOME = ("bare pca", "KNeighborsClassifier(n_neighbors=2, weights='distance')",
        "pca and GaussianNB()")  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if c.name in SOME], ids=_name)
@pytest.mark.parametrize(
    "options",
    [{"n_way": 2}, {"n_way": None}, {"n_way": (2, 6)}, {"n_shot": (1, 5)},
     {"n_shot": "natural"}, {"n_query": "natural"}, {"n_query": None},
     {"imbalance": "dirichlet"}, {"imbalance": "long_tail", "n_query": "natural"},
     {"replace": False, "n_episodes": 3}, {"random_state": 7}],
    ids=_name,
)  # fmt: skip
@pytest.mark.parametrize("metric", ["balanced_accuracy", "map@3"])
def test_every_kind_of_episodes(case, options, metric):
    # Classes of several sizes: queries are as unbalanced.
    gone = np.isin(YN, np.unique(YN)[:4]) & (np.arange(len(YN)) % 2 == 0)
    X, y = XN[~gone], YN[~gone]
    params = {"n_way": 4, "n_shot": 2, "n_query": 2, "n_episodes": 4, **options}
    scorer = EpisodicScorer(**params, metric=metric, small_classes="drop")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Episodes need")
        got = scorer(case.fitted, X, y)
        expected = _slow(scorer, case.transformers, case.classifier, X, y)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "clf",
    [PrototypeClassifier(), KNeighborsClassifier(1), KNeighborsClassifier(metric="l1"),
     LogisticRegression()],
    ids=_name,
)  # fmt: skip
@pytest.mark.parametrize(
    "kind",
    [np.float32, np.float64, lambda X: (10 * X).astype(int), lambda X: X.tolist(),
     lambda X: pd.DataFrame(X, columns=list("fedcba")),
     lambda X: (100 * X).astype(np.int8)],
    ids=["float32", "float64", "int", "list", "frame", "int8"],
)  # fmt: skip
def test_tables_of_every_kind(clf, kind):
    X_new = kind(XN) if isinstance(kind, type) is False else XN.astype(kind)
    pipe = make_pipeline(StandardScaler(), clf).fit(
        kind(XB) if isinstance(kind, type) is False else XB.astype(kind), YB
    )
    scorer = EpisodicScorer(4, n_shot=2, n_query=3, n_episodes=4)
    got = scorer(pipe, X_new, YN)
    np.testing.assert_allclose(got, _slow(scorer, [pipe[0]], clf, X_new, YN), rtol=1e-6)
    bare = Pipeline([("all", "passthrough"), ("clf", clf)])
    np.testing.assert_allclose(
        scorer(bare, X_new, YN), _slow(scorer, [], clf, X_new, YN), rtol=1e-6
    )


@pytest.mark.parametrize(
    "clf", [SklearnKNN(1), KNeighborsClassifier(1), LogisticRegression()], ids=_name
)
def test_sparse_samples(clf):
    dense = np.where(XN > 0, XN, 0)
    scorer = EpisodicScorer(4, n_query=3, n_episodes=4)
    pipe = make_pipeline("passthrough", clf)
    expected = _slow(scorer, [], clf, dense, YN)
    assert scorer(pipe, sparse.csr_matrix(dense), YN) == pytest.approx(expected)
    assert scorer(pipe, sparse.csr_array(dense), YN) == pytest.approx(expected)


@pytest.mark.parametrize(
    "kind", [np.asarray, list, pd.Series, lambda y: np.array([int(v[-2:]) for v in y]),
             lambda y: pd.Series([int(v[-2:]) for v in y], dtype="Int64"),
             lambda y: np.array(list(y), dtype=object)]
)  # fmt: skip
@pytest.mark.parametrize("clf", [PrototypeClassifier(), GaussianNB()], ids=_name)
def test_labels_of_every_kind(kind, clf):
    scorer = EpisodicScorer(4, n_query=3, n_episodes=5, metric=METRICS["f1"])
    pipe = make_pipeline("passthrough", clf)
    assert scorer(pipe, XN, kind(YN)) == scorer(pipe, XN, YN)


def test_frames_out_of_transformers():
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    pipe.set_output(transform="pandas")
    frame = pd.DataFrame(XB, columns=list("abcdef"))
    pipe.fit(frame, YB)
    scorer = EpisodicScorer(4, n_query=3, n_episodes=5)
    new = pd.DataFrame(XN, columns=list("abcdef"), index=np.arange(len(XN)) + 1000)
    expected = _slow(scorer, [pipe[0]], LogisticRegression(), new, YN)
    assert scorer(pipe, new, YN) == pytest.approx(expected)


def test_columns_in_another_order_raise():
    frame = pd.DataFrame(XB, columns=list("abcdef"))
    pipe = make_pipeline(StandardScaler(), PrototypeClassifier()).fit(frame, YB)
    wrong = pd.DataFrame(XN, columns=list("fedcba"))
    with pytest.raises(ValueError, match="feature names should match"):
        EpisodicScorer()(pipe, wrong, YN)


def test_images_into_a_siamese_transformer():
    rng = np.random.RandomState(0)
    y = np.repeat(np.arange(12), 6)
    images = rng.randint(0, 256, (72, 8, 8), dtype=np.uint8)
    base, new = _halves(y)
    siamese = _siamese().fit(images[base], y[base])
    scorer = EpisodicScorer(3, n_query=2, n_episodes=4)
    clf = PrototypeClassifier(siamese.metric_)
    expected = _slow(scorer, [siamese], clf, images[new], y[new])
    assert scorer(siamese, images[new], y[new]) == pytest.approx(expected)
    pipe = make_pipeline(siamese, LogisticRegression())
    expected = _slow(scorer, [siamese], LogisticRegression(), images[new], y[new])
    assert scorer(pipe, images[new], y[new]) == pytest.approx(expected)
    with pytest.warns(SeenSamplesWarning, match="36 of the 72 samples"):
        scorer(siamese, images, y)


@pytest.mark.parametrize("step", [Stateless(), FunctionTransformer(np.tanh)], ids=_name)
def test_transformers_that_learn_nothing(step):
    scorer = EpisodicScorer(4, n_query=3, n_episodes=5)
    expected = _slow(scorer, [step], PrototypeClassifier(), XN, YN)
    assert scorer(step, XN, YN) == scorer(make_pipeline(step), XN, YN) == expected


class Counting(Stateless):
    """Counts what is asked of it, on the class: clones count together."""

    fits = transforms = 0

    def fit(self, X, y=None):
        type(self).fits += 1
        return self

    def transform(self, X):
        type(self).transforms += 1
        return X


@pytest.mark.parametrize(
    "last",
    [PrototypeClassifier(), KNeighborsClassifier(1), GaussianNB(), "passthrough"],
)
@pytest.mark.parametrize("return_stats", [False, True])
def test_a_fold_is_embedded_once_and_nothing_is_fitted_again(last, return_stats):
    pipe = make_pipeline(Counting(), last)
    scorer = EpisodicScorer(n_query=3, n_episodes=20, return_stats=return_stats)
    Counting.fits = Counting.transforms = 0
    scorer(pipe, XN, YN)
    assert (Counting.fits, Counting.transforms) == (0, 1)
    pipe = FewShotPipeline([("step", Counting()), ("clf", PrototypeClassifier())])
    pipe.fit(XB, YB)
    before = pickle.dumps(pipe)
    scorer(pipe, XN, YN)
    assert pickle.dumps(pipe) == before


def test_the_metric_that_comes_out_last_counts():
    scaler, teacher = StandardScaler().fit(XB), Teaches("manhattan")
    scorer = EpisodicScorer(4, n_query=3, n_episodes=40)
    for pipe, metric in (
        (make_pipeline(scaler, teacher), "manhattan"),
        (make_pipeline(scaler, FrozenEstimator(teacher), "passthrough"), "manhattan"),
        (make_pipeline(scaler, make_pipeline(teacher, "passthrough")), "manhattan"),
        (make_pipeline(teacher, scaler), "euclidean"),
        (make_pipeline(teacher, scaler, "passthrough"), "euclidean"),
    ):
        steps = [scaler, teacher] if metric == "manhattan" else [teacher, scaler]
        expected = _slow(scorer, steps, PrototypeClassifier(metric), XN, YN)
        assert scorer(pipe, XN, YN) == pytest.approx(expected)
        for other in {"euclidean", "manhattan"} - {metric}:
            assert expected != _slow(scorer, steps, PrototypeClassifier(other), XN, YN)


def test_a_metric_that_is_no_plain_one_is_warned_of():
    scorer = EpisodicScorer(4, n_query=3, n_episodes=5)
    for metric in (None, "mahalanobis"):
        teacher = Teaches(metric)
        with pytest.warns(
            MetricMismatchWarning, match=rf"metric_={metric!r}"
        ) as caught:
            got = scorer(teacher, XN, YN)
        assert len(caught) == 1
        assert got == _slow(scorer, [teacher], PrototypeClassifier(), XN, YN)
        scorer(make_pipeline(teacher, KNeighborsClassifier(1)), XN, YN)  # has its own


class TestErrors:
    @pytest.mark.parametrize(
        "estimator",
        [LogisticRegression().fit(XB, YB), Ridge().fit(XB, np.arange(len(XB))),
         SklearnKNN().fit(XB, YB), GridSearchCV(GaussianNB(), {}, cv=2).fit(XB, YB),
         make_pipeline(PCA(2), Ridge()), object()],
        ids=["classifier", "regressor", "neighbors", "search", "pipeline", "object"],
    )  # fmt: skip
    def test_what_it_does_not_take(self, estimator):
        with pytest.raises(TypeError, match=r"EpisodicScorer takes .* Got \w+\."):
            EpisodicScorer()(estimator, XN, YN)

    @pytest.mark.parametrize(
        "frozen",
        [PrototypeClassifier().fit(XB, YB), LogisticRegression().fit(XB, YB)],
        ids=_name,
    )
    def test_a_frozen_classifier(self, frozen):
        for estimator in (
            FrozenEstimator(frozen),
            make_pipeline("passthrough", FrozenEstimator(frozen)),
        ):
            with pytest.raises(ValueError, match="cannot be fitted on support sets"):
                EpisodicScorer()(estimator, XN, YN)

    @pytest.mark.parametrize(
        "estimator",
        [make_pipeline(StandardScaler(), PrototypeClassifier()), StandardScaler(),
         _siamese(), make_pipeline(_siamese(), GaussianNB()),
         FrozenEstimator(StandardScaler())],
        ids=["pipeline", "scaler", "siamese", "siamese pipeline", "frozen"],
    )  # fmt: skip
    def test_what_is_not_fitted(self, estimator):
        with pytest.raises(NotFittedError):
            EpisodicScorer()(estimator, XN, YN)

    def test_too_few_classes_have_both_numbers(self):
        with pytest.raises(ValueError, match=r"n_way=11 from y with n_classes=10\."):
            EpisodicScorer(11)(PrototypeClassifier(), XN, YN)

    def test_too_few_samples_have_both_numbers(self):
        with pytest.raises(ValueError, match=r"need 13 samples .*class 01 \(12\)"):
            EpisodicScorer(n_shot=10, n_query=3)(PrototypeClassifier(), XN, YN)

    def test_all_classes_leave_none_unknown(self):
        scorer = EpisodicScorer(10, metric="auroc_unknown")
        with pytest.raises(
            ValueError, match=r"with 10 classes in it, as few as 0 samp"
        ):
            scorer(PrototypeClassifier(), XN, YN)

    @pytest.mark.parametrize("metric", ["map@3", "top@2", "auroc_unknown"])
    def test_a_classifier_without_scores(self, metric):
        class Predicts(ClassifierMixin, BaseEstimator):
            def fit(self, X, y):
                self.inner_ = LinearSVC().fit(X, y)
                return self

            def predict(self, X):
                return self.inner_.predict(X)

        pipe = make_pipeline("passthrough", Predicts())
        with pytest.raises(
            TypeError, match="Predicts needs predict_proba or decision_"
        ):
            EpisodicScorer(metric=metric)(pipe, XN, YN)
        assert EpisodicScorer(n_episodes=2)(pipe, XN, YN) > 0.2

    @pytest.mark.parametrize(("n_way", "n_pairs"), [(5, 10), (3, 3)])
    def test_scores_of_pairs_of_classes(self, n_way, n_pairs):
        pipe = make_pipeline("passthrough", SVC(decision_function_shape="ovo"))
        said = rf"SVC gave {n_pairs} columns for {n_way} classes: set"
        with pytest.raises(TypeError, match=said):
            EpisodicScorer(n_way, metric="map@3")(pipe, XN, YN)
        stats = EpisodicScorer(n_way, n_episodes=5, return_stats=True)(pipe, XN, YN)
        assert np.isnan(stats["classes_low"])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize(
        "last", ["passthrough", PrototypeClassifier(), KNeighborsClassifier(1),
                 LogisticRegression()]
    )  # fmt: skip
    def test_embeddings_that_are_no_numbers(self, last, bad):
        def spoil(X):
            return np.where(np.arange(len(X))[:, np.newaxis] == 3, bad, X)

        pipe = make_pipeline(FunctionTransformer(spoil), last)
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            EpisodicScorer()(pipe, XN, YN)

    def test_y_is_needed(self):
        with pytest.raises(ValueError, match="requires y to be passed"):
            EpisodicScorer()(PrototypeClassifier(), XN)

    def test_X_and_y_of_other_lengths(self):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            EpisodicScorer()(PrototypeClassifier(), XN, YN[:-1])

    @pytest.mark.parametrize(
        "bad",
        [{"n_way": 1}, {"n_shot": 0}, {"n_query": "all"}, {"n_episodes": 0},
         {"metric": 3}, {"imbalance": "zipf"}, {"replace": 2}, {"small_classes": None},
         {"return_stats": "yes"}, {"random_state": None}, {"random_state": -1},
         {"random_state": np.random.RandomState(0)}],
        ids=_name,
    )  # fmt: skip
    def test_bad_parameters(self, bad):
        said = f"'{next(iter(bad))}' parameter of EpisodicScorer must be"
        scorer = EpisodicScorer(**bad)
        with pytest.raises(ValueError, match=said):
            scorer(PrototypeClassifier(), XN, YN)

    @pytest.mark.parametrize(
        "metric", ["f1", "map@0", "map@", "map@-1", "top@2.5", "map"]
    )
    def test_unknown_metrics(self, metric):
        with pytest.raises(ValueError, match=f"'map@k' or .* Got '{metric}'"):
            EpisodicScorer(metric=metric)(PrototypeClassifier(), XN, YN)

    def test_no_end_of_episodes(self):
        with pytest.raises(ValueError, match="n_episodes=None asks for as many"):
            EpisodicScorer(n_episodes=None)(PrototypeClassifier(), XN, YN)
        scorer = EpisodicScorer(n_query=3, n_episodes=None, replace=False)
        # 10 classes of 12 samples, four samples each time
        assert len(scorer._play(PrototypeClassifier(), XN, YN).worth) == 6

    def test_predictions_of_foreign_labels_into_a_callable(self):
        class Foreign(GaussianNB):
            def predict(self, X):
                return np.full(len(X), "something else")

        pipe = make_pipeline("passthrough", Foreign())
        assert EpisodicScorer(n_episodes=2)(pipe, XN, YN) == 0
        with pytest.raises(ValueError, match="not in its support set"):
            EpisodicScorer(metric=METRICS["f1"])(pipe, XN, YN)


class TestHooks:
    """Many episodes at once are what `fit` and `predict` say of each."""

    @staticmethod
    def _both(clf, X, y, rtol=1e-9, **options):
        class Plain(type(clf)):
            """Overrides `predict`: it has no part in the hook."""

            def predict(self, X):
                return super().predict(X)

        params = {"n_way": 4, "n_shot": 2, "n_query": 3, "n_episodes": 4, **options}
        plain = make_pipeline("passthrough", Plain(**clf.get_params(deep=False)))
        metrics = ["accuracy", "balanced_accuracy"]
        if isinstance(clf, PrototypeClassifier):
            metrics += ["map@3", "top@2"]  # votes are tied, and told apart by the hook
        for metric in metrics:
            scorer = EpisodicScorer(**params, metric=metric)
            np.testing.assert_allclose(
                scorer(clf, X, y), scorer(plain, X, y), rtol=rtol, err_msg=metric
            )

    @staticmethod
    def _close(clf, X, y, tol, **options):
        """Compare scores and familiarity, episode by episode."""
        params = {"n_way": 4, "n_shot": 2, "n_query": 3, "n_episodes": 8, **options}
        codes = np.unique(y, return_inverse=True)[1]

        def blocks():
            return episode_blocks(np.unique(y), codes, random_state=0, **params)

        answers = clf._score_episodes(X, codes, blocks())
        n_met = 0
        for block, (scores, closeness) in zip(blocks(), answers, strict=True):
            familiarity = (scores if closeness is None else closeness).max(axis=2)
            for i, (support, query) in enumerate(zip(block.support, block.query,
                                                     strict=True)):  # fmt: skip
                fitted = clone(clf).fit(X[support], codes[support])
                if isinstance(clf, KNeighborsClassifier):
                    expected = fitted.predict_proba(X[query])
                    familiar = -fitted.kneighbors(X[query], n_neighbors=1)[0][:, 0]
                else:
                    expected = _slow_raw(fitted, X[query])
                    familiar = expected.max(axis=1)
                scale = max(1, np.abs(expected).max())
                np.testing.assert_allclose(scores[i], expected, rtol=tol,
                                           atol=tol * scale)  # fmt: skip
                np.testing.assert_allclose(familiarity[i], familiar, rtol=tol,
                                           atol=10 * tol * scale)  # fmt: skip
                n_met += 1
        assert n_met == params["n_episodes"]

    CLASSIFIERS = (
        PrototypeClassifier(), PrototypeClassifier("cosine"),
        PrototypeClassifier("manhattan"), PrototypeClassifier(_chebyshev),
        KNeighborsClassifier(1), KNeighborsClassifier(3),
        KNeighborsClassifier(4, weights="distance"),
        KNeighborsClassifier(3, weights=_votes),
        KNeighborsClassifier(3, metric="cosine", weights="distance"),
        KNeighborsClassifier(3, metric="cosine"), KNeighborsClassifier(3, metric="l2"),
        KNeighborsClassifier(3, metric="manhattan"), KNeighborsClassifier(3, p=1),
        KNeighborsClassifier(
            3, metric="seuclidean", metric_params={"V": np.arange(1.0, 7)}
        ),
        PrototypeClassifier(max_per_class=1), KNeighborsClassifier(2, max_per_class=1),
        KNeighborsClassifier(2, algorithm="kd_tree"),
    )  # fmt: skip

    @pytest.mark.parametrize("clf", CLASSIFIERS, ids=_name)
    @pytest.mark.parametrize(("dtype", "tol"), [(np.float64, 1e-9), (np.float32, 1e-5)])
    @pytest.mark.filterwarnings("ignore:n_neighbors=. is all of the")
    def test_scores_are_those_of_fit_and_predict(self, clf, dtype, tol):
        X = XN.astype(dtype)
        self._close(clf, X, YN, tol)
        self._close(clf, X, YN, tol, n_way=2, n_shot=(1, 3), n_query=5)
        self._close(clf, X, YN, tol, imbalance="long_tail", n_shot=4, n_query=2)
        self._both(clf, X, YN)

    @pytest.mark.parametrize(
        "clf",
        [
            PrototypeClassifier(), PrototypeClassifier(covariance="shared"),
            KNeighborsClassifier(3), KNeighborsClassifier(3, metric="manhattan"),
        ],
        ids=_name,
    )  # fmt: skip
    def test_an_unknown_label_is_not_one_of_the_codes(self, clf):
        scorer = EpisodicScorer(4, n_query=3, n_episodes=4, random_state=0)
        names = YN.astype(str)
        expected = scorer(clf, XN, names)
        assert scorer(clone(clf).set_params(unknown_label="?"), XN, names) == expected

    @pytest.mark.parametrize("clf", CLASSIFIERS[:10], ids=_name)
    def test_far_from_the_origin(self, clf):
        cosine = clf.metric == "cosine"  # of nearly the same direction
        self._close(clf, XN + 1e4, YN, 1e-2 if cosine else 1e-6)

    def test_float32_far_from_the_origin_is_exact_to_what_it_can_hold(self):
        X = (XN + 1e4).astype(np.float32)
        self._close(PrototypeClassifier(), X, YN, 1e-5)
        self._both(PrototypeClassifier(), X, YN)

    @pytest.mark.parametrize("clf", CLASSIFIERS[:10], ids=_name)
    def test_duplicates_and_constant_features(self, clf):
        X = np.c_[XN, np.full(len(XN), 3.0), np.zeros(len(XN))]
        for label in np.unique(YN):
            own = np.flatnonzero(YN == label)
            X[own[::2]] = X[own[0]]
        self._close(clf, X, YN, 1e-7, n_shot=3)

    def test_samples_that_are_all_the_same(self):
        X = np.full((len(XN), 2), 0.1)
        scorer = EpisodicScorer(4, n_query=3, n_episodes=9)
        assert scorer(PrototypeClassifier(), X, YN) == 0.25
        with warnings.catch_warnings(record=True):
            assert scorer(KNeighborsClassifier(1), X, YN) == 0.25

    @pytest.mark.parametrize("weights", ["uniform", "distance"])
    def test_samples_of_no_direction(self, weights):
        X = XN.copy()
        X[::4] = 0
        clf = KNeighborsClassifier(2, metric="cosine", weights=weights)
        codes = np.unique(YN, return_inverse=True)[1]
        blocks = list(
            episode_blocks(np.unique(YN), codes, n_way=4, n_shot=2, n_query=3,
                           n_episodes=20, random_state=0)
        )  # fmt: skip
        for block, (_, closeness) in zip(
            blocks, clf._score_episodes(X, codes, blocks), strict=True
        ):
            for i, (support, query) in enumerate(block.episodes()):
                fitted = clone(clf).fit(X[support], codes[support])
                nearest = fitted.kneighbors(X[query], n_neighbors=1)[0][:, 0]
                np.testing.assert_allclose(
                    -closeness[i].max(axis=1), nearest, atol=1e-12
                )

    @pytest.mark.parametrize("scale", [1e20, 1e-20])
    def test_float32_squares_beyond_float32(self, scale):
        X = (XN * scale).astype(np.float32)
        if scale > 1:
            self._both(KNeighborsClassifier(1), X, YN)
        for clf in (
            KNeighborsClassifier(1, metric="cosine"),
            PrototypeClassifier("cosine"),
        ):
            self._both(clf, X, YN)

    def test_overflow_raises_as_predict_does(self):
        X = (XN * 1e20).astype(np.float32)
        clf = PrototypeClassifier().fit(X, YN)
        with pytest.raises(ValueError, match="overflow float32") as theirs:
            clf.predict(X)
        with pytest.raises(ValueError, match="overflow float32") as ours:
            EpisodicScorer()(clf, X, YN)
        assert str(ours.value) == str(theirs.value)

    def test_a_metric_that_is_no_number_raises_as_predict_does(self):
        with pytest.raises(ValueError, match="metric returned NaN or infinity"):
            EpisodicScorer()(PrototypeClassifier(lambda a, b: np.nan), XN, YN)

    def test_parameters_are_checked(self):
        with pytest.raises(
            ValueError, match="'metric' parameter of PrototypeClassifier"
        ):
            EpisodicScorer()(PrototypeClassifier("hamming"), XN, YN)
        with pytest.raises(ValueError, match="'n_neighbors' parameter of KNeighborsC"):
            EpisodicScorer()(KNeighborsClassifier(0), XN, YN)

    def test_all_neighbors_are_warned_of_once(self):
        scorer = EpisodicScorer(5, n_query=3, n_episodes=300)
        with pytest.warns(UserWarning, match="n_neighbors=5 is all of the 5") as caught:
            assert scorer(KNeighborsClassifier(5), XN, YN) == pytest.approx(0.2)
        assert len(caught) == 1
        scorer(KNeighborsClassifier(5, weights="distance"), XN, YN)
        scorer(KNeighborsClassifier(4), XN, YN)

    def test_the_classifier_is_left_alone(self):
        for clf in (PrototypeClassifier(), KNeighborsClassifier(1)):
            EpisodicScorer(n_episodes=2)(clf, XN, YN)
            assert not hasattr(clf, "classes_")
            clf.fit(XB, YB)
            before = pickle.dumps(clf)
            EpisodicScorer(n_episodes=2)(clf, XN, YN)
            assert pickle.dumps(clf) == before

    @pytest.mark.parametrize("base", [PrototypeClassifier, KNeighborsClassifier])
    def test_a_subclass_that_predicts_otherwise_is_asked_itself(self, base):
        class First(base):
            def predict(self, X):
                return np.full(len(X), self.classes_[0])

        scorer = EpisodicScorer(5, n_query=3, n_episodes=10)
        for estimator in (First(), make_pipeline("passthrough", First())):
            if isinstance(estimator, Pipeline):
                assert scorer(estimator, XN, YN) == pytest.approx(0.2)
        stats = scorer.set_params(return_stats=True)(
            make_pipeline("passthrough", First()), XN, YN
        )
        assert stats["score"] == pytest.approx(0.2)

    def test_ranks_do_not_depend_on_probabilities_that_are_rounded_to_zero(self):
        self._both(PrototypeClassifier(), XN * 40, YN, n_way=8)
        self._both(PrototypeClassifier(temperature=1e-3), XN, YN, n_way=8)


def _slow_raw(fitted, queries):
    """Return scores of prototypes, one a class, from their definition."""
    scores = np.empty((len(queries), len(fitted.classes_)))
    for j, prototype in enumerate(fitted.prototypes_):
        delta = queries.astype(np.float64) - prototype
        if fitted.metric == "euclidean":
            scores[:, j] = -(delta**2).sum(axis=1)
        elif fitted.metric == "manhattan":
            scores[:, j] = -np.abs(delta).sum(axis=1)
        elif fitted.metric == "cosine":
            norms = np.linalg.norm(queries.astype(float), axis=1)
            scores[:, j] = queries @ prototype / norms / np.linalg.norm(prototype)
        else:
            scores[:, j] = [-fitted.metric(q, prototype) for q in queries]
    return scores


@pytest.mark.parametrize("metric", ["accuracy", "auroc_unknown"])
def test_the_same_rule_by_other_scores_has_the_same_interval(metric):
    """At one shot the nearest neighbour is the nearest prototype."""
    X, y = load_digits(return_X_y=True)
    X = X + np.random.RandomState(0).uniform(size=X.shape)  # no two are equally near
    rules = (
        PrototypeClassifier(),
        KNeighborsClassifier(1),
        KNeighborsClassifier(
            1, metric="minkowski", p=2, metric_params={"w": np.ones(64)}
        ),
    )
    scorer = EpisodicScorer(n_way=5, n_episodes=60, metric=metric, return_stats=True)
    first, *others = [scorer(rule, X, y) for rule in rules]
    for other in others:
        assert other == pytest.approx(first, rel=1e-9)


def test_answers_without_scores_still_have_a_mean():
    """At one shot NearestCentroid has no spread, and its decisions are NaN."""
    X, y = load_digits(return_X_y=True)
    pipe = make_pipeline("passthrough", NearestCentroid())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        params = {"n_way": 3, "n_episodes": 20}
        stats = EpisodicScorer(**params, return_stats=True)(pipe, X, y)
        assert stats["score"] == EpisodicScorer(**params)(pipe, X, y) > 0.5


def test_constant_scores_are_not_flattered():
    """The true class comes last among its equals, unless it is what is answered."""
    X, y = np.zeros((60, 2)), np.repeat(np.arange(6), 10)
    pipe = make_pipeline("passthrough", DummyClassifier(strategy="uniform"))
    scorer = partial(EpisodicScorer, n_way=5, n_query=4, n_episodes=400)
    accuracy = scorer()(pipe, X, y)
    assert scorer(metric="top@4")(pipe, X, y) == pytest.approx(accuracy, abs=0.02)
    expected = accuracy + (1 - accuracy) / 5
    assert scorer(metric="map@5")(pipe, X, y) == pytest.approx(expected, abs=0.02)


def test_scores_that_rank_no_second_class_give_no_interval_over_classes():
    X, y = load_digits(return_X_y=True)
    pipe = make_pipeline("passthrough", SklearnKNN(1))
    stats = EpisodicScorer(n_episodes=20, return_stats=True)(pipe, X, y)
    assert stats["score"] > 0.5
    assert np.isnan([stats["classes_low"], stats["classes_high"]]).all()


def test_familiarity_that_is_constant_is_told():
    X, y = load_digits(return_X_y=True)
    pipe = make_pipeline("passthrough", SklearnKNN(1))
    with pytest.warns(UserWarning, match="equally familiar"):
        score = EpisodicScorer(n_episodes=2, metric="auroc_unknown")(pipe, X, y)
    assert score == 0.5
