"""Samples that come and go by their ids: once, for all that have a support set."""

import copy
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler, normalize

from skfsl import (
    FewShotPipeline,
    KNeighborsClassifier,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
    SupportLog,
    load,
    save,
)
from skfsl.encoders import MLP

D = 4
RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, D)).astype(np.float32)
Y = np.repeat(["ant", "bee", "cow"], 4)
QUERIES = RNG.normal(size=(20, D)).astype(np.float32)


def _metric():
    siamese = SiameseTransformer(MLP((8,), n_outputs=4), max_epochs=1, random_state=0)
    return FrozenEstimator(siamese.fit(X, Y))


def _scaler():
    return FrozenEstimator(StandardScaler().fit(X))


CLASSIFIERS = {
    "prototypes": lambda: PrototypeClassifier(),
    "prototypes, cosine": lambda: PrototypeClassifier("cosine"),
    "prototypes, shared": lambda: PrototypeClassifier(covariance="shared"),
    "neighbours": lambda: KNeighborsClassifier(3, weights="distance"),
    "neighbours, cosine": lambda: KNeighborsClassifier(1, metric="cosine"),
    "siamese": lambda: SiameseClassifier(_metric(), aggregation="mean"),
    "pipeline": lambda: FewShotPipeline(
        [("scaler", _scaler()), ("clf", PrototypeClassifier())]
    ),
}


@pytest.fixture(params=CLASSIFIERS)
def clf(request):
    return CLASSIFIERS[request.param]()


def fit(clf, X, y, ids=None, method="fit"):
    """Call `fit` or `partial_fit` with ids, as a pipeline or a classifier wants."""
    name = "clf__ids" if isinstance(clf, FewShotPipeline) else "ids"
    return getattr(clf, method)(X, y, **({} if ids is None else {name: ids}))


def add(clf, X, y, ids=None):
    return fit(clf, X, y, ids, "partial_fit")


def check_same(a, b):
    assert_array_equal(a.classes_, b.classes_)
    assert_allclose(a.predict_proba(QUERIES), b.predict_proba(QUERIES), atol=1e-6)
    assert_array_equal(a.predict(QUERIES), b.predict(QUERIES))


def answers(clf):
    return clf.predict_proba(QUERIES), clf.support_.id.tolist(), clf.classes_.tolist()


def check_unchanged(clf, before):
    for now, then in zip(answers(clf), before, strict=True):
        assert_array_equal(now, then)


def test_samples_are_numbered_as_they_come_and_never_again(clf):
    fit(clf, X, Y)
    assert_array_equal(clf.support_.id, np.arange(12))
    clf.forget_samples([11, 3])
    add(clf, X[:2], ["cow", "dog"])
    assert_array_equal(clf.support_.id, [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13])
    clf.forget("dog")
    add(clf, X[:1], ["dog"])
    assert clf.support_.id[-1] == 14


@pytest.mark.parametrize("ids", [range(100, 112), [f"photo {i:b}" for i in range(12)]])
def test_forgetting_samples_is_fitting_the_rest(clf, ids):
    ids = np.array(ids)
    fit(clf, X[:6], Y[:6], ids[:6])
    add(clf, X[6:], Y[6:], ids[6:])
    stays = ~np.isin(np.arange(12), [0, 5, 8, 9, 10, 11])  # the whole of cow, too
    clf.forget_samples(ids[~stays])
    assert clf.classes_.tolist() == ["ant", "bee"]
    check_same(clf, fit(clone(clf), X[stays], Y[stays], ids[stays]))
    assert_array_equal(clf.support_.id, ids[stays])
    assert_array_equal(clf.support_.label, Y[stays])


def test_a_label_is_corrected_by_forgetting_and_adding(clf):
    wrong = Y.copy()
    wrong[5] = "ant"
    fit(clf, X, wrong, ids=range(12)).forget_samples(5)
    add(clf, X[5:6], Y[5:6], ids=[5])
    check_same(clf, fit(clone(clf), X, Y))


