"""EpisodicScorer inside scikit-learn's model selection."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseTransformer,
)
from skfsl.exceptions import SeenSamplesWarning
from skfsl.model_selection import (
    ClassKFold,
    EpisodicScorer,
    StratifiedClassKFold,
    iter_episodes,
    make_episodic_scorer,
)

pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.RandomState(0)
CODES = RNG.permutation(np.repeat(np.arange(18), 10))
X = RNG.randn(18, 6)[CODES] + RNG.randn(180, 6)
Y = np.array([f"class {c:02}" for c in CODES])
SCORER = EpisodicScorer(3, n_query=3, n_episodes=20)
STATS = EpisodicScorer(3, n_query=3, n_episodes=20, return_stats=True)
KEYS = ("score", "standard_error", "episodes_low", "episodes_high", "classes_low",
        "classes_high", "worst_decile")  # fmt: skip


def _pipe(n_components=3):
    steps = [("pca", PCA(n_components, random_state=0)), ("clf", PrototypeClassifier())]
    return Pipeline(steps)


def _by_hand(estimator, cv, scorer=SCORER, X=X):
    scores = []
    for train, test in cv.split(X, Y):
        fitted = clone(estimator).fit(X[train], Y[train])
        scores.append(scorer(fitted, X[test], Y[test]))
    return scores


def test_cross_val_score_is_a_loop_over_folds():
    scores = cross_val_score(_pipe(), X, Y, cv=ClassKFold(3), scoring=SCORER)
    np.testing.assert_array_equal(scores, _by_hand(_pipe(), ClassKFold(3)))
    assert scores.dtype == np.float64


def test_cross_validate_gives_all_stats():
    found = cross_validate(_pipe(), X, Y, cv=ClassKFold(3), scoring=STATS)
    assert {k for k in found if k.startswith("test_")} == {f"test_{k}" for k in KEYS}
    by_hand = _by_hand(_pipe(), ClassKFold(3), STATS)
    for key in KEYS:
        np.testing.assert_array_equal(found[f"test_{key}"], [s[key] for s in by_hand])
    for kind in ("episodes", "classes"):
        assert (found[f"test_{kind}_low"] < found["test_score"]).all()
        assert (found[f"test_{kind}_high"] > found["test_score"]).all()
    assert (found["test_worst_decile"] < found["test_score"]).all()


def test_several_scorers():
    scoring = {"one": SCORER, "five": make_episodic_scorer(3, n_shot=5, n_query=3)}
    found = cross_validate(_pipe(), X, Y, cv=ClassKFold(3), scoring=scoring)
    np.testing.assert_array_equal(found["test_one"], _by_hand(_pipe(), ClassKFold(3)))
    assert (found["test_five"] > found["test_one"]).all()


GRID = {"pca__n_components": [1, 3, 5]}


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_grid_search_is_a_loop_over_candidates(n_jobs):
    cv = ClassKFold(3)
    search = GridSearchCV(_pipe(), GRID, cv=cv, scoring=SCORER, n_jobs=n_jobs)
    search.fit(X, Y)
    for i, n_components in enumerate(GRID["pca__n_components"]):
        got = [search.cv_results_[f"split{k}_test_score"][i] for k in range(3)]
        np.testing.assert_array_equal(got, _by_hand(_pipe(n_components), cv))
    assert search.best_params_["pca__n_components"] > 1
    assert search.predict(X[:3]).shape == (3,)
    assert search.score(X, Y) == SCORER(search.best_estimator_, X, Y)
    assert SCORER(search, X, Y) == SCORER(search.best_estimator_, X, Y)


def test_a_grid_search_by_one_of_several_scorers():
    scoring = {"acc": SCORER, "map": EpisodicScorer(3, n_query=3, metric="map@2")}
    search = GridSearchCV(_pipe(), GRID, cv=ClassKFold(3), scoring=scoring, refit="map")
    search.fit(X, Y)
    assert search.best_index_ == search.cv_results_["mean_test_map"].argmax()
    assert (
        search.cv_results_["mean_test_map"] > search.cv_results_["mean_test_acc"]
    ).all()


def test_a_grid_search_with_stats_is_refitted_by_the_score():
    search = GridSearchCV(_pipe(), GRID, cv=ClassKFold(3), scoring=STATS, refit="score")
    search.fit(X, Y)
    results = search.cv_results_
    assert search.best_index_ == results["mean_test_score"].argmax()
    assert (results["mean_test_classes_low"] < results["mean_test_score"]).all()
    assert SCORER(search, X, Y) == STATS(search, X, Y)["score"]


def test_a_randomized_search():
    search = RandomizedSearchCV(
        _pipe(), {"pca__n_components": range(1, 6)}, n_iter=2, cv=ClassKFold(3),
        scoring=SCORER, random_state=0,
    ).fit(X, Y)  # fmt: skip
    for i, params in enumerate(search.cv_results_["params"]):
        expected = np.mean(_by_hand(_pipe().set_params(**params), ClassKFold(3)))
        assert search.cv_results_["mean_test_score"][i] == pytest.approx(expected)


def test_halving_by_a_parameter():
    search = HalvingGridSearchCV(
        _pipe(), {"clf__metric": ["euclidean", "manhattan", "cosine"]},
        resource="pca__n_components", min_resources=1, max_resources=5,
        cv=ClassKFold(3), scoring=SCORER, random_state=0,
    ).fit(X, Y)  # fmt: skip
    assert search.n_resources_ == [1, 3]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["pca__n_components"] == 3


@pytest.mark.slow
def test_halving_by_the_epochs_of_a_metric():
    pipe = FewShotPipeline(
        [("siamese", SiameseTransformer(random_state=0, device="cpu")),
         ("clf", PrototypeClassifier())]
    )  # fmt: skip
    search = HalvingGridSearchCV(
        pipe, {"siamese__lr": [1e-3, 1e-2]}, resource="siamese__max_epochs",
        min_resources=1, max_resources=2, factor=2, cv=ClassKFold(2), scoring=SCORER,
        random_state=0,
    )  # fmt: skip
    with pytest.warns(SeenSamplesWarning):  # it scores training folds as well
        search.fit(X, Y)
    assert search.n_resources_ == [1, 2]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["siamese__max_epochs"] == 2


def test_halving_by_samples_says_what_folds_lack():
    def search(scorer, n):
        return HalvingGridSearchCV(
            _pipe(), {"pca__n_components": [1, 3]}, min_resources=n, cv=ClassKFold(2),
            scoring=scorer, random_state=0, refit=False,
        )  # fmt: skip

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search(SCORER, 60).fit(X, Y)
    said = [str(w.message) for w in caught]
    assert any("Scoring failed" in m and "Episodes need 4 samples" in m for m in said)
    with pytest.raises(ValueError, match="Episodes need 4 samples of each class"):
        search(SCORER, 60).set_params(error_score="raise").fit(X, Y)
    dropping = clone(SCORER).set_params(small_classes="drop")
    with pytest.warns(UserWarning, match="left out"):
        results = search(dropping, 90).fit(X, Y).cv_results_
    assert np.isfinite(results["mean_test_score"]).all()


def test_folds_of_too_few_classes_fail_with_both_numbers():
    with pytest.warns(
        UserWarning, match=r"(?s)Scoring failed.*n_way=3 .*n_classes=2\."
    ):
        scores = cross_val_score(_pipe(), X, Y, cv=ClassKFold(9), scoring=SCORER)
    assert np.isnan(scores).all()
    with pytest.raises(ValueError, match=r"n_way=3 from y with n_classes=2\."):
        cross_val_score(
            _pipe(), X, Y, cv=ClassKFold(9), scoring=SCORER, error_score="raise"
        )


def test_curves():
    dropping = clone(SCORER).set_params(small_classes="drop")
    with pytest.warns(UserWarning, match="are left out"):  # of half a training fold
        _, _, test = learning_curve(
            _pipe(), X, Y, cv=ClassKFold(3), scoring=dropping, train_sizes=[0.4, 1.0]
        )
    np.testing.assert_array_equal(test[-1], _by_hand(_pipe(), ClassKFold(3)))
    _, test = validation_curve(
        _pipe(), X, Y, cv=ClassKFold(3), scoring=SCORER, param_name="pca__n_components",
        param_range=[1, 5],
    )  # fmt: skip
    np.testing.assert_array_equal(test[0], _by_hand(_pipe(1), ClassKFold(3)))


def test_permutation_importance():
    noisy = np.c_[X, 0 * X[:, :1]]
    found = permutation_importance(
        _pipe(5).fit(noisy, Y), noisy, Y, scoring=SCORER, n_repeats=2, random_state=0
    ).importances_mean
    assert found[-1] == pytest.approx(0)
    assert found[:-1].max() > 0.05


def test_nested_cross_validation():
    search = GridSearchCV(_pipe(), GRID, cv=ClassKFold(2), scoring=SCORER)
    scores = cross_val_score(search, X, Y, cv=ClassKFold(3), scoring=SCORER)
    for (train, test), score in zip(ClassKFold(3).split(X, Y), scores, strict=True):
        fitted = clone(search).fit(X[train], Y[train])
        assert score == SCORER(fitted.best_estimator_, X[test], Y[test])


def test_candidates_meet_the_same_episodes():
    search = GridSearchCV(
        _pipe(), {"pca__copy": [True, False], "clf__store": ["samples", "sums"]},
        cv=ClassKFold(3), scoring=SCORER,
    ).fit(X.copy(), Y)  # fmt: skip
    scores = np.stack([search.cv_results_[f"split{k}_test_score"] for k in range(3)])
    assert (scores == scores[:, :1]).all()


def test_another_seed_gives_other_episodes():
    fitted = _pipe().fit(X, Y)
    scores = {EpisodicScorer(3, random_state=r)(fitted, X, Y) for r in range(4)}
    assert len(scores) > 1
    assert SCORER(fitted, X, Y) == SCORER(fitted, X, Y)


def test_the_global_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    for metric in ("accuracy", "auroc_unknown"):
        for clf in (PrototypeClassifier(), LogisticRegression()):
            pipe = make_pipeline("passthrough", clf)
            STATS.set_params(metric=metric)(pipe, X, Y)
    STATS.set_params(metric="accuracy")
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    "again", [clone, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_of_a_scorer(again):
    scorer = EpisodicScorer(4, n_shot=(1, 3), metric="map@3", n_episodes=9)
    copied = again(scorer)
    assert copied.get_params() == scorer.get_params()
    assert repr(copied) == repr(scorer)
    assert repr(scorer) == (
        "EpisodicScorer(metric='map@3', n_episodes=9, n_shot=(1, 3), n_way=4)"
    )
    fitted = _pipe().fit(X, Y)
    assert copied(fitted, X, Y) == scorer(fitted, X, Y)


def test_make_episodic_scorer_passes_everything_on():
    params = {
        "n_way": 4, "n_shot": 3, "n_query": 2, "n_episodes": 5, "metric": "top@2",
        "imbalance": "dirichlet", "replace": False, "small_classes": "drop",
        "return_stats": True, "random_state": 3,
    }  # fmt: skip
    assert make_episodic_scorer(**params).get_params() == params
    assert make_episodic_scorer().get_params() == EpisodicScorer().get_params()


# Groups: bursts in which all samples are nearly the same.

BURSTS = np.arange(180) // 2
Y_BURSTS = np.repeat(np.arange(18), 10)
X_BURSTS = (
    np.random.RandomState(1).randn(18, 6)[Y_BURSTS]
    + 2 * np.random.RandomState(2).randn(90, 6)[BURSTS]
    + 0.01 * np.random.RandomState(3).randn(180, 6)
)


class TestGroups:
    def test_groups_are_kept_apart(self):
        clf = KNeighborsClassifier(1)
        free = SCORER(clf, X_BURSTS, Y_BURSTS)
        apart = SCORER(clf, X_BURSTS, Y_BURSTS, groups=BURSTS)
        assert apart < free - 0.05
        worth = []
        for support, query in iter_episodes(
            None, Y_BURSTS, n_way=3, n_query=3, n_episodes=20, groups=BURSTS,
            random_state=0,
        ):  # fmt: skip
            fitted = clone(clf).fit(X_BURSTS[support], Y_BURSTS[support])
            worth.append(fitted.score(X_BURSTS[query], Y_BURSTS[query]))
        assert apart == pytest.approx(np.mean(worth))

    def test_without_routing_they_are_for_the_splitter_alone(self):
        args = (_pipe(), X_BURSTS, Y_BURSTS)
        cv = StratifiedClassKFold(3)
        with_groups = cross_val_score(*args, cv=cv, scoring=SCORER, params=None,
                                      groups=None)  # fmt: skip
        np.testing.assert_array_equal(
            with_groups, cross_val_score(*args, cv=cv, scoring=SCORER)
        )
        with pytest.raises(RuntimeError, match="metadata routing is enabled"):
            clone(SCORER).set_score_request(groups=True)

    def test_with_routing_one_has_to_say(self):
        asked = {"cv": ClassKFold(3), "params": {"groups": BURSTS}}
        args = (_pipe(), X_BURSTS, Y_BURSTS)
        plain = cross_val_score(*args, cv=ClassKFold(3), scoring=SCORER)
        with sklearn.config_context(enable_metadata_routing=True):
            with pytest.raises(UnsetMetadataPassedError, match="set_score_request"):
                cross_val_score(*args, scoring=clone(SCORER), **asked)
            ignoring = clone(SCORER).set_score_request(groups=False)
            ignored = cross_val_score(*args, scoring=ignoring, **asked)
            taking = clone(SCORER).set_score_request(groups=True)
            taken = cross_val_score(*args, scoring=taking, **asked)
            again = cross_val_score(*args, scoring=clone(taking), **asked)
            named = clone(SCORER).set_score_request(groups="bursts")
            aliased = cross_val_score(
                *args, scoring=named, cv=ClassKFold(3), params={"bursts": BURSTS}
            )
            search = GridSearchCV(_pipe(), GRID, cv=ClassKFold(3), scoring=taking)
            search.fit(X_BURSTS, Y_BURSTS, groups=BURSTS)
        np.testing.assert_array_equal(ignored, plain)
        for scores in (taken, again, aliased):
            expected = [
                SCORER(
                    _pipe().fit(X_BURSTS[train], Y_BURSTS[train]),
                    X_BURSTS[test], Y_BURSTS[test], groups=BURSTS[test],
                )
                for train, test in ClassKFold(3).split(X_BURSTS, Y_BURSTS)
            ]  # fmt: skip
            np.testing.assert_array_equal(scores, expected)
            assert not np.array_equal(scores, plain)
        found = [search.cv_results_[f"split{k}_test_score"][1] for k in range(3)]
        np.testing.assert_array_equal(found, taken)

    def test_groups_of_another_length_raise(self):
        with pytest.raises(ValueError, match="Got 179 groups for 180 samples"):
            SCORER(PrototypeClassifier(), X, Y, groups=BURSTS[:-1])


@pytest.fixture(scope="module")
def halves():
    base = CODES % 2 == 0
    return X[base], Y[base], X[~base], Y[~base]


@pytest.fixture(scope="module")
def siamese(halves):
    siamese = SiameseTransformer(max_epochs=1, random_state=0, device="cpu")
    return siamese.fit(halves[0], halves[1])


class TestSeenSamples:
    def _estimators(self, siamese, X_base, y_base):
        yield siamese
        yield FrozenEstimator(siamese)
        yield make_pipeline(siamese, PrototypeClassifier())
        yield make_pipeline(FrozenEstimator(siamese), LogisticRegression())
        behind = make_pipeline(
            StandardScaler(),
            make_pipeline("passthrough", clone(siamese)),
            KNeighborsClassifier(1),
        )
        yield behind.fit(X_base, y_base)

    def test_samples_of_the_training_set_are_warned_of(self, siamese, halves):
        X_base, y_base, X_new, y_new = halves
        for estimator in self._estimators(siamese, X_base, y_base):
            n = np.isin(y_base, siamese.classes_).sum()
            n -= np.isin(y_base, siamese.validation_classes_).sum()
            with pytest.warns(SeenSamplesWarning, match=rf"^{n} of the {len(X)} samp"):
                SCORER(estimator, np.r_[X_base, X_new], np.r_[y_base, y_new])

    def test_other_classes_are_not(self, siamese, halves):
        X_base, y_base, X_new, y_new = halves
        for estimator in self._estimators(siamese, X_base, y_base):
            SCORER(estimator, X_new, y_new)

    def test_labels_prove_nothing(self, siamese, halves):
        _, y_base, X_new, y_new = halves
        renamed = np.unique(y_base)[np.unique(y_new, return_inverse=True)[1]]
        SCORER(siamese, X_new, renamed)
        with pytest.warns(SeenSamplesWarning):
            SCORER(siamese, halves[0], [f"new {v}" for v in y_base])

    def test_class_disjoint_folds_are_not_warned_of(self):
        pipe = make_pipeline(
            StandardScaler(),
            SiameseTransformer(max_epochs=1, random_state=0, device="cpu"),
            PrototypeClassifier(),
        )
        cross_val_score(pipe, X, Y, cv=ClassKFold(2), scoring=SCORER)
        with pytest.warns(SeenSamplesWarning, match="return_train_score"):
            cross_validate(
                pipe, X, Y, cv=ClassKFold(2), scoring=SCORER, return_train_score=True
            )


@pytest.mark.skipif(
    not hasattr(SiameseTransformer, "set_callbacks"),
    reason="callbacks are there from scikit-learn 1.9 on",
)
def test_a_scoring_monitor_watches_an_epoch_by_episodes():
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring={"episodes": SCORER})
    siamese = SiameseTransformer(max_epochs=3, random_state=0, device="cpu")
    with pytest.warns(SeenSamplesWarning):
        siamese.set_callbacks(monitor).fit(X, Y)
    with pytest.warns(SeenSamplesWarning):
        expected = SCORER(siamese, X, Y)
    found = [entry["episodes"] for entry in monitor.get_logs().data]
    assert len(found) == 4  # those of the epochs and of the fit as a whole
    assert found[-1] == expected
