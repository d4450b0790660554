"""Threshold and temperature from labelled queries."""

import pickle
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score, log_loss

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SupportLog,
    load,
    save,
)
from skfsl.metrics import expected_calibration_error


@pytest.fixture(scope="module")
def data(open_set):
    return open_set(1.6, n_queries=40)


CLASSIFIERS = {
    "ratio": PrototypeClassifier(unknown_label=-1),
    "cosine": PrototypeClassifier("cosine", unknown_label=-1),
    "similarity": PrototypeClassifier(unknown_label=-1, familiarity="similarity"),
    "sums": PrototypeClassifier(unknown_label=-1, store="sums"),
    "siamese": SiameseClassifier(unknown_label=-1),
    "neighbors": KNeighborsClassifier(3, unknown_label=-1),
    "trees": KNeighborsClassifier(3, algorithm="kd_tree", unknown_label=-1),
}
GROWING = sorted(set(CLASSIFIERS) - {"trees"})


@pytest.fixture
def make(metric):
    def make(name):
        clf = clone(CLASSIFIERS[name])
        return clf.set_params(siamese=metric) if name == "siamese" else clf

    return make


every = pytest.mark.parametrize("name", CLASSIFIERS)
growing = pytest.mark.parametrize("name", GROWING)
scoring = pytest.mark.parametrize("name", [n for n in GROWING if n != "neighbors"])


@every
def test_the_threshold_is_the_best_for_these_queries(make, name, data):
    X, y, queries, true = data
    # Classes count alike, of however many queries: of half of them there are a few.
    some = (true < 4) | (np.arange(len(true)) % 8 == 0)
    queries, true = queries[some], true[some]
    clf = make(name).fit(X, y)
    found = clf.calibrate(queries, true)
    assert found is clf.calibration_
    assert clf.rejection_threshold() == found.threshold
    scores, known = clf.score_samples(queries), true >= 0
    weight = np.where(known, 1 / np.bincount(true + 1)[true + 1], 1)

    def told(threshold):
        return balanced_accuracy_score(known, scores >= threshold, sample_weight=weight)

    best = max(told(threshold) for threshold in np.unique(scores))
    assert told(found.threshold) == pytest.approx(best)


@every
def test_the_report_says_what_predictions_are(make, name, data):
    X, y, queries, true = data
    clf = make(name).fit(X, y)
    found = clf.calibrate(queries, true)
    predicted, known = clf.predict(queries), true >= 0
    assert found.accuracy == np.mean(predicted[known] == true[known])
    assert found.refused_known == np.mean(predicted[known] == -1)
    assert found.refused_unknown == np.mean(predicted[~known] == -1)
    assert (found.n_known, found.n_unknown) == (known.sum(), (~known).sum())
    assert f"accuracy {found.accuracy:.3f}" in repr(found)


@scoring
def test_the_temperature_is_the_best_for_these_queries(make, name, data):
    X, y, queries, true = data
    known = true >= 0
    clf = make(name).fit(X, y)
    before = clf.predict_proba(queries[known])
    found = clf.calibrate(queries, true)
    proba = clf.predict_proba(queries[known])
    loss = log_loss(true[known], proba)
    plain = make(name).fit(X, y)
    for factor in (0.8, 1.25):
        plain.set_params(temperature=factor * found.temperature)
        assert loss < log_loss(true[known], plain.predict_proba(queries[known]))
    plain.set_params(temperature=found.temperature)
    assert_allclose(plain.predict_proba(queries[known]), proba)
    for error, p in (
        (found.calibration_error_before, before),
        (found.calibration_error, proba),
    ):
        assert error == pytest.approx(expected_calibration_error(true[known], p))
    assert found.calibration_error < found.calibration_error_before


