"""SiameseTransformer on files: all that takes samples takes paths."""

import re
import time
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skfsl import (
    FewShotPipeline,
    PrototypeClassifier,
    SiameseClassifier,
    SiameseTransformer,
)
from skfsl.encoders import Conv4
from skfsl.exceptions import BadFilesWarning
from skfsl.images import _decode, read_images
from skfsl.model_selection import (
    EpisodicScorer,
    compare_few_shot,
    estimate_support_score,
    few_shot_report,
    iter_episodes,
    make_episodic_scorer,
    train_test_class_split,
)
from skfsl.siamese import DistanceMatrixCallback, _files
from skfsl.siamese._files import apply_to_samples

SIZE = 24
N_CLASSES, N_EACH = 6, 5


def siamese(**params):
    settings = {"max_epochs": 1, "random_state": 0, "device": "cpu", "image_size": SIZE}
    return SiameseTransformer(**{**settings, **params})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Noisy pictures of six patterns: paths and labels."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    paths, labels = [], []
    for label in range(N_CLASSES):
        pattern = rng.integers(0, 200, (4, 6, 3))
        for i in range(N_EACH):
            pixels = (pattern + rng.integers(0, 40, pattern.shape)).astype(np.uint8)
            path = folder / f"{label}-{i}.png"
            Image.fromarray(pixels).resize((36, 24)).save(path)
            paths.append(str(path))
            labels.append(f"class {label}")
    return np.array(paths, dtype=object), np.array(labels)


def close(a, b):
    # Not to the last bit: convolutions of few images are summed in another order.
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def fitted(photos):
    return siamese().fit(*photos)


