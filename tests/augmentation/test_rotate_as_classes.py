import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skfsl.augmentation import rotate_as_classes


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((6, 5, 5), (1, 2)), ((6, 3, 5, 5), (2, 3)), ((6, 5, 5, 3), (1, 2))],
)
def test_turns_are_quarter_turns_in_each_layout(rng, shape, axes):
    X = rng.integers(0, 255, shape, dtype=np.uint8)
    turned, y = rotate_as_classes(X, np.arange(6) % 2)
    assert turned.dtype == np.uint8
    assert turned.shape == (24, *shape[1:])
    np.testing.assert_array_equal(turned[:6], X)
    for k in range(4):
        back = np.rot90(turned[6 * k : 6 * k + 6], -k, axes)
        np.testing.assert_array_equal(back, X)
    assert len(np.unique(y)) == 8


def test_tensors_give_tensors():
    X = torch.arange(50.0).reshape(2, 1, 5, 5)
    turned, y = rotate_as_classes(X, ["a", "b"])
    assert isinstance(turned, torch.Tensor)
    np.testing.assert_array_equal(turned, rotate_as_classes(X.numpy(), ["a", "b"])[0])
    assert y[2] == "a@90"


@given(y=st.lists(st.integers(-1000, 1000), min_size=1, max_size=20))
def test_integer_labels_never_collide(y):
    turned = rotate_as_classes(np.zeros((len(y), 2, 2)), y)[1]
    assert turned.dtype.kind == "i"
    np.testing.assert_array_equal(turned[: len(y)], y)
    assert len(np.unique(turned)) == 4 * len(set(y))
    # The same label gives the same turned label.
    pairs = set(zip(np.tile(y, 4).tolist(), turned.tolist(), strict=True))
    assert len(pairs) == 4 * len(set(y))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, bool])
def test_labels_outgrow_a_small_dtype(dtype):
    y = np.arange(100).astype(dtype)
    turned = rotate_as_classes(np.zeros((100, 2, 2)), y)[1]
    assert len(np.unique(turned)) == 4 * len(np.unique(y))
    assert turned.min() >= 0


def test_small_dtype_is_kept_where_it_suffices():
    assert (
        rotate_as_classes(np.zeros((2, 2, 2)), np.array([0, 1], "i2"))[1].dtype == "i2"
    )


@pytest.mark.parametrize(
    "y",
    [
        np.array([2**63 - 2, 2**63 - 1]),
        np.array([-(2**63), 2**63 - 1]),
        np.array([2**64 - 5, 2**64 - 4], dtype=np.uint64),
        np.array([0, 2**63], dtype=np.uint64),
        np.array([0.0, 2.0**53]),
    ],
)
def test_labels_without_room_for_turns_are_refused(y):
    with pytest.raises(ValueError, match="leave no room"):
        rotate_as_classes(np.zeros((2, 2, 2)), y)


@pytest.mark.parametrize(("dtype", "large"), [("f4", 2**24), ("f2", 2**11)])
def test_labels_of_small_floats_do_not_collide(dtype, large):
    y = rotate_as_classes(np.zeros((2, 2, 2)), np.array([0, large], dtype))[1]
    assert len(np.unique(y)) == 8


def test_large_unsigned_labels_stay_unsigned():
    y = np.array([2**63, 2**63 + 1], dtype=np.uint64)
    turned = rotate_as_classes(np.zeros((2, 2, 2)), y)[1]
    assert [int(v) - 2**63 for v in turned] == list(range(8))


def test_a_list_of_tensors_is_turned():
    X = torch.arange(8.0).reshape(2, 2, 2).requires_grad_()
    turned = rotate_as_classes(list(X), [0, 1])[0]
    np.testing.assert_array_equal(turned[:2], X.detach().numpy())


def test_string_labels_are_not_cut_off():
    y = rotate_as_classes(np.zeros((2, 2, 2)), ["cat", "elephant"])[1]
    assert list(y[2:4]) == ["cat@90", "elephant@90"]
    assert y[7] == "elephant@270"


def test_a_taken_label_raises():
    with pytest.raises(ValueError, match=r"'a@90' is in y already"):
        rotate_as_classes(np.zeros((2, 2, 2)), ["a", "a@90"])


@pytest.mark.parametrize(
    ("shape", "kwargs", "match"),
    [
        ((2, 4, 6), {}, "height 4 and width 6"),
        ((2, 3, 4, 6), {}, "height 4 and width 6"),
        ((2, 9), {}, r"Expected images .* shape \(2, 9\)"),
        ((2, 3, 3, 3), {}, "input_layout='channels_first'"),
        ((2, 5, 5, 5), {}, "input_layout='channels_first'"),
        ((2, 4, 4), {"input_layout": "nchw"}, "'input_layout' parameter"),
        ((3, 4, 4), {}, r"inconsistent numbers of samples: \[3, 2\]"),
    ],
)
def test_bad_images_raise(shape, kwargs, match):
    with pytest.raises(ValueError, match=match):
        rotate_as_classes(np.zeros(shape), [0, 1], **kwargs)


def test_a_named_layout_decides():
    X = np.arange(54.0).reshape(2, 3, 3, 3)
    first = rotate_as_classes(X, [0, 1], input_layout="channels_first")[0]
    np.testing.assert_array_equal(first[2:4], np.rot90(X, axes=(2, 3)))