@growing
def test_it_stays_while_classes_come_and_go(make, name, data):
    X, y, queries, true = data
    few = y < 6
    clf = make(name).fit(X[few], y[few])
    found = clf.calibrate(queries, np.where(true < 6, true, -1))
    clf.partial_fit(X[~few], y[~few])
    clf.forget([0])
    assert clf.calibration_ is found
    assert clf.rejection_threshold() == found.threshold
    for other in (pickle.loads(pickle.dumps(clf)),):
        assert other.calibration_ == found
        assert_array_equal(other.predict(queries), clf.predict(queries))
    assert not hasattr(clone(clf), "calibration_")
    del clf.calibration_
    if name != "sums":
        assert clf.rejection_threshold() != found.threshold
    clf.calibrate(queries[true != 0], true[true != 0])
    assert not hasattr(clf.fit(X, y), "calibration_")


@growing
def test_it_is_saved_and_logged(make, name, data, tmp_path):
    X, y, queries, true = data
    clf = make(name).fit(X, y)
    with SupportLog(tmp_path / "log", clf) as log:
        log.calibrate(queries, true).forget([3])
        expected = log.model.predict(queries)
        found = log.model.calibration_
    with SupportLog(tmp_path / "log") as log:
        assert log.model.calibration_.threshold == pytest.approx(found.threshold)
        assert_array_equal(log.model.predict(queries), expected)
    save(clf, tmp_path / "file")
    again = load(tmp_path / "file")
    assert again.calibration_ == clf.calibration_
    assert_array_equal(again.predict(queries), clf.predict(queries))


@every
def test_what_goes_before_it(make, name, data):
    X, y, queries, true = data
    clf = make(name).fit(X, y)
    found = clf.calibrate(queries, true)
    clf.set_params(reject=None)
    assert clf.rejection_threshold() == -np.inf
    clf.set_params(reject="auto", threshold=-12.5)
    assert clf.rejection_threshold() == -12.5
    clf.set_params(threshold=None)
    assert clf.rejection_threshold() == found.threshold


def check_it_yields(clf, plain, last, queries):
    """Set parameters to other values and back; `plain` is the same, not calibrated."""
    reject, proba = clf.rejection_threshold(), clf.predict_proba(queries)
    for model in (clf, plain):
        model.set_params(**{f"{last}reject": 0.25})
    assert clf.rejection_threshold() == plain.rejection_threshold() != reject
    assert_array_equal(clf.predict_proba(queries), proba)  # the part concerned only
    clf.set_params(**{f"{last}reject": "auto"})
    assert clf.rejection_threshold() == reject
    if f"{last}temperature" not in clf.get_params():
        return
    for model in (clf, plain):
        model.set_params(**{f"{last}temperature": 3.5})
    assert_array_equal(clf.predict_proba(queries), plain.predict_proba(queries))
    assert (clf.predict_proba(queries) != proba).any()
    assert clf.rejection_threshold() == reject
    clf.set_params(**{f"{last}temperature": 1.0})
    assert_array_equal(clf.predict_proba(queries), proba)


# All but "sums", of which nothing can be left out.
@pytest.mark.parametrize("name", ["pipeline", *sorted(set(GROWING) - {"sums"})])
@pytest.mark.parametrize("stored", ["here", "pickle", "file", "log"])
def test_what_is_set_later_goes_before_it(make, name, stored, data, metric, tmp_path):
    X, y, queries, true = data
    if name == "pipeline":
        last = PrototypeClassifier(unknown_label=-1, familiarity="likelihood_ratio")
        clf = FewShotPipeline([("siamese", metric), ("clf", last)])
    else:
        clf = make(name)
        if name in ("ratio", "cosine"):
            clf.set_params(familiarity="likelihood_ratio")
    clf.fit(X, y)
    plain = pickle.loads(pickle.dumps(clf))
    if stored == "log":
        with SupportLog(tmp_path / "log", clf) as log:
            log.calibrate(queries, true)
        with SupportLog(tmp_path / "log") as log:
            clf = log.model
    else:
        clf.calibrate(queries, true)
    if stored == "pickle":
        clf = pickle.loads(pickle.dumps(clf))
    elif stored == "file":
        save(clf, tmp_path / "file")
        clf = load(tmp_path / "file")
    check_it_yields(clf, plain, "clf__" if name == "pipeline" else "", queries)


