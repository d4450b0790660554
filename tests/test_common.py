"""Every estimator × every check: scikit-learn's, and what crosses our own rooms.

``pytest tests/test_common.py -k Prototype`` runs every contract of one class.
"""

import inspect
import pickle
import random
import re

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import skfsl
from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
)

SMALL = {"max_epochs": 2, "random_state": 0, "device": "cpu"}

# One table for all checks: a new estimator enters here, the checks come by themselves.
INSTANCES = [
    PrototypeClassifier(),
    PrototypeClassifier(metric="cosine"),
    PrototypeClassifier(metric="manhattan"),
    PrototypeClassifier(store="sums"),
    PrototypeClassifier(covariance="shared"),
    KNeighborsClassifier(),
    KNeighborsClassifier(n_neighbors=1, metric="cosine"),
    FewShotPipeline([("scaler", StandardScaler()), ("clf", PrototypeClassifier())]),
    FewShotPipeline([("scaler", StandardScaler()), ("clf", KNeighborsClassifier())]),
    SiameseTransformer(**SMALL),
    SiameseClassifier(SiameseTransformer(**SMALL)),
]
SLOW_INSTANCES = [
    SiameseTransformer(),
    SiameseTransformer(head="cosine", loss="contrastive", **SMALL),
    SiameseClassifier(
        SiameseTransformer(head="learned_norms", loss="class_consistency", **SMALL),
        aggregation="mean",
    ),
    FewShotPipeline(
        [("siamese", SiameseTransformer(**SMALL)), ("clf", PrototypeClassifier())]
    ),
]

# class name -> check -> why it is expected to fail. Strict: one that passes is an
# error.
_STEPS = (
    "Pipeline.fit of scikit-learn puts a copy of the list `steps` in its place and "
    "fits the steps themselves; scikit-learn's own Pipeline fails this check too."
)
EXPECTED_FAILURES = {
    "FewShotPipeline": {
        "check_estimators_overwrite_params": _STEPS,
        "check_dont_overwrite_parameters": _STEPS,
    },
}


def expected_failures(estimator):
    return EXPECTED_FAILURES.get(type(estimator).__name__, {})


def test_table_is_complete():
    estimators = {
        name
        for name in skfsl.__all__
        if isinstance(value := getattr(skfsl, name), type)
        and issubclass(value, BaseEstimator)
    }
    assert {type(estimator).__name__ for estimator in INSTANCES} == estimators


