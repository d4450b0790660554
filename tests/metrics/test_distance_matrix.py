"""DistanceMatrixDisplay: classes stand out as blocks."""

import builtins
import itertools
import sys
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfsl.metrics import DistanceMatrixDisplay

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


class Metric(TransformerMixin, BaseEstimator):
    """Doubles X, and says by which metric it is to be read."""

    def __init__(self, metric="manhattan"):
        self.metric_ = metric

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X) * 2


class Similar(Metric):
    """Has no plain metric, but scores."""

    def __init__(self):
        self.metric_ = None

    def similarity(self, X, Y=None):
        return np.asarray(X) @ np.asarray(X if Y is None else Y).T


@pytest.fixture
def data(rng):
    y = np.array(["b", "a", "b", "c", "a", "b"])
    return rng.normal(size=(6, 3)), y


ORDER = [1, 4, 0, 2, 5, 3]  # of that y, sorted and stable


def test_set_against_itself_is_sorted_by_class(data):
    X, y = data
    display = DistanceMatrixDisplay.from_estimator(Metric(), X, y)
    expected = pairwise_distances(2 * X[ORDER], metric="manhattan")
    np.testing.assert_allclose(display.distances, expected)
    np.testing.assert_array_equal(display.y, sorted(y))
    np.testing.assert_allclose(display.im_.get_array(), expected)
    assert display.im_.axes is display.ax_
    assert display.ax_.figure is display.figure_


def test_queries_stay_in_order_and_the_support_set_is_sorted(data, rng):
    X, y = data
    Q, yq = rng.normal(size=(4, 3)), np.array(["c", "a", "c", "b"])
    display = DistanceMatrixDisplay.from_estimator(
        Metric(), Q, yq, X_support=X, y_support=y
    )
    expected = pairwise_distances(2 * Q, 2 * X[ORDER], metric="manhattan")
    np.testing.assert_allclose(display.distances, expected)
    np.testing.assert_array_equal(display.y, yq)
    np.testing.assert_array_equal(display.y_support, sorted(y))
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == list("cacb")
    assert display.ax_.get_xlabel() == "support set"


def test_labels_stand_at_the_middles_and_lines_between(data):
    ax = DistanceMatrixDisplay.from_estimator(Metric(), *data).ax_
    for axis in (ax.xaxis, ax.yaxis):
        np.testing.assert_allclose(axis.get_ticklocs(), [0.5, 3.0, 5.0])
        assert [t.get_text() for t in axis.get_ticklabels()] == ["a", "b", "c"]
    down, across = DistanceMatrixDisplay.from_estimator(Metric(), *data).lines_
    assert [s[0][0] for s in down.get_segments()] == [1.5, 4.5]
    assert [s[0][1] for s in across.get_segments()] == [1.5, 4.5]


def test_queries_without_labels(data):
    X, y = data
    display = DistanceMatrixDisplay.from_estimator(
        Metric(), X, None, X_support=X, y_support=y
    )
    assert len(display.ax_.get_yticks()) == 0
    assert len(display.lines_) == 1


@pytest.mark.parametrize("wrap", [lambda e: e, FrozenEstimator, make_pipeline])
def test_learned_metric_is_found(wrap, data):
    X, y = data
    display = DistanceMatrixDisplay.from_estimator(wrap(Metric()), X, y)
    assert display.distance_name == "manhattan distance"


@pytest.mark.parametrize("metric", ["cosine", lambda a, b: abs(a[0] - b[0])])
def test_metric_that_is_asked_for(metric, data):
    X, y = data
    display = DistanceMatrixDisplay.from_estimator(Metric(), X, y, metric=metric)
    expected = pairwise_distances(2 * X[ORDER], metric=metric)
    np.testing.assert_allclose(display.distances, expected)


@pytest.mark.parametrize("support", [False, True])
def test_similarity_where_there_is_no_plain_metric(support, data):
    X, y = data
    pipe = make_pipeline(StandardScaler(), Similar(), LogisticRegression()).fit(X, y)
    Z = pipe[0].transform(X)
    kwargs = {"X_support": X, "y_support": y} if support else {}
    display = DistanceMatrixDisplay.from_estimator(pipe, X, y, **kwargs)
    rows = Z if support else Z[ORDER]
    np.testing.assert_allclose(display.distances, -(rows @ Z[ORDER].T))
    assert display.distance_name == "negative similarity"


def test_pipeline_is_used_without_its_classifier(data):
    X, y = data
    pipe = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    display = DistanceMatrixDisplay.from_estimator(pipe, X, y)
    expected = pairwise_distances(pipe[0].transform(X)[ORDER])
    np.testing.assert_allclose(display.distances, expected)
    alone = make_pipeline("passthrough", LogisticRegression()).fit(X, y)
    display = DistanceMatrixDisplay.from_estimator(alone, X, y)
    np.testing.assert_allclose(display.distances, pairwise_distances(X[ORDER]))