@pytest.fixture(scope="module")
def with_bad(photos, tmp_path_factory):
    """The same with two bad files among them, and which rows are good."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty.jpg").touch()
    X = np.insert(
        photos[0], [0, 7], [str(folder / "empty.jpg"), str(folder / "no.png")]
    )
    y = np.insert(photos[1], [0, 7], ["class 5", "class 0"])
    return X, y, ~np.isin(np.arange(len(X)), [0, 8])


def test_files_are_the_arrays_that_they_hold(photos, fitted):
    X, y = photos
    arrays = read_images(X, image_size=SIZE)
    on_arrays = siamese(image_size=None).fit(arrays, y)
    assert fitted.input_shape_ == on_arrays.input_shape_ == (3, SIZE, SIZE)
    assert fitted.fit_id_ == on_arrays.fit_id_
    expected = on_arrays.transform(arrays)
    for model in (fitted, on_arrays):
        for samples in (X, arrays):
            assert (model.transform(samples) == expected).all()


@pytest.mark.parametrize("cached", [False, True])
def test_beyond_the_budget_the_training_is_the_same(photos, fitted, tmp_path, cached):
    X, y = photos
    params = {"memory_budget": 3 * SIZE * SIZE * 4}
    if cached:
        params["cache"] = tmp_path / "cache"
    model = siamese(**params).fit(X, y)
    assert model.fit_id_ == fitted.fit_id_
    assert (model.transform(X) == fitted.transform(X)).all()
    assert model._trained_on(X).all()
    assert len(list(tmp_path.glob("cache/*.rows"))) == cached


def test_validation_classes_may_be_on_disk(photos):
    X = np.tile(photos[0], 2)
    y = np.array(
        [f"{label} {i // 30}" for i, label in enumerate(np.tile(photos[1], 2))]
    )
    params = {
        "validation_fraction": 0.5,
        "head": "cosine",
        "loss": "proxy_anchor",
    }
    ids = {
        siamese(**params, memory_budget=budget)
        .fit(X, y)
        .partial_fit(X, y[::-1])
        .fit_id_
        for budget in (0, 2**30)
    }
    assert len(ids) == 1


@pytest.mark.parametrize("make", [list, pd.Series, pl.Series, lambda X: X[:, None]])
def test_paths_of_any_kind_embed_alike(photos, fitted, make):
    assert (fitted.transform(make(photos[0])) == fitted.transform(photos[0])).all()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_boxes_are_cut_out(photos, fitted, frame):
    X = photos[0][:2]
    boxed = frame({"path": list(X), "box": [[6, 0, 30, 24], None]})
    arrays = read_images(X, image_size=(24, 36))
    expected = fitted.transform(arrays[:1, :, :, 6:30])
    got = fitted.transform(boxed)
    close(got[:1], expected)
    close(got[1:], fitted.transform(X[1:]))


def test_tables_of_pyarrow_are_taken(with_bad, fitted):
    pa = pytest.importorskip("pyarrow", exc_type=ImportError)
    X, y, good = with_bad
    table = pa.table({"path": list(X)})
    with pytest.warns(BadFilesWarning, match="2 of 32"):
        model = siamese(on_error="skip").fit(table, pa.array(y))
    assert model.fit_id_ == fitted.fit_id_
    embeddings = fitted.transform(table.filter(pa.array(good)))
    assert (embeddings == fitted.transform(X[good])).all()
    wrong = pa.table({"file": list(X), "weight": [1.0] * len(X)})
    with pytest.raises(ValueError, match=r"in the columns \['file'\]\. .* 'path'"):
        siamese().fit(wrong, y)


def test_pairs_and_similarities(photos, fitted):
    X = photos[0]
    scores = fitted.similarity(X[:4], X[4:7])
    assert scores.shape == (4, 3)
    pairs = np.stack([X[:3], X[4:7]], axis=1)
    for given in (pairs, pairs.tolist()):
        np.testing.assert_allclose(
            fitted.pair_score(given), scores[:3].diagonal(), rtol=1e-4, atol=1e-5
        )


def test_views_of_files(photos, fitted):
    X = photos[0][:5]
    model = clone(fitted).set_params(views="flips").fit(*photos)
    arrays = read_images(X, image_size=SIZE)
    assert (model.transform(X) == model.transform(arrays)).all()
    assert not (model.transform(X) == fitted.transform(X)).all()


def test_partial_fit_keeps_the_size(photos):
    X, y = photos
    model = siamese().fit(X[:20], y[:20]).set_params(image_size=50)
    model.partial_fit(X[20:], y[20:])
    assert model.input_shape_ == (3, SIZE, SIZE)
    assert model.classes_.tolist() == np.unique(y).tolist()


class Sized(Conv4):
    image_size = 40


def test_the_size_is_the_encoders_own_or_84(photos):
    params = {"max_epochs": 0, "image_size": None}
    assert siamese(**params).fit(*photos).input_shape_ == (3, 84, 84)
    named = siamese(**params, encoder=Sized()).fit(*photos)
    assert named.input_shape_ == (3, 40, 40)
    pair = siamese(max_epochs=0, image_size=(16, 32)).fit(*photos)
    assert pair.input_shape_ == (3, 16, 32)


def test_resize_is_a_choice(photos):
    shapes = [
        siamese(max_epochs=0, resize=resize).fit(*photos).transform(photos[0])
        for resize in ("pad", "crop", "squash")
    ]
    assert not np.allclose(shapes[0], shapes[1])
    assert not np.allclose(shapes[1], shapes[2])


def test_all_bad_files_are_one_error_and_nothing_is_changed(photos, with_bad, fitted):
    X, y, _ = with_bad
    model = clone(fitted)
    for act in (lambda: model.fit(X, y), lambda: fitted.transform(X)):
        with pytest.raises(ValueError, match=r"2 of 32 .*row 0, .*empty.*; row 8, "):
            act()
    assert not hasattr(model, "net_")


def test_bad_files_are_named_beyond_the_first_block(with_bad, fitted, monkeypatch):
    monkeypatch.setattr("skfsl.siamese._files._BLOCK", 3 * SIZE * SIZE * 3)
    with pytest.raises(ValueError, match=r"2 of 32 .*row 0, .*empty.*; row 8, "):
        fitted.transform(with_bad[0])


def test_skipped_files_are_left_out_of_training(photos, with_bad, fitted):
    X, y, _ = with_bad
    groups = np.array([label[-1] for label in y])
    with pytest.warns(
        BadFilesWarning, match="2 of 32 image files cannot be read: row 0"
    ):
        model = siamese(on_error="skip").fit(X, y, groups=groups)
    assert model.fit_id_ == siamese().fit(*photos, groups=groups[with_bad[2]]).fit_id_


def test_skipped_files_are_rows_of_nan(photos, with_bad, monkeypatch):
    X, _, good = with_bad
    model = siamese(on_error="skip").fit(*photos)
    expected = model.transform(photos[0])
    # In one block and in several, one of which has no good file.
    for block in (2**26, 3 * SIZE * SIZE):
        monkeypatch.setattr("skfsl.siamese._files._BLOCK", block)
        with pytest.warns(BadFilesWarning, match="2 of 32"):
            embeddings = model.transform(X)
        assert embeddings.dtype == np.float32
        assert np.isnan(embeddings[~good]).all()
        close(embeddings[good], expected)
        assert (model._trained_on(X) == good).all()
    with pytest.warns(BadFilesWarning, match="1 of 1"):
        alone = model.transform(X[:1])
    assert alone.shape == (1, expected.shape[1])
    assert np.isnan(alone).all()


def test_fit_transform_names_skipped_files_once(photos, with_bad):
    X, y, good = with_bad
    model = siamese(on_error="skip", image_size=[SIZE, SIZE])
    with pytest.warns(BadFilesWarning, match="2 of 32") as told:
        embeddings = model.fit_transform(X, y)
    assert len(told) == 1
    assert (np.isnan(embeddings).all(axis=1) == ~good).all()
    close(embeddings[good], model.transform(photos[0]))


@pytest.mark.filterwarnings("ignore::skfsl.exceptions.BadFilesWarning")
def test_distance_matrices_name_skipped_files(photos, with_bad):
    watch = DistanceMatrixCallback(with_bad[0])
    with pytest.raises(ValueError, match=r"\[0, 8\] .*drop_bad_files"):
        siamese(on_error="skip", callbacks=[watch]).fit(*photos)


def test_without_any_good_file_there_is_nothing_to_learn(with_bad):
    X = with_bad[0][[0, 8, 0, 8]]
    with (
        pytest.warns(BadFilesWarning),
        pytest.raises(ValueError, match="None of the 4 image files can be read"),
    ):
        siamese(on_error="skip").fit(X, ["a", "a", "b", "b"])


@pytest.mark.filterwarnings("ignore::skfsl.exceptions.BadFilesWarning")
def test_a_classifier_leaves_skipped_files_out(photos, with_bad):
    X, y, _ = with_bad
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf = SiameseClassifier(siamese(on_error="skip")).fit(X, y)
    expected = SiameseClassifier(siamese()).fit(*photos)
    assert clf.counts_.tolist() == expected.counts_.tolist()
    assert (clf.predict(photos[0]) == expected.predict(photos[0])).all()
    with pytest.raises(ValueError, match=r"\[0, 8\]"):
        clf.predict(X)


@pytest.mark.filterwarnings("ignore::skfsl.exceptions.BadFilesWarning")
@pytest.mark.filterwarnings("ignore::skfsl.exceptions.SeenSamplesWarning")
def test_scores_leave_skipped_files_out(photos, with_bad):
    X, y, _ = with_bad
    model = siamese(on_error="skip").fit(*photos)
    other = siamese(on_error="skip", max_epochs=0).fit(*photos)
    clf = SiameseClassifier(FrozenEstimator(model)).fit(*photos)
    pipe = make_pipeline(FrozenEstimator(model), PrototypeClassifier())
    both = {"one": model, "other": other}
    episodes = {"n_way": 3, "n_episodes": 20, "random_state": 0}
    scorer = make_episodic_scorer(**episodes)
    for judge in (
        lambda X, y: scorer(model, X, y),
        lambda X, y: scorer(clf, X, y),
        lambda X, y: few_shot_report(pipe, X, y, **episodes),
        lambda X, y: compare_few_shot(both, X, y, **episodes),
        lambda X, y: estimate_support_score(pipe, X, y, random_state=0).accuracy,
    ):
        assert judge(X, y) == judge(*photos)


def test_an_error_does_not_wait_for_the_files_that_are_read_ahead(
    photos, fitted, monkeypatch
):
    n_read = 0

    def read(*args):
        nonlocal n_read
        n_read += 1
        time.sleep(0.01)
        return np.zeros((3, SIZE, SIZE), dtype=np.uint8)

    def interrupt(samples):
        raise KeyboardInterrupt

    monkeypatch.setattr(_decode, "read_image", read)
    monkeypatch.setattr(_files, "_BLOCK", 1000 * 3 * SIZE * SIZE)
    with pytest.raises(KeyboardInterrupt):
        apply_to_samples(fitted, [photos[0][0]] * 2000, interrupt)
    assert 1000 <= n_read < 1500


def test_text_is_no_file(fitted):
    with pytest.raises(ValueError, match="'my card is lost' is no file: raw text has"):
        fitted.transform(["my card is lost"])


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_frame_without_a_column_path_names_those_of_strings(photos, fitted, make):
    X, y = photos
    frame = make({"file": list(map(str, X)), "weight": [1.0] * len(X)})
    for call in (siamese().fit, lambda X, y: fitted.transform(X)):
        with pytest.raises(ValueError, match=r"in the columns \['file'\]\. .* 'path'"):
            call(frame, y)


@pytest.mark.parametrize("X", [[], np.array([], dtype=object), pd.DataFrame()])
def test_no_samples_are_told_of(fitted, X):
    with pytest.raises(ValueError, match=r"0 sample\(s\) while a minimum of 1"):
        fitted.transform(X)


def test_files_are_no_table(photos):
    model = siamese(image_size=None).fit(np.eye(8), [0, 0, 1, 1, 2, 2, 3, 3])
    with pytest.raises(ValueError, match=r"shape \(8,\)\. Got image files"):
        model.transform(photos[0])
    gray = siamese(image_size=None).fit(np.ones((4, 9, 9)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"shape \(1, 9, 9\)\. Got image files"):
        gray.transform(photos[0])
    with pytest.raises(ValueError, match="Got a table"):
        siamese().fit(*photos).transform(np.ones((2, 3)))


def test_as_many_labels_as_files(photos, monkeypatch):
    monkeypatch.setattr(_decode, "read_image", None)  # told before anything is read
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        siamese().fit(photos[0], photos[1][1:])


@pytest.mark.parametrize(
    "params",
    [{"resize": "stretch"}, {"on_error": "ignore"}, {"image_size": 0}, {"cache": 5}],
)
def test_settings_are_checked_when_they_are_used(photos, params):
    model = siamese().fit(*photos).set_params(**params)
    for use in (lambda: model.fit(*photos), lambda: model.transform(photos[0])):
        with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
            use()


def test_reading_tells_its_progress(photos, monkeypatch, capsys):
    monkeypatch.setattr(_decode, "_SECONDS", 0)
    model = siamese(verbose=1).fit(*photos)
    model.transform(photos[0])
    lines = re.findall(
        r"^Read 30/30 images, .* 0 s left$", capsys.readouterr().out, re.M
    )
    assert len(lines) == 2


def test_a_pipeline_learns_new_classes_from_files(photos):
    X, y = photos
    pipe = FewShotPipeline([("siamese", siamese()), ("clf", PrototypeClassifier())])
    pipe.fit(X[:20], y[:20]).partial_fit(X[20:22], y[20:22])
    assert pipe.predict(list(X[22:24])).shape == (2,)
    assert len(pipe.classes_) == 5


def test_cross_validation_and_searches_split_files(photos):
    X, y = photos
    pipe = make_pipeline(siamese(), KNeighborsClassifier(1))
    for files in (list(X), X, pd.Series(X), pd.DataFrame({"path": X})):
        assert cross_val_score(pipe, files, y, cv=2).shape == (2,)


def test_a_search_in_two_processes_takes_files(photos, tmp_path):
    X, y = photos
    pipe = make_pipeline(siamese(cache=tmp_path / "cache"), KNeighborsClassifier(1))
    grid = {"siamesetransformer__lr": [1e-3, 1e-2]}
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_column_of_a_table_may_be_files(photos):
    X, y = photos
    frame = pd.DataFrame({"path": X, "price": np.arange(30.0)})
    columns = ColumnTransformer(
        [("photo", siamese(), ["path"]), ("rest", "passthrough", ["price"])]
    )
    out = columns.fit_transform(frame, y)
    assert out.shape[1] == siamese().fit(X, y).transform(X).shape[1] + 1
    assert columns.get_feature_names_out()[-1] == "rest__price"
    pipe = make_pipeline(columns, KNeighborsClassifier(1))
    assert cross_val_score(pipe, frame, y, cv=2).shape == (2,)


@pytest.mark.parametrize("make", [list, np.array, pd.Series])
def test_episodes_are_of_files(photos, make):
    X_train, X_test, y_train, y_test = train_test_class_split(
        make(photos[0]), photos[1], test_size=3, random_state=0
    )
    episodes = list(
        iter_episodes(X_test, y_test, n_way=2, n_episodes=3, random_state=0)
    )
    assert len(episodes) == 3
    scorer = EpisodicScorer(n_way=3, n_shot=1, n_episodes=10, random_state=0)
    model = siamese().fit(X_train, y_train)
    arrays = read_images(X_test, image_size=SIZE)
    assert scorer(model, X_test, y_test) == scorer(model, arrays, y_test)
    report = few_shot_report(
        model, X_test, y_test, n_way=[3], n_shot=[1], n_episodes=10, random_state=0,
        output="dict",
    )  # fmt: skip
    assert report


@pytest.mark.gpu
@pytest.mark.parametrize("budget", [0, 2**30])
def test_files_are_the_arrays_that_they_hold_on_a_gpu_too(photos, budget):
    X, y = photos
    model = siamese(device="cuda", memory_budget=budget).fit(X, y)
    on_arrays = siamese(device="cuda").fit(read_images(X, image_size=SIZE), y)
    assert model.fit_id_ == on_arrays.fit_id_
    assert np.isfinite(model.transform(X)).all()