@parametrize_with_checks(INSTANCES, expected_failed_checks=expected_failures)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(SLOW_INSTANCES, expected_failed_checks=expected_failures)
def test_scikit_learn_slow(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("name", EXPECTED_FAILURES)
def test_expected_failures_fail(name):
    estimator = next(e for e in INSTANCES if type(e).__name__ == name)
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {r["check_name"] for r in results if r["status"] == "failed"}
    assert failed == set(EXPECTED_FAILURES[name])


# --- what crosses rooms ------------------------------------------------------


def make_data(seed=0, first=0, n_classes=4):
    """Few samples of some classes, called "class0" and so on."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(first, first + n_classes), [5, 3, 6, 4][:n_classes])
    centres = np.random.default_rng(99).normal(size=(20, 6)) * 5
    X = (centres[y] + rng.normal(size=(len(y), 6))).astype(np.float32)
    return X, np.array([f"class{label}" for label in y])


def answer(estimator, X):
    """Return what `estimator` says of X, as numbers."""
    for method in ("predict_proba", "transform"):
        if hasattr(estimator, method):
            return np.asarray(getattr(estimator, method)(X))
    raise AttributeError(estimator)


def check_constructor_only_assigns(estimator):
    init = type(estimator).__init__
    parameters = list(inspect.signature(init).parameters.values())[1:]
    assert {p.name for p in parameters} == set(estimator.get_params(deep=False))
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters)
    keyword_only = [p.kind is p.KEYWORD_ONLY for p in parameters]
    assert sum(not only for only in keyword_only) <= 1 or isinstance(
        estimator, KNeighborsClassifier
    ), "arguments after the first are keyword-only"
    assert not [name for name in vars(estimator) if name.endswith("_")]


def check_saved_answers_the_same(estimator):
    X, y = make_data()
    fitted = clone(estimator).fit(X, y)
    for again in (pickle.loads(pickle.dumps(fitted)), clone(FrozenEstimator(fitted))):
        np.testing.assert_array_equal(answer(again, X), answer(fitted, X))


def check_saved_with_joblib_goes_on(estimator, tmp_path):
    X, y = make_data()
    fitted = clone(estimator).fit(X, y)
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    again = joblib.load(tmp_path / "fitted.joblib")
    more = make_data(seed=1, first=4, n_classes=3)
    a, b = (answer(e.partial_fit(*more), X) for e in (fitted, again))
    np.testing.assert_array_equal(a, b)


def check_new_classes_by_partial_fit(estimator):
    X, y = make_data()
    X_new, y_new = make_data(seed=1, first=4, n_classes=3)
    fitted = clone(estimator).fit(X, y).partial_fit(X_new, y_new)
    assert len(answer(fitted, X_new)) == len(X_new)
    if is_classifier(fitted):
        both = np.concatenate([y, y_new])
        np.testing.assert_array_equal(fitted.classes_, np.unique(both))
        assert fitted.score(X_new, y_new) == 1.0


def check_partial_fit_unfitted_is_fit(estimator):
    X, y = make_data()
    a = clone(estimator).fit(X, y)
    b = clone(estimator).partial_fit(X, y)
    np.testing.assert_allclose(answer(a, X), answer(b, X), atol=1e-6)


def check_columns_follow_sorted_classes(estimator):
    if not is_classifier(estimator):
        pytest.skip("no classifier")
    X, y = make_data(first=3)
    X_new, y_new = make_data(seed=1, first=0, n_classes=3)  # sort first, arrive last
    fitted = clone(estimator).fit(X, y).partial_fit(X_new, y_new)
    np.testing.assert_array_equal(fitted.classes_, sorted(fitted.classes_))
    for method in ("predict_proba", "decision_function"):
        if hasattr(fitted, method):
            best = getattr(fitted, method)(X_new).argmax(axis=1)
            np.testing.assert_array_equal(fitted.classes_[best], y_new)


def check_failed_learning_changes_nothing(estimator):
    X, y = make_data()
    fitted = clone(estimator).fit(X, y)
    before = answer(fitted, X)
    bad = np.where(np.arange(6) == 2, np.nan, X)
    for X_bad, y_bad in ((bad, y), (X[:, :4], y), (X, y[:-1])):
        with pytest.raises(ValueError, match=r"."):
            fitted.partial_fit(X_bad, y_bad)
    np.testing.assert_array_equal(answer(fitted, X), before)


def check_global_random_state_is_left_alone(estimator):
    torch = pytest.importorskip("torch")
    X, y = make_data()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    clone(estimator).fit(X, y).partial_fit(X, y)
    drawn = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert drawn == (random.random(), np.random.random(), torch.rand(1).item())


def check_two_fits_answer_the_same(estimator):
    X, y = make_data()
    a, b = (answer(clone(estimator).fit(X, y), X) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def check_refit_forgets(estimator):
    X, y = make_data()
    fitted = clone(estimator).fit(*make_data(seed=2, first=5)).fit(X, y)
    np.testing.assert_array_equal(
        answer(fitted, X), answer(clone(estimator).fit(X, y), X)
    )


def check_input_is_left_alone(estimator):
    X, y = make_data()
    X.flags.writeable = y.flags.writeable = False
    clone(estimator).fit(X, y).partial_fit(X, y)
    answer(clone(estimator).fit(X, y), X)


def check_frames_and_names(estimator):
    pd = pytest.importorskip("pandas")
    X, y = make_data()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    fitted = clone(estimator).fit(frame, pd.Series(y))
    assert fitted.feature_names_in_.tolist() == list("abcdef")
    plain = answer(clone(estimator).fit(X, y), X)
    np.testing.assert_allclose(answer(fitted, frame), plain, atol=1e-5)
    with pytest.raises(ValueError, match="feature names"):
        fitted.partial_fit(frame.rename(columns={"a": "z"}), y)


def check_works_in_a_pipeline_and_in_cross_validation(estimator):
    X, y = make_data()
    steps = [StandardScaler(), clone(estimator)]
    if not is_classifier(estimator):
        steps.append(PrototypeClassifier())
    scores = cross_val_score(make_pipeline(*steps), X, y, cv=3, error_score="raise")
    assert scores.mean() > 0.5


def check_repr_shows_parameters_only(estimator):
    X, y = make_data()
    unfitted, fitted = clone(estimator), clone(estimator).fit(X, y)
    assert repr(fitted) == repr(unfitted)
    html = fitted._repr_html_()
    assert len(html) < 80_000
    assert not re.search(r"tensor\(|array\(\[", html)
    assert "skfsl.readthedocs.io" in html


CONTRACT = [
    value for name, value in list(globals().items())
    if name.startswith("check_") and getattr(value, "__module__", "") == __name__
]  # fmt: skip


@pytest.mark.parametrize("check", CONTRACT, ids=lambda c: c.__name__)
@pytest.mark.parametrize("estimator", INSTANCES, ids=str)
def test_contract(estimator, check, tmp_path):
    needs_path = "tmp_path" in inspect.signature(check).parameters
    check(estimator, tmp_path) if needs_path else check(estimator)