@pytest.mark.parametrize("gone", ["a", ["a"], {"a"}, np.array(["a"]), pd.Series(["a"])])
def test_one_id_or_many_are_forgotten(clf, gone):
    ids = list("abcdefghijkl")
    assert fit(clf, X, Y, ids).forget_samples(gone).support_.id.tolist() == ids[1:]
    assert clf.forget_samples([]).support_.id.tolist() == ids[1:]


def test_long_ids_are_not_cut(clf):
    fit(clf, X, Y, np.array(list("abcdefghijkl")))
    add(clf, X[:1], ["cow"], np.array(["a" * 300]))
    assert clf.support_.id[-1] == "a" * 300
    assert clf.forget_samples("a" * 300).support_.id.tolist() == list("abcdefghijkl")


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        (["x", "x"], ValueError, r"some ids twice: \['x'\]"),
        (["a", "x"], ValueError, r"in the support set: \['a'\]"),
        ([1, 2], TypeError, r"support set's: str \(such as 'a'\). Got int"),
        (["x", 2], TypeError, "all int .* or all str. Got int and str"),
        ([0.5, 2.0], TypeError, "Got float"),
        ([True, False], TypeError, "Got bool"),
        ([None, "x"], TypeError, "NoneType and str"),
        (["x"], ValueError, r"shape \(2,\), one a sample. Got shape \(1,\)"),
        ("xy", ValueError, r"Got shape \(\)"),
        (None, ValueError, "ids of their own, such as 'a'. Give ids="),
    ],
)
def test_ids_that_do_not_fit_change_nothing(clf, ids, error, match):
    fit(clf, X, Y, list("abcdefghijkl"))
    before = answers(clf)
    with pytest.raises(error, match=match):
        add(clf, X[:2], ["cow", "dog"], ids)
    check_unchanged(clf, before)


@pytest.mark.parametrize(
    ("gone", "error", "match"),
    [
        ([3, 77], ValueError, r"not in the support set, of ids \[77\]. Its 12"),
        ("3", TypeError, "Got str .* numbered as they came"),
        (range(12), ValueError, "Cannot forget all of the 3 classes"),
        ([[1, 2]], ValueError, r"Got shape \(1, 2\)"),
        (None, TypeError, "NoneType"),
    ],
)
def test_samples_that_cannot_be_forgotten_change_nothing(clf, gone, error, match):
    fit(clf, X, Y)
    before = answers(clf)
    with pytest.raises(error, match=match):
        clf.forget_samples(gone)
    check_unchanged(clf, before)


def test_numbers_of_ones_own_may_follow_running_ones(clf):
    fit(clf, X, Y)
    with pytest.raises(ValueError, match=r"in the support set: \[11\]"):
        add(clf, X[:1], ["dog"], [11])
    with pytest.raises(TypeError, match="give ids= in fit"):
        add(clf, X[:1], ["dog"], ["x"])
    add(clf, X[:1], ["dog"], [2**62])
    with pytest.raises(ValueError, match="Give ids= for new ones"):
        add(clf, X[:1], ["dog"])
    with pytest.raises(TypeError, match="of 64 bits"):
        add(clf, X[:1], ["dog"], [2**63])


def test_rows_of_nan_take_their_ids_with_them(clf):
    fit(clf, X, Y, list("abcdefghijkl"))
    more = np.full((3, D), np.nan, np.float32)
    more[1] = 0
    with pytest.warns(UserWarning, match="wholly NaN"):
        add(clf, more, ["dog"] * 3, ["x", "y", "z"])
    assert clf.support_.id.tolist() == [*"abcdefghijkl", "y"]
    add(clf, X[:1], ["dog"], ["x"])  # it is free