def test_older_calibrations_do_not_know_what_was_set(data):
    X, y, queries, true = data
    clf = PrototypeClassifier(unknown_label=-1).fit(X, y)
    found = clf.calibrate(queries, true)
    make, values = found.__reduce__()
    clf.calibration_ = make(*values[:-1])  # as older pickles and files have it
    expected = clf.predict_proba(queries)
    clf.set_params(reject=0.25, temperature=3.5)
    assert clf.rejection_threshold() == found.threshold
    assert_array_equal(clf.predict_proba(queries), expected)


@every
def test_a_share_is_that_of_these_queries(make, name, data):
    X, y, queries, true = data
    known = true >= 0
    clf = make(name).set_params(reject=0.1).fit(X, y)
    for rows in (known, np.ones(len(true), dtype=bool)):  # unknown ones have no say
        found = clf.calibrate(queries[rows], true[rows])
        assert found.refused_known == pytest.approx(0.1, abs=2 / known.sum())
    with pytest.raises(ValueError, match=r"reject=0\.1 asks for 9 queries"):
        clf.calibrate(queries[known][:5], true[known][:5])
    assert clf.calibration_ is found


@pytest.mark.parametrize("name", ["ratio", "cosine", "similarity", "siamese"])
def test_without_unknown_queries_the_threshold_is_kept(make, name, data):
    X, y, queries, true = data
    known = true >= 0
    clf = make(name).fit(X, y)
    before = clf.rejection_threshold()
    found = clf.calibrate(queries[known], true[known])
    assert found.threshold is None
    assert found.refused_unknown is None
    assert clf.rejection_threshold() == before
    assert "threshold kept" in repr(found)
    off = make(name).set_params(unknown_label=None).fit(X, y)
    assert off.calibrate(queries[known], true[known]).temperature == found.temperature
    assert off.calibration_.refused_known == 0
    own = make(name).set_params(reject=None).fit(X, y).calibrate(queries, true)
    assert own.threshold is None
    assert own.refused_unknown == 0


def test_neighbors_have_a_threshold_only(data):
    X, y, queries, true = data
    known = true >= 0
    clf = KNeighborsClassifier(3, unknown_label=-1).fit(X, y)
    proba = clf.predict_proba(queries)
    assert clf.calibrate(queries, true).temperature is None
    assert_array_equal(clf.predict_proba(queries), proba)
    del clf.calibration_
    for params in ({"unknown_label": None}, {"reject": "auto"}, {"reject": None}):
        clf.set_params(**{"unknown_label": -1, **params})
        with pytest.raises(ValueError, match="nothing to calibrate but a threshold"):
            clf.calibrate(queries[known], true[known])


@every
def test_errors_change_nothing(make, name, data):
    X, y, queries, true = data
    clf = make(name).fit(X, y)
    found = clf.calibrate(queries, true)
    strange = np.where(true == 2, 77, true)
    for labels, error, match in (
        (strange, ValueError, r"y has labels that are not in the support set: \[77\]"),
        (np.full(len(true), -1), ValueError, "asks for queries of known classes"),
        (true.astype(str), TypeError, "Expected labels of the kind of the support"),
        (true[1:], ValueError, "inconsistent numbers of samples"),
    ):
        with pytest.raises(error, match=match):
            clf.calibrate(queries, labels)
        assert clf.calibration_ is found
    clf = make(name).set_params(unknown_label=None).fit(X, y)
    with pytest.raises(ValueError, match="or set unknown_label, and give it"):
        clf.calibrate(queries, true)
    assert not hasattr(clf, "calibration_")
    with pytest.raises(ValueError, match="not fitted"):
        make(name).calibrate(queries, true)


def test_blank_rows_are_left_out(data):
    X, y, queries, true = data
    rows = np.arange(len(true)) % 3 > 0
    clf = PrototypeClassifier(unknown_label=-1).fit(X, y)
    expected = clf.calibrate(queries[rows], true[rows])
    blank = np.where(rows[:, None], queries, np.nan)
    assert clf.calibrate(blank, true) == expected
    with pytest.raises(ValueError, match="there are no queries"):
        clf.calibrate(np.full((2, 8), np.nan), [0, -1])


