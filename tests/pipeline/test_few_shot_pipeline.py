"""FewShotPipeline: fitted steps only transform, the last one learns."""

import pickle
import threading
import uuid
import warnings

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    make_few_shot_pipeline,
)
from skfsl.exceptions import MetricMismatchWarning, StaleSupportError


class Metric(TransformerMixin, BaseEstimator):
    """Stands for a learned metric: scales, and has `metric_` and `fit_id_`."""

    def __init__(self, metric="euclidean"):
        self.metric = metric

    def fit(self, X, y=None):
        self.scale_ = np.std(X, axis=0) + 1e-9
        self.fit_id_ = uuid.uuid4().hex
        self.metric_ = self.metric
        return self

    partial_fit = fit

    def transform(self, X):
        check_is_fitted(self)
        return np.asarray(X) / self.scale_


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 8)
    X = rng.normal(size=(6, 5))[y] * 4 + rng.normal(size=(48, 5)) * 0.3
    return X, y


def _base_and_novel(data):
    X, y = data
    base = y < 4
    return X[base], y[base], X[~base], y[~base]


def _make(last=None, metric="euclidean"):
    return FewShotPipeline(
        [("metric", Metric(metric)), ("clf", last or PrototypeClassifier())]
    )


def test_partial_fit_adds_classes_and_leaves_the_transformers_alone(data):
    X, y, X_new, y_new = _base_and_novel(data)
    pipe = make_few_shot_pipeline(StandardScaler(), PrototypeClassifier()).fit(X, y)
    mean = pipe[0].mean_.copy()
    assert pipe.partial_fit(X_new, y_new) is pipe
    np.testing.assert_array_equal(pipe[0].mean_, mean)
    np.testing.assert_array_equal(pipe.classes_, np.arange(6))
    assert pipe.score(*data) == 1.0


def test_partial_fit_equals_fitting_the_last_step_on_all_embeddings(data):
    X, y, X_new, y_new = _base_and_novel(data)
    pipe = _make().fit(X, y).partial_fit(X_new, y_new)
    whole = PrototypeClassifier().fit(pipe[:-1].transform(data[0]), data[1])
    np.testing.assert_allclose(
        pipe.predict_proba(data[0]),
        whole.predict_proba(pipe[:-1].transform(data[0])),
        atol=1e-6,
    )


def test_partial_fit_unfitted_is_fit(data):
    a, b = _make().partial_fit(*data), _make().fit(*data)
    np.testing.assert_array_equal(a.predict_proba(data[0]), b.predict_proba(data[0]))


def test_partial_fit_keeps_a_metric_that_is_fitted_already(data):
    X, _, X_new, y_new = _base_and_novel(data)
    metric = Metric().fit(X)
    fit_id = metric.fit_id_
    pipe = make_few_shot_pipeline(metric, PrototypeClassifier())
    pipe.partial_fit(X_new, y_new)
    assert metric.fit_id_ == fit_id
    np.testing.assert_array_equal(pipe.classes_, [4, 5])