def test_ids_go_with_copies_and_files(clf, tmp_path):
    fit(clf, X, Y)
    clf.forget_samples(11)
    save(clf, tmp_path / "model.skfsl")
    copies = (
        pickle.loads(pickle.dumps(clf)),
        copy.deepcopy(clf),
        load(tmp_path / "model.skfsl"),
    )
    for again in copies:
        check_same(again, clf)
        add(again, X[:1], ["dog"])
        assert_array_equal(again.support_.id, [*range(11), 12])


def test_pickles_of_older_versions_open(clf):
    fit(clf, X, Y)
    expected = answers(clf)
    last = clf[-1] if isinstance(clf, FewShotPipeline) else clf
    for name in ("keep", "max_per_class"):
        del last.__dict__[name]
    again = pickle.loads(pickle.dumps(clf))
    check_unchanged(again, expected)
    add(again, X[:1], ["dog"])


def test_journal_has_ids_and_forgotten_samples(clf, tmp_path):
    fit(clf, X, Y, list("abcdefghijkl"))
    name = "clf__ids" if isinstance(clf, FewShotPipeline) else "ids"
    with SupportLog(tmp_path, clf) as log:
        log.partial_fit(X[:2], ["dog", "dog"], **{name: ["x" * 99, "y"]})
        log.forget_samples({"a", "y"})
        with pytest.raises(ValueError, match="not in the support set"):
            log.forget_samples("y")
        expected = answers(log.model)
    with SupportLog(tmp_path) as log:
        check_unchanged(log.model, expected)
    assert expected[1] == [*"bcdefghijkl", "x" * 99]