def test_the_kind_of_score_stays(data):
    X, y, queries, true = data
    clf = PrototypeClassifier(unknown_label=-1).fit(X[y < 4], y[y < 4])
    found = clf.calibrate(queries, np.where(true < 4, true, -1))
    assert found.familiarity == "similarity"  # of so few classes
    clf.partial_fit(X[y >= 4], y[y >= 4])
    best = clf.decision_function(queries).max(axis=1)
    assert_allclose(clf.score_samples(queries), best)
    del clf.calibration_
    found = clf.calibrate(queries, true)
    assert found.familiarity == "likelihood_ratio"
    clf.forget([0, 1, 2, 3])
    with pytest.raises(ValueError, match="where calibrate has chosen it, call it"):
        clf.predict(queries)
    clf.calibrate(queries[(true > 3) | (true < 0)], true[(true > 3) | (true < 0)])
    assert clf.calibration_.familiarity == "similarity"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ratio", {"metric": "cosine"}),
        ("ratio", {"familiarity": "similarity"}),
        ("siamese", {"aggregation": "max"}),
    ],
)
def test_other_scores_ask_for_another_calibration(make, name, params, data):
    X, y, queries, true = data
    clf = make(name).fit(X, y)
    clf.calibrate(queries, true)
    clf.set_params(**params)
    for method in (clf.predict, clf.predict_proba):
        with pytest.raises(ValueError, match="Call calibrate again"):
            method(queries)
    clf.calibrate(queries, true)
    clf.predict(queries)


def test_the_pipeline_has_it(data, metric):
    X, y, queries, true = data
    last = PrototypeClassifier(unknown_label="?")
    names, asked = np.array(list("abcdefgh"))[y], true.astype(object)
    asked = np.where(true < 0, "?", np.array(list("abcdefgh"))[true])
    pipe = FewShotPipeline([("siamese", metric), ("clf", last)]).fit(X, names)
    found = pipe.calibrate(queries, asked)
    assert pipe["clf"].calibration_ is found
    assert found.accuracy == np.mean((pipe.predict(queries) == asked)[true >= 0])
    assert pipe.rejection_threshold() == found.threshold


def test_other_threads_see_one_state(data):
    X, y, queries, true = data
    clf = PrototypeClassifier(unknown_label=-1).fit(X, y)
    halves = [np.arange(len(true)) % 7 < 1, np.arange(len(true)) % 7 > 5]
    states = []
    for half in halves:
        clf.calibrate(queries[half], true[half])
        states.append(clf.predict(queries))
    assert (states[0] != states[1]).any()
    stop, wrong, n_seen = threading.Event(), [], [0]

    def read():
        while not stop.is_set():
            found = clf.predict(queries)
            n_seen[0] += 1
            if not any(np.array_equal(found, state) for state in states):
                wrong.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            for half in halves:
                clf.calibrate(queries[half], true[half])
    finally:
        stop.set()
        reader.join()
    assert not wrong
    assert n_seen[0] > 5


@pytest.mark.parametrize("name", ["ratio", "cosine", "siamese", "pipeline"])
def test_scikit_learn_calibrates_them_too(make, name, data, metric):
    X, y, queries, true = data
    known = true >= 0
    rows, asked = np.flatnonzero(known)[::2], np.flatnonzero(known)[1::2]
    if name == "pipeline":
        last = PrototypeClassifier()
        clf = FewShotPipeline([("siamese", metric), ("clf", last)]).fit(X, y)
    else:
        clf = make(name).fit(X, y)
    for method in ("sigmoid", "temperature"):
        try:
            found = CalibratedClassifierCV(FrozenEstimator(clf), method=method)
            found.fit(queries[rows], true[rows])
        except ValueError:  # before scikit-learn 1.8
            assert method == "temperature"
            continue
        loss = log_loss(true[asked], found.predict_proba(queries[asked]))
        assert loss < log_loss(true[asked], clf.predict_proba(queries[asked]))
    if name in ("ratio", "cosine"):
        cross = CalibratedClassifierCV(clone(clf), method="sigmoid", cv=3).fit(X, y)
        assert (cross.predict(queries[known]) == true[known]).mean() > 0.7