def test_plots_on_given_axes_and_again(data):
    figure, ax = plt.subplots()
    display = DistanceMatrixDisplay.from_estimator(
        Metric(), *data, ax=ax, colorbar=False, im_kw={"vmax": 3}, cmap="magma"
    )
    assert (display.ax_, display.figure_) == (ax, figure)
    assert figure.axes == [ax]
    assert display.im_.get_clim()[1] == 3
    assert display.plot().ax_ is not ax


def _overlaps(ax, axis):
    ax.figure.canvas.draw()
    labels = [t for t in axis.get_ticklabels() if t.get_text()]
    boxes = [t.get_window_extent() for t in labels]
    return sum(a.overlaps(b) for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize("n_classes", [3, 10, 60, 150])
@pytest.mark.parametrize("name", ["{}", "Alphabet_of_the_Magi/character{:03d}"])
@pytest.mark.parametrize("equal", [True, False])
def test_labels_are_legible(n_classes, name, equal, rng):
    counts = 3 if equal else rng.integers(1, 12, n_classes)
    y = np.repeat([name.format(i) for i in range(n_classes)], counts)
    distances = rng.random((len(y), len(y)))
    ax = DistanceMatrixDisplay.from_distances(distances, y).ax_
    assert _overlaps(ax, ax.xaxis) == 0
    assert _overlaps(ax, ax.yaxis) == 0
    assert max(ax.figure.get_size_inches()) < 12
    shown = [t for t in ax.get_yticklabels() if t.get_text()]
    assert len(shown) >= min(n_classes, 30) * (1 if equal else 0.7)
    assert min(t.get_fontsize() for t in shown) >= 5


def test_rotation_of_the_labels(data):
    plot = DistanceMatrixDisplay.from_estimator
    for rotation, degrees in (("vertical", 90), (45, 45), ("auto", 0)):
        ax = plot(Metric(), *data, xticks_rotation=rotation).ax_
        assert {t.get_rotation() for t in ax.get_xticklabels()} == {degrees}


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"X_support": [[0.0]]}, ValueError, "belong together"),
        ({"y_support": [0]}, ValueError, "belong together"),
        ({"y": None}, ValueError, "y is needed"),
        ({"y": [1, 2]}, ValueError, "inconsistent numbers of samples"),
        ({"estimator": LogisticRegression()}, TypeError, "which has no 'transform'"),
    ],
)
def test_bad_input_of_from_estimator(kwargs, error, match, data):
    kwargs = {"estimator": Metric(), "X": data[0], "y": data[1], **kwargs}
    with pytest.raises(error, match=match):
        DistanceMatrixDisplay.from_estimator(**kwargs)


def test_bad_shape_of_distances():
    with pytest.raises(ValueError, match=r"\(3, 2\) have 2 columns for 3 labels"):
        DistanceMatrixDisplay.from_distances(np.ones((3, 2)), [0, 0, 1])
    with pytest.raises(ValueError, match="NaN"):
        DistanceMatrixDisplay.from_distances([[0, np.nan], [1, 0]], [0, 1])


def test_missing_matplotlib_is_told_with_its_remedy(monkeypatch, data):
    real = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    display = DistanceMatrixDisplay(np.eye(2), y=np.array([0, 1]))
    for act in (
        lambda: DistanceMatrixDisplay.from_estimator(Metric(), *data),
        lambda: DistanceMatrixDisplay.from_distances(np.eye(2), [0, 1]),
        display.plot,
    ):
        with pytest.raises(ImportError, match=r"pip install 'skfsl\[plot\]'"):
            act()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tensors_are_shown(dtype):
    torch = pytest.importorskip("torch")
    y = torch.tensor([1.0, 0.0, 1.0], requires_grad=True)
    distances = torch.eye(3, dtype=getattr(torch, dtype), requires_grad=True)
    display = DistanceMatrixDisplay.from_distances(distances, y)
    np.testing.assert_array_equal(display.y, [0, 1, 1])


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (["a", 1, 2], TypeError, "Got a mix of"),
        ([None, 1, 2], ValueError, "Every sample needs a label"),
        ([np.nan, 1, 2], ValueError, "Every sample needs a label"),
    ],
)
def test_bad_labels_are_named(y, error, match):
    with pytest.raises(error, match=match):
        DistanceMatrixDisplay.from_distances(np.eye(3), y)
    with pytest.raises(error, match=match):
        DistanceMatrixDisplay.from_distances(np.eye(3), None, y_support=y)


def test_a_metric_without_a_name_is_called_by_its_type(data):
    X, y = data[:2]
    metric = partial(lambda a, b, power: abs(a - b).sum() ** power, power=2)
    scaler = StandardScaler().fit(X)
    display = DistanceMatrixDisplay.from_estimator(scaler, X, y, metric=metric)
    assert display.distance_name == "partial distance"
