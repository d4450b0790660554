"""Views: the mean embedding of a sample and its changed copies."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from skfsl import SiameseTransformer
from skfsl.encoders import Conv4, ConvNet
from skfsl.siamese._views import check_views

Y = np.repeat(np.arange(4), 6)
X = (np.random.default_rng(0).random((24, 2, 9, 7)) * 200).astype(np.uint8)
TABLE = np.random.default_rng(1).normal(size=(24, 5)).astype(np.float32)


def fitted(**params):
    params = {
        "encoder": Conv4(width=4),
        "max_epochs": 1,
        "random_state": 0,
        "device": "cpu",
        "input_layout": "channels_first",
        **params,
    }
    X_train = TABLE if params["encoder"] == "mlp" else X
    return SiameseTransformer(**params).fit(X_train, Y)


@pytest.fixture(scope="module")
def plain():
    return fitted()


@pytest.fixture
def siamese(plain):
    return copy.copy(plain)


def shifted(image, down, right):
    """Move an image pixel by pixel; outside, the nearest pixel of the edge counts."""
    out = np.empty_like(image)
    _, h, w = image.shape
    for i in range(h):
        for j in range(w):
            row, column = min(max(i - down, 0), h - 1), min(max(j - right, 0), w - 1)
            out[:, i, j] = image[:, row, column]
    return out


def mean_embedding(siamese, copies):
    plain = copy.copy(siamese).set_params(views=None)
    return np.mean([plain.transform(np.stack(c)) for c in copies], axis=0)


def test_shifts_are_the_mean_over_five_pictures(siamese):
    moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    slow = mean_embedding(siamese, [[shifted(x, *m) for x in X] for m in moves])
    siamese.set_params(views="shifts")
    np.testing.assert_allclose(siamese.transform(X), slow, rtol=1e-4, atol=1e-5)


def test_flips_are_the_mean_over_the_picture_and_its_mirror_image(siamese):
    slow = mean_embedding(siamese, [X, X[:, :, :, ::-1]])
    siamese.set_params(views="flips")
    np.testing.assert_allclose(siamese.transform(X), slow, rtol=1e-4, atol=1e-5)


def test_callables_count_beside_the_sample():
    floats = X.astype(np.float32) / 255
    siamese = fitted().fit(floats, Y)
    slow = mean_embedding(siamese, [floats, floats[:, :, ::-1], 0.5 * floats])
    siamese.set_params(views=[lambda x: x.flip(2), lambda x: 0.5 * x])
    np.testing.assert_allclose(siamese.transform(floats), slow, rtol=1e-4, atol=1e-5)


def test_no_views_are_the_plain_embedding(siamese):
    expected = siamese.set_params(views=None).transform(X)
    np.testing.assert_array_equal(siamese.set_params(views=()).transform(X), expected)
    same = siamese.set_params(views=[nn.Identity()]).transform(X)
    np.testing.assert_allclose(same, expected, rtol=1e-6)


def test_a_view_in_place_changes_nobody_elses_picture():
    def darken(x):
        return x.zero_()

    encoder = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(126, 3))
    siamese = fitted(encoder=encoder, views=[darken, torch.neg])
    floats = X.astype(np.float32) / 255
    siamese.fit(floats, Y)
    kept = floats.copy()
    result = siamese.transform(floats)
    np.testing.assert_array_equal(floats, kept)
    slow = mean_embedding(siamese, [floats, 0 * floats, -floats])
    np.testing.assert_allclose(result, slow, rtol=1e-4, atol=1e-5)


def test_the_mean_is_taken_before_the_head_folds():
    siamese = fitted(head="cosine", views="shifts")
    E = siamese.transform(X)
    np.testing.assert_allclose(np.linalg.norm(E, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(siamese.similarity(X), E @ E.T, atol=1e-5)


def test_views_do_not_touch_the_training():
    plain, viewed = fitted(), fitted(views="flips")
    assert plain.fit_id_ == viewed.fit_id_
    assert plain.history_[0]["train_loss"] == viewed.history_[0]["train_loss"]


def test_views_may_be_set_after_fit(siamese):
    plain = siamese.set_params(views=None).transform(X)
    identity = siamese.fit_id_
    assert not np.allclose(siamese.set_params(views="flips").transform(X), plain)
    np.testing.assert_array_equal(siamese.set_params(views=None).transform(X), plain)
    assert siamese.fit_id_ == identity


@pytest.mark.parametrize("views", ["shifts", "flips"])
def test_views_of_images_refuse_tables(views):
    with pytest.raises(
        ValueError, match=rf"views='{views}' are made of images.*\(5,\)"
    ):
        fitted(encoder="mlp", views=views)
    siamese = fitted(encoder="mlp").set_params(views=views)
    with pytest.raises(ValueError, match="X is a table"):
        siamese.transform(TABLE)


@pytest.mark.parametrize("n", [3, 24])
def test_callables_take_tables(n):
    siamese = fitted(encoder="mlp")
    slow = mean_embedding(siamese, [TABLE[:n], -TABLE[:n]])
    siamese.set_params(views=[torch.neg])
    np.testing.assert_allclose(siamese.transform(TABLE[:n]), slow, atol=1e-5)


@pytest.mark.parametrize(
    ("view", "match"),
    [
        (lambda x: x.numpy(), "tensor of floats. Got float32"),
        (lambda x: x > 0, r"tensor of floats. Got torch.bool"),
        (lambda x: x[:1], r"as many samples as it gets. Got shape \(1, 2, 9, 7\)"),
        (lambda x: x.flatten(1), r"Got shape \(24, 126\) for \(24, 2, 9, 7\)"),
    ],
)
def test_bad_answers_of_a_view_raise(siamese, view, match):
    siamese.set_params(views=[view])
    with pytest.raises(ValueError, match=match):
        siamese.transform(X)


@pytest.mark.parametrize("views", ["turns", 3, [3], nn.Identity()])
def test_bad_views_raise(views, siamese):
    with pytest.raises((ValueError, TypeError), match="'views' parameter"):
        fitted(views=views)
    siamese.set_params(views=views)
    with pytest.raises((ValueError, TypeError), match="'views' parameter"):
        siamese.transform(X)


def test_a_view_of_another_size_is_for_the_encoder_to_take():
    siamese = fitted(encoder=ConvNet(1, width=4, pooling="average"))
    siamese.set_params(views=[lambda x: x[:, :, 1:-1, 1:-1]])
    assert siamese.transform(X).shape == (24, 4)


def test_check_views_answers_callables():
    assert check_views(None, (5,)) == ()
    assert len(check_views("shifts", (1, 8, 8))) == 4
    assert len(check_views("flips", (1, 8, 8))) == 1