def test_partial_fit_is_missing_where_the_last_step_does_not_learn(data):
    pipe = make_few_shot_pipeline(StandardScaler(), LogisticRegression())
    assert not hasattr(pipe, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
        pipe.partial_fit(*data)


@pytest.mark.parametrize("last", ["passthrough", None])
def test_partial_fit_is_missing_where_there_is_no_last_step(last):
    assert not hasattr(FewShotPipeline([("a", PCA()), ("b", last)]), "partial_fit")


def test_frozen_last_step_predicts_and_does_not_learn(data):
    X, y, *_ = _base_and_novel(data)
    clf = FrozenEstimator(PrototypeClassifier().fit(X, y))
    pipe = make_few_shot_pipeline(FunctionTransformer(), clf)
    assert not hasattr(pipe, "partial_fit")
    pipe.fit(*data)
    np.testing.assert_array_equal(pipe.classes_, np.arange(4))
    assert pipe.score(X, y) == 1.0


def test_frozen_transformer_is_kept_by_fit(data):
    metric = Metric().fit(data[0])
    pipe = make_few_shot_pipeline(FrozenEstimator(metric), PrototypeClassifier())
    before = metric.fit_id_
    pipe.fit(*data).fit(*data)
    assert metric.fit_id_ == before
    pipe.partial_fit(data[0] + 50, data[1] + 50)
    assert pipe.score(data[0] + 50, data[1] + 50) == 1.0


def test_passthrough_steps_are_passed_through(data):
    pipe = FewShotPipeline(
        [("a", "passthrough"), ("b", StandardScaler()), ("c", PrototypeClassifier())]
    ).fit(*data)
    pipe.set_params(b="passthrough").fit(*data).partial_fit(data[0] + 50, data[1] + 9)
    assert pipe.score(data[0] + 50, data[1] + 9) == 1.0


def test_learners_that_need_classes_get_them(data):
    X, y = data
    pipe = make_few_shot_pipeline(StandardScaler().fit(X), GaussianNB())
    pipe.partial_fit(X[y < 3], y[y < 3], classes=np.arange(6))
    pipe.partial_fit(X[y >= 3], y[y >= 3], classes=np.arange(6))
    assert pipe.score(X, y) == 1.0


def test_learners_that_take_no_classes_do_without(data):
    class Mean(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def partial_fit(self, X, y):
            return self.fit(X, y)

    pipe = make_few_shot_pipeline(StandardScaler(), Mean()).fit(*data)
    pipe.partial_fit(*data, classes=np.arange(9))
    np.testing.assert_array_equal(pipe.classes_, np.arange(6))


def test_undeclared_labels_are_refused(data):
    pipe = _make().fit(*data)
    with pytest.raises(ValueError, match=r"not among classes: \[5\]"):
        pipe.partial_fit(*data, classes=[0, 1, 2, 3, 4])


@pytest.mark.parametrize("method", ["predict", "score_samples", "kneighbors"])
def test_unfitted_use_raises(method, data):
    pipe = _make(KNeighborsClassifier() if method == "kneighbors" else None)
    if not hasattr(pipe, method):
        pytest.skip(f"the classifier has no {method}")
    with pytest.raises(NotFittedError):
        getattr(pipe, method)(data[0])


# --- parameters and metadata -------------------------------------------------


class Weighted(PrototypeClassifier):
    """Remembers the weights that it got."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight=sample_weight)
        self.weights_ = [sample_weight]
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        super().partial_fit(X, y, sample_weight=sample_weight)
        self.weights_ = [*getattr(self, "weights_", []), sample_weight]
        return self


def test_sample_weight_by_prefix(data):
    w = np.arange(1.0, 49.0)
    pipe = _make(Weighted()).fit(*data, clf__sample_weight=w)
    pipe.partial_fit(*data, clf__sample_weight=2 * w)
    np.testing.assert_array_equal(pipe["clf"].weights_, [w, 2 * w])


@pytest.mark.parametrize("name", ["sample_weight", "metric__sample_weight"])
def test_parameters_for_no_learning_step_are_refused(name, data):
    pipe = _make().fit(*data)
    with pytest.raises(ValueError, match=rf"does not accept \['{name}'\].*clf__"):
        pipe.partial_fit(*data, **{name: np.ones(48)})


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_sample_weight_by_request(data):
    clf = Weighted().set_fit_request(sample_weight=True)
    clf.set_partial_fit_request(sample_weight="w")
    w = np.arange(1.0, 49.0)
    pipe = _make(clf).fit(*data, sample_weight=w).partial_fit(*data, w=2 * w)
    np.testing.assert_array_equal(pipe["clf"].weights_, [w, 2 * w])


@pytest.mark.usefixtures("routing")
def test_metadata_without_request_is_refused(data):
    pipe = _make(Weighted())
    with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set"):
        pipe.fit(*data, sample_weight=np.ones(48))
    pipe.fit(*data)
    with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set"):
        pipe.partial_fit(*data, sample_weight=np.ones(48))


@pytest.mark.usefixtures("routing")
def test_transformers_get_the_metadata_they_requested(data):
    class Shift(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            self.fitted_ = True
            return self

        def transform(self, X, shift=0):
            return X + shift

    step = Shift().set_transform_request(shift=True)
    pipe = FewShotPipeline([("shift", step), ("clf", PrototypeClassifier())])
    pipe.fit(*data).partial_fit(data[0], data[1] + 9, shift=100)
    np.testing.assert_array_equal(pipe.predict(data[0] + 100), data[1] + 9)


@pytest.mark.usefixtures("routing")
def test_metadata_named_in_transform_input_is_transformed(data):
    class Peek(PrototypeClassifier):
        def fit(self, X, y, X_val=None):
            super().fit(X, y)
            self.seen_ = X_val
            return self

        def partial_fit(self, X, y, classes=None, X_val=None):
            super().partial_fit(X, y)
            self.seen_ = X_val
            return self

    clf = Peek().set_fit_request(X_val=True).set_partial_fit_request(X_val=True)
    pipe = FewShotPipeline(
        [("metric", Metric()), ("clf", clf)], transform_input=["X_val"]
    )
    pipe.fit(*data, X_val=data[0])
    expected = pipe["clf"].seen_
    pipe.partial_fit(*data, X_val=data[0])
    np.testing.assert_array_equal(pipe["clf"].seen_, expected)
    np.testing.assert_array_equal(expected, pipe["metric"].transform(data[0]))


@pytest.mark.usefixtures("routing")
def test_routing_knows_partial_fit():
    routing = _make(GaussianNB().set_partial_fit_request(sample_weight=True))
    router = routing.get_metadata_routing()
    assert router.consumes("partial_fit", ["sample_weight"]) == {"sample_weight"}
    assert "classes" not in router.consumes("partial_fit", ["classes"])
    assert not hasattr(FewShotPipeline, "set_partial_fit_request")


# --- what is handed down to the last step ------------------------------------


def test_kneighbors_are_of_the_embeddings(data):
    pipe = _make(KNeighborsClassifier(n_neighbors=3)).fit(*data)
    Xt = pipe[:-1].transform(data[0])
    for X, of in ((data[0], Xt), (None, None)):
        got, want = pipe.kneighbors(X), pipe["clf"].kneighbors(of)
        np.testing.assert_array_equal(got, want)
    indices = pipe.kneighbors(data[0], n_neighbors=1, return_distance=False)
    np.testing.assert_array_equal(indices.ravel(), np.arange(48))


def test_forget_takes_classes_out(data):
    pipe = _make().fit(*data)
    assert pipe.forget([0, 3]) is pipe
    np.testing.assert_array_equal(pipe.classes_, [1, 2, 4, 5])
    assert set(pipe.predict(data[0])) <= {1, 2, 4, 5}


def test_score_samples_and_support_are_the_last_steps(data):
    class Known(PrototypeClassifier):
        support_ = "the support set"

        def score_samples(self, X):
            return np.asarray(X)[:, 0]

    pipe = _make(Known()).fit(*data)
    assert pipe.support_ == "the support set"
    expected = pipe["metric"].transform(data[0])[:, 0]
    np.testing.assert_array_equal(pipe.score_samples(data[0]), expected)


@pytest.mark.parametrize(
    "name", ["kneighbors", "score_samples", "forget", "support_", "partial_fit"]
)
def test_only_what_the_last_step_has_is_there(name):
    assert not hasattr(make_few_shot_pipeline(PCA(), LogisticRegression()), name)


# --- the metric and the support set ------------------------------------------


def test_support_set_behind_a_changed_metric_is_refused(data):
    pipe = _make(KNeighborsClassifier()).fit(*data)
    pipe["metric"].partial_fit(data[0] * 2)
    for act in (
        lambda: pipe.predict(data[0]),
        lambda: pipe.predict_proba(data[0]),
        lambda: pipe.score(*data),
        lambda: pipe.kneighbors(data[0]),
        lambda: pipe.partial_fit(*data),
    ):
        with pytest.raises(StaleSupportError, match="metric of step 'metric' has"):
            act()


def test_what_judges_a_support_set_behind_a_changed_metric_is_refused(data):
    pipe = _make().fit(*data)
    pipe["metric"].partial_fit(data[0] * 2)
    for act in (
        lambda: pipe.score_samples(data[0]),
        lambda: pipe.rejection_threshold(),
        lambda: pipe.calibrate(*data),
        lambda: pipe.predict_set(data[0], alpha=0.5),
        lambda: pipe.suspicious_support(),
    ):
        with pytest.raises(StaleSupportError, match="metric of step 'metric' has"):
            act()


def test_stale_support_set_can_be_enrolled_again(data):
    pipe = _make().fit(*data)
    pipe["metric"].fit(data[0] * 2)
    kept = pipe["metric"].fit_id_
    pipe.set_params(clf=clone(pipe["clf"])).partial_fit(*data)
    assert pipe.score(*data) == 1.0
    assert pipe["metric"].fit_id_ == kept
    pipe["metric"].fit(data[0])
    assert pipe.fit(*data).score(*data) == 1.0


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda m: Pipeline([("m", m)])])
def test_changed_metric_is_noticed_inside(wrap, data):
    metric = Metric().fit(data[0])
    pipe = make_few_shot_pipeline(wrap(metric), PrototypeClassifier()).fit(*data)
    metric.fit(data[0])
    with pytest.raises(StaleSupportError):
        pipe.predict(data[0])


def test_support_set_is_stale_after_a_fit_that_failed_behind_the_metric(data):
    pipe = _make().fit(*data)
    with pytest.raises(ValueError, match=r"continuous|labels|numeric"):
        pipe.fit(data[0], np.linspace(0, 1, 48))
    with pytest.raises(StaleSupportError):
        pipe.predict(data[0])


def _knn(**params):
    return KNeighborsClassifier(**params)


@pytest.mark.parametrize(
    ("learned", "last"),
    [
        ("euclidean", PrototypeClassifier()),
        ("euclidean", _knn()),
        ("euclidean", _knn(metric="l2")),
        ("manhattan", _knn(p=1)),
        ("manhattan", _knn(metric="cityblock")),
        ("manhattan", PrototypeClassifier(metric="manhattan")),
        ("euclidean", _knn(metric=lambda a, b: np.abs(a - b).max())),
        ("manhattan", SVC()),
        ("euclidean", GaussianNB()),
        (None, GaussianNB()),
    ],
    ids=lambda value: str(value).partition("<")[0],  # no addresses: workers compare
)
def test_fitting_metric_does_not_warn(learned, last, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MetricMismatchWarning)
        _make(last, learned).fit(*data)


@pytest.mark.parametrize(
    ("learned", "last", "match"),
    [
        ("manhattan", PrototypeClassifier(), "Set metric='manhattan'"),
        ("manhattan", _knn(), "with metric='euclidean', but step 'metric'"),
        ("euclidean", _knn(p=1), "with metric='manhattan'"),
        ("euclidean", _knn(p=3), "with metric='minkowski'"),
        ("euclidean", PrototypeClassifier(metric="cosine"), "metric='cosine'"),
        (None, _knn(), r"no plain metric.*\.similarity\("),
    ],
    ids=str,
)
def test_another_metric_than_the_learned_one_warns(learned, last, match, data):
    with pytest.warns(MetricMismatchWarning, match=match) as record:
        _make(last, learned).fit(*data)
    assert record[0].filename == __file__
    metric = Metric(learned).fit(data[0])
    with pytest.warns(MetricMismatchWarning, match=match):
        FewShotPipeline([("metric", metric), ("c", clone(last))]).partial_fit(*data)


def test_cosine_head_may_be_read_by_cosine(data):
    class Cosine(Metric):
        class head_:
            score_type = "cosine"

    pipe = make_few_shot_pipeline(Cosine(), PrototypeClassifier(metric="cosine"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", MetricMismatchWarning)
        pipe.fit(*data)


def test_metric_before_another_transformer_is_not_judged(data):
    pipe = make_few_shot_pipeline(Metric("manhattan"), PCA(2), PrototypeClassifier())
    with warnings.catch_warnings():
        warnings.simplefilter("error", MetricMismatchWarning)
        pipe.fit(*data)


# --- it either happens or it does not ----------------------------------------


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.ones((2, 4)), [9, 9]),
        (np.full((2, 5), np.nan), [9, 9]),
        (np.ones((2, 5)), [9]),
        (np.ones((2, 5)), ["a", "b"]),
    ],
    ids=["features", "nan", "length", "labels"],
)
def test_failed_partial_fit_changes_nothing(X, y, data):
    pipe = make_few_shot_pipeline(StandardScaler(), PrototypeClassifier()).fit(*data)
    before = pipe.predict_proba(data[0])
    with pytest.raises((ValueError, TypeError)):
        pipe.partial_fit(X, y)
    np.testing.assert_array_equal(pipe.predict_proba(data[0]), before)
    np.testing.assert_array_equal(pipe.classes_, np.arange(6))


def test_reads_are_whole_while_another_thread_enrols():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 8))
    pipe = _make().fit(X[:2], [0, 1])
    torn, done = [], threading.Event()

    def read():
        while not done.is_set():
            try:
                proba = pipe.predict_proba(X)
                np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
                pipe.predict(X)
            except Exception as error:
                torn.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for label in range(2, 150):
        pipe.partial_fit(rng.normal(size=(2, 8)), [label, label])
    done.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert len(pipe.classes_) == 150


# --- scikit-learn's contract -------------------------------------------------


def test_nested_parameters_clone_and_slices(data):
    pipe = _make(KNeighborsClassifier())
    pipe.set_params(clf__n_neighbors=1, metric__metric="manhattan")
    assert clone(pipe).get_params()["clf__n_neighbors"] == 1
    assert type(clone(pipe)) is FewShotPipeline
    assert isinstance(pipe[:-1], FewShotPipeline)
    assert pipe[-1] is pipe["clf"]


def test_grid_search_and_cross_val_score(data):
    pipe = FewShotPipeline([("s", StandardScaler()), ("clf", KNeighborsClassifier())])
    search = GridSearchCV(pipe, {"clf__n_neighbors": [1, 3]}, n_jobs=2, cv=3)
    search.fit(*data)
    assert search.best_score_ == 1.0
    best = search.best_estimator_.partial_fit(data[0] + 50, data[1] + 9)
    assert best.score(data[0] + 50, data[1] + 9) == 1.0
    assert cross_val_score(_make(), *data, cv=3).mean() == 1.0


@pytest.mark.parametrize("how", ["pickle", "joblib"])
def test_saved_pipeline_goes_on_learning(how, data, tmp_path):
    pipe = _make().fit(*data)
    if how == "pickle":
        again = pickle.loads(pickle.dumps(pipe))
    else:
        joblib.dump(pipe, tmp_path / "pipe.joblib")
        again = joblib.load(tmp_path / "pipe.joblib")
    again.partial_fit(data[0] + 50, data[1] + 9)
    assert again.score(data[0] + 50, data[1] + 9) == 1.0
    np.testing.assert_array_equal(pipe.classes_, np.arange(6))
    again["metric"].fit(data[0])
    with pytest.raises(StaleSupportError):
        again.predict(data[0])


def test_set_output_reaches_the_last_step(data):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(data[0], columns=list("abcde"))
    pipe = make_few_shot_pipeline(StandardScaler(), PrototypeClassifier())
    pipe.set_output(transform="pandas").fit(frame, data[1])
    assert list(pipe[-1].feature_names_in_) == list("abcde")
    pipe.partial_fit(frame + 50, data[1] + 9)
    assert pipe.score(frame + 50, data[1] + 9) == 1.0
    with pytest.raises(ValueError, match="feature names"):
        pipe.partial_fit(frame.rename(columns={"a": "z"}), data[1])


def test_memory_caches_the_transformers(data, tmp_path):
    pipe = FewShotPipeline(
        [("s", StandardScaler()), ("c", PrototypeClassifier())], memory=str(tmp_path)
    )
    pipe.fit(*data).fit(*data).partial_fit(data[0] + 50, data[1] + 9)
    assert pipe.score(data[0] + 50, data[1] + 9) == 1.0


def test_within_an_outer_pipeline(data):
    inner = make_few_shot_pipeline(PCA(4), PrototypeClassifier())
    outer = make_few_shot_pipeline(StandardScaler(), inner).fit(*data)
    outer.partial_fit(data[0] + 50, data[1] + 9)
    assert outer.score(data[0] + 50, data[1] + 9) == 1.0


def test_html_links_to_our_pages(data):
    html = _make().fit(*data)._repr_html_()
    for page in ("pipeline.FewShotPipeline", "support.PrototypeClassifier"):
        assert f"skfsl.readthedocs.io/en/stable/generated/skfsl.{page}.html" in html


def test_fit_predict_records_the_metric_too(data):
    from sklearn.cluster import KMeans

    pipe = _make(KMeans(2, n_init=1, random_state=0)).fit(*data)
    pipe.fit_predict(*data)
    assert len(pipe.predict(data[0])) == 48


def test_other_last_steps_work_as_in_a_pipeline(data):
    for last in (SVC(), LogisticRegression(), SGDClassifier(random_state=0)):
        plain = Pipeline([("s", StandardScaler()), ("c", clone(last))]).fit(*data)
        ours = make_few_shot_pipeline(StandardScaler(), last).fit(*data)
        np.testing.assert_array_equal(
            ours.decision_function(data[0]), plain.decision_function(data[0])
        )


def test_callbacks_of_scikit_learn_work(data, capsys):
    callback = pytest.importorskip("sklearn.callback")

    class Count:
        def __init__(self):
            self.tasks = []

        def setup(self, estimator, context):
            self.tasks.append("setup")

        def on_fit_task_begin(self, estimator, context, **kwargs):
            pass

        def on_fit_task_end(self, estimator, context, **kwargs):
            self.tasks.append(context.task_name)

        def teardown(self, estimator, context):
            self.tasks.append("teardown")

    count = Count()
    assert isinstance(count, callback.FitCallback)
    pipe = make_few_shot_pipeline(StandardScaler(), PrototypeClassifier())
    pipe.set_callbacks(count).fit(*data)
    assert count.tasks == [
        "setup", "fit-transform-standardscaler", "fit-final-estimator", "fit",
        "teardown",
    ]  # fmt: skip
    pipe.partial_fit(data[0] + 50, data[1] + 9)
    assert pipe.score(data[0] + 50, data[1] + 9) == 1.0