def test_support_is_a_table(clf):
    fit(clf, X, Y)
    frame = pd.DataFrame(clf.support_)
    assert frame.columns.tolist() == [
        "id", "label", "distance", "class_count", "class_spread",
    ]  # fmt: skip
    spread = frame.groupby("label")["distance"].agg(lambda d: np.sqrt((d**2).mean()))
    assert_allclose(frame["class_spread"], spread[frame["label"]])
    assert (frame["class_count"] == 4).all()
    embeddings = clf.support_vectors_.astype(float)
    means = pd.DataFrame(embeddings).groupby(Y).transform("mean")
    expected = np.linalg.norm(embeddings - means, axis=1)
    assert_allclose(frame["distance"], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        clf.support_.id[0] = 5
    clf.support_["id"] = None
    assert clf.support_.id is not None


def test_support_vectors_are_the_samples_in_the_order_of_the_table(clf):
    with pytest.raises(AttributeError, match=r"support_|fitted"):
        _ = clf.support_vectors_
    fit(clf, X, Y).forget_samples([3, 7])
    given = add(clf, X[:1] + 2, ["dog"]).support_vectors_
    samples = np.vstack([X, X[:1] + 2])[clf.support_.id]
    embed = getattr(clf, "siamese_", clf[:-1] if hasattr(clf, "steps") else None)
    expected = samples if embed is None else embed.transform(samples)
    if isinstance(clf, KNeighborsClassifier) and clf.metric == "cosine":
        expected = normalize(expected)
    assert_allclose(given, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        given[0] = 5


def separated(rng):
    """Return samples of three classes far apart."""
    y = np.repeat(np.arange(3), 8)
    return (9 * np.eye(3, D)[y] + rng.normal(size=(24, D))).astype(np.float32), y


def test_wrong_labels_are_suspicious(clf):
    points, y = separated(RNG)
    wrong = y.copy()
    wrong[[2, 9]] = 1, 2
    fit(clf, points, wrong, [f"photo {i}" for i in range(24)])
    found = clf.suspicious_support()
    frame = pd.DataFrame(found).set_index("id")
    assert set(frame.index[:2]) == {"photo 2", "photo 9"}
    assert frame["margin"].is_monotonic_decreasing
    assert (frame["margin"] > 0).all()
    assert frame.loc["photo 2", ["label", "nearer"]].tolist() == [1, 0]
    assert frame.loc["photo 9", ["label", "nearer"]].tolist() == [2, 1]
    clf.forget_samples(found.id[:2])
    add(clf, points[[2, 9]], y[[2, 9]], ["photo 2", "photo 9"])
    assert not {"photo 2", "photo 9"} & set(clf.suspicious_support().id)


@pytest.mark.parametrize(
    "clf",
    [
        PrototypeClassifier("manhattan"),
        KNeighborsClassifier(1, metric="manhattan"),
    ],
    ids=str,
)
def test_margins_are_those_of_a_support_set_without_the_sample(clf):
    if isinstance(clf, PrototypeClassifier):
        score = lambda c, x: c.decision_function(x)  # noqa: E731
    else:

        def score(c, x):
            far = [
                np.abs(c._fit_X[c._y == i] - x).sum(axis=1).min()
                for i in range(len(c.classes_))
            ]
            return -np.array([far])

    y = RNG.integers(0, 3, 30)
    points = RNG.normal(size=(30, D))
    found = clone(clf).fit(points, y).suspicious_support()
    margins = dict(zip(found.id.tolist(), found.margin, strict=True))
    for i in range(30):
        rest = np.arange(30) != i
        scores = score(clone(clf).fit(points[rest], y[rest]), points[i : i + 1])[0]
        margin = np.delete(scores, y[i]).max() - scores[y[i]]
        assert margins.get(i, 0) == pytest.approx(max(margin, 0))


def test_all_samples_are_looked_at_whatever_the_metric_was_trained_on(monkeypatch):
    points, y = separated(RNG)
    y[[2, 9]] = 1, 2
    clf = PrototypeClassifier().fit(points, y)
    clf._trained_on_classes(np.arange(3))
    found = clf.suspicious_support()
    assert set(found.id) == {2, 9}
    # In blocks of one sample.
    monkeypatch.setattr("skfsl.support._suspicious._BLOCK", 1)
    again = clf.suspicious_support()
    for name, column in found.items():
        assert_array_equal(again[name], column)


def test_who_is_alone_is_not_suspicious():
    clf = PrototypeClassifier().fit([[0.0], [1.0], [9.0]], ["a", "a", "b"])
    assert len(clf.suspicious_support().id) == 0
    clf.forget("b")
    assert len(clf.suspicious_support().id) == 0


def bound(clf, **params):
    last = clf.steps[-1][1] if isinstance(clf, FewShotPipeline) else clf
    last.set_params(**params)
    return clf


@pytest.mark.parametrize("keep", ["herding", "random"])
def test_no_class_keeps_more_than_its_most(clf, keep):
    bound(clf, max_per_class=3, keep=keep)
    points, y = separated(RNG)
    fit(clf, points[:20], y[:20])
    for start in range(20, 24, 2):
        add(clf, points[start : start + 2], y[start : start + 2])
    table = clf.support_
    assert_array_equal(np.unique(table.label, return_counts=True)[1], 3)
    # All is as if only those had come that are kept.
    rest = fit(clone(clf), points[table.id], y[table.id], table.id)
    check_same(clf, rest)
    add(clf, points[:1], [9])
    assert_array_equal(clf.support_.id, [*table.id, 24])


def test_random_ones_are_kept_whatever_the_order_and_the_batches(clf):
    bound(clf, max_per_class=2, keep="random")
    points, y = separated(RNG)
    ids = np.array([f"photo {i}" for i in range(24)])
    kept = set(fit(clf, points, y, ids).support_.id)
    assert len(kept) == 6
    other = clone(clf)
    for rows in np.split(RNG.permutation(24), 8):
        add(other, points[rows], y[rows], ids[rows])
    assert set(other.support_.id) == kept


def test_every_sample_is_as_likely_to_be_kept_by_chance():
    kept = np.zeros(10)
    for seed in range(3000):
        clf = PrototypeClassifier(max_per_class=3, keep="random")
        ids = [f"{seed} {i}" for i in range(10)]
        found = clf.fit(np.zeros((10, 1)), [0] * 10, ids=ids).support_.id
        kept[[int(i.split()[1]) for i in found]] += 1
    assert_allclose(kept / 3000, 0.3, atol=0.04)


def test_herding_keeps_the_mean():
    """By hand: of 0, 1, 2, 3 and 14 (mean 4) first 3, then with it 2 or 14, ..."""
    points = np.array([[0.0], [1.0], [2.0], [3.0], [14.0]])
    clf = PrototypeClassifier(max_per_class=1).fit(points, [0] * 5)
    assert clf.support_.id.tolist() == [3]
    clf.set_params(max_per_class=2).fit(points, [0] * 5)
    assert clf.support_.id.tolist() == [2, 3]  # 2.5 is nearer to 4 than 8.5
    many = np.random.default_rng(0).normal(size=(200, D))
    gaps = [
        np.linalg.norm(
            PrototypeClassifier(max_per_class=10, keep=keep)
            .fit(many, [0] * 200)
            .prototypes_
            - many.mean(axis=0)
        )
        for keep in ("herding", "random")
    ]
    assert gaps[0] < 0.3 * gaps[1]


@pytest.mark.parametrize(
    ("points", "weight"),
    [
        ([0, 4, 6], [1, 3, 3]),  # to 30/7 first 4, then with it 30/6, not 12/4
        ([0, 4, 10], [1, 10, 1]),  # to 50/12 first 4, then with it 50/11, not 40/11
    ],
)
def test_herding_keeps_the_weighted_mean(points, weight):
    clf = PrototypeClassifier(max_per_class=2)
    clf.fit(np.reshape(points, (3, 1)), [0] * 3, sample_weight=weight)
    assert clf.support_.id.tolist() == [1, 2]


@pytest.mark.parametrize("keep", ["herding", "random"])
def test_samples_without_weight_go_first(keep):
    clf = PrototypeClassifier(max_per_class=2, keep=keep)
    weight = np.tile([0, 1, 0, 0], 3)
    clf.fit(X, Y, sample_weight=weight)
    assert_array_equal(clf.counts_, [1, 1, 1])
    assert_allclose(clf.prototypes_, X[1::4])
    assert_array_equal(clf.support_.class_count, [2] * 6)


def test_a_bound_needs_samples():
    clf = PrototypeClassifier(store="sums", max_per_class=3)
    with pytest.raises(ValueError, match="max_per_class needs samples one by one"):
        clf.fit(X, Y)
    tree = KNeighborsClassifier(algorithm="kd_tree", max_per_class=3)
    with pytest.raises(ValueError, match="max_per_class needs samples that may come"):
        tree.fit(X, Y)
    with pytest.raises(ValueError, match="'max_per_class' parameter"):
        PrototypeClassifier(max_per_class=0).fit(X, Y)


def test_the_table_is_not_in_reprs_and_pickles(clf):
    fit(clf, X, Y, [f"secret {i}" for i in range(12)])
    size = len(pickle.dumps(clf))
    assert "secret" not in clf._repr_html_() + repr(clf)
    assert clf.support_ is not None
    assert len(pickle.dumps(clf)) == size
    assert not hasattr(clone(clf), "support_")


def test_metadata_routing_takes_ids():
    ids = list("abcdefghijkl")
    with sklearn.config_context(enable_metadata_routing=True):
        last = PrototypeClassifier().set_fit_request(ids=True)
        last.set_partial_fit_request(ids="photo_ids")
        pipe = FewShotPipeline([("scaler", StandardScaler()), ("clf", last)])
        pipe.fit(X, Y, ids=ids).partial_fit(X[:1], ["dog"], photo_ids=["x"])
        assert pipe.support_.id.tolist() == [*ids, "x"]


def test_readers_see_one_state_while_samples_come_and_go(clf):
    fit(clf, X, Y)
    committed = [clf.predict_proba(QUERIES)]
    add(clf, QUERIES[:3], ["ant", "bee", "ant"])
    committed.append(clf.predict_proba(QUERIES))
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(clf.predict_proba(QUERIES))
            assert len(set(map(len, clf.support_.values()))) == 1

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        clf.forget_samples(clf.support_.id[-3:])
        add(clf, QUERIES[:3], ["ant", "bee", "ant"])
    stop.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 10
    assert all(any(np.allclose(p, c, atol=1e-6) for c in committed) for p in seen)


def test_what_keeps_no_samples_refuses_ids():
    clf = PrototypeClassifier(store="sums").fit(X, Y)
    with pytest.raises(ValueError, match="ids are those of stored samples"):
        clf.partial_fit(X, Y, ids=range(12))
    with pytest.raises(ValueError, match="forget_samples needs samples one by one"):
        clf.forget_samples(3)
    with pytest.raises(ValueError, match="suspicious_support needs samples one by"):
        clf.suspicious_support()
    with pytest.raises(AttributeError, match="keeps no samples"):
        _ = clf.support_
    tree = KNeighborsClassifier(algorithm="kd_tree")
    with pytest.raises(ValueError, match="ids needs samples that may come"):
        tree.fit(X, Y, ids=range(12))
    with pytest.raises(ValueError, match="forget_samples needs algorithm='brute'"):
        tree.fit(X, Y).forget_samples(3)
    with pytest.raises(ValueError, match="suspicious_support needs samples that may"):
        tree.suspicious_support()
    assert not hasattr(tree, "support_")


def test_a_class_keeps_a_weight_or_nothing_changes():
    clf = PrototypeClassifier().fit(X[:3], ["a", "a", "b"], sample_weight=[0, 1, 1])
    with pytest.raises(ValueError, match="sample_weight of class 'a' sums to zero"):
        clf.forget_samples(1)
    assert clf.forget_samples(0).counts_.tolist() == [1, 1]


def test_prototypes_stay_exact_over_ten_thousand_changes():
    """Samples come and go beside others that are 10^12 times as large."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(2, 3))
    clf = PrototypeClassifier().fit(first, [0, 1])
    stored = {0: (first[0], 0), 1: (first[1], 1)}
    following, checked = 2, 0
    for step in range(10_000):
        room = len(stored) < 60
        if rng.random() < (0.6 if room else 0.3):
            n = rng.integers(1, 4)
            more, y = rng.normal(size=(n, 3)), rng.integers(0, 9, n)
            more *= 10.0 ** rng.integers(0, 13)
            clf.partial_fit(more, y)
            for sample in zip(more, y, strict=True):
                stored[following] = sample
                following += 1
        elif len(labels := {y for _, y in stored.values()}) > 1:
            if rng.random() < 0.1:
                gone = rng.choice(sorted(labels))
                clf.forget(gone)
                stored = {i: v for i, v in stored.items() if v[1] != gone}
            else:
                gone = rng.choice(sorted(stored), min(2, len(stored) - 1), False)
                left = {i: v for i, v in stored.items() if i not in gone}
                clf.forget_samples(gone)
                stored = left
        if step % 100 == 99:
            rest, y = map(np.array, zip(*stored.values(), strict=True))
            expected = PrototypeClassifier().fit(rest, y)
            assert_array_equal(clf.classes_, expected.classes_)
            assert_array_equal(clf.counts_, expected.counts_)
            for label, prototype, exact in zip(
                clf.classes_, clf.prototypes_, expected.prototypes_, strict=True
            ):
                eps = 1e-14 * np.abs(rest[y == label]).max()
                assert_allclose(prototype, exact, rtol=0, atol=eps)
                checked += 1
            assert_array_equal(clf.support_.id, list(stored))
    assert checked > 500
