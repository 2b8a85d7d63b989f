"""One gate for arrays: the same pixels in whatever layout and dtype, and a named refusal of everything else."""

import inspect

import numpy as np
import pytest
import torch

from seglab import inputs

IDS = np.array([[0, 3, 3, 0], [7, 7, 0, 0], [0, 0, 3, 9]])
NUMPY_INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i2", ">u4", "<i8"]
TORCH_INTEGERS = [torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
                  torch.uint64]


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "negative strides": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "every second": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "read-only": read_only,
    "list": lambda a: a.tolist(),
    "tensor": lambda a: torch.from_numpy(a.copy()),
    "transposed tensor": lambda a: torch.from_numpy(a.T.copy()).T,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gate", [inputs.to_numpy, inputs.label_map, inputs.class_map])
def test_every_layout_becomes_c_order(gate, layout):
    result = gate(LAYOUTS[layout](IDS))
    assert result.flags.c_contiguous and result.dtype.isnative
    np.testing.assert_array_equal(result, IDS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_and_pictures_of_every_layout(layout):
    for gate, value in ((inputs.mask, IDS > 0), (inputs.mask, (IDS > 0) * 1.0), (inputs.finite_image, IDS / 10)):
        result = gate(LAYOUTS[layout](value))
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, value)


@pytest.mark.parametrize("dtype", NUMPY_INTEGERS + TORCH_INTEGERS, ids=str)
def test_every_integer_dtype(dtype):
    cast = lambda a: torch.from_numpy(a).to(dtype) if isinstance(dtype, torch.dtype) else a.astype(dtype)
    for gate in (inputs.label_map, inputs.class_map):
        result = gate(cast(IDS))
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, IDS)
    np.testing.assert_array_equal(inputs.mask(cast((IDS > 0).astype(np.int64))), IDS > 0)


def test_the_result_of_a_label_map_is_a_copy():
    """Metrics and operators write into what they get; the reader's array stays."""
    source = IDS.astype(np.int64)
    inputs.label_map(source)[:] = 1
    inputs.class_map(source)[:] = 1
    np.testing.assert_array_equal(source, IDS)


def test_tensors_that_numpy_cannot_take_as_they_are():
    value = torch.tensor([[0.0, 1.0]], dtype=torch.bfloat16, requires_grad=True)
    np.testing.assert_array_equal(inputs.to_numpy(value), [[0, 1]])
    complex_view = torch.tensor([1 + 2j]).conj()
    assert inputs.to_numpy(complex_view.imag)[0] == -2
    assert inputs.to_numpy(torch.tensor(3)).shape == () and inputs.to_numpy(np.float32(3)).shape == ()


@pytest.mark.parametrize("value, says", [
    (None, "NoneType"), ("cells.png", "str"), ({"a": 1}, "dict"), ([[1, 2], [3]], "rows of different lengths"),
    (np.array(["a"]), "ndarray of <U1"), ([None, 1], "list"),
])
@pytest.mark.parametrize("gate", [inputs.to_numpy, inputs.label_map, inputs.class_map, inputs.mask,
                                  inputs.finite_image])
def test_what_is_no_array_is_named(gate, value, says):
    with pytest.raises(TypeError, match=rf"^cells must .*{says}"):
        gate(value, "cells")


def test_label_maps():
    np.testing.assert_array_equal(inputs.label_map(IDS, contiguous=True), [[0, 1, 1, 0], [2, 2, 0, 0], [0, 0, 1, 3]])
    np.testing.assert_array_equal(inputs.label_map([[5, 5], [9, 9]], contiguous=True), [[1, 1], [2, 2]])
    np.testing.assert_array_equal(inputs.label_map(IDS > 0, allow_bool=True), IDS > 0)
    assert inputs.label_map(IDS[None], dims=(2, 3)).shape == (1, 3, 4)
    large = np.array([[2**40, 0]])
    assert inputs.label_map(large)[0, 0] == 2**40
    for bad, error, says in [
        (IDS > 0, TypeError, "number them first"), (IDS * 1.0, TypeError, "got float64"), (-IDS, ValueError, "got -9"),
        (IDS[0], ValueError, r"\(H, W\), got \(4,\)"), (IDS[None], ValueError, r"\(H, W\), got \(1, 3, 4\)"),
        (IDS[:0], ValueError, r"at least one pixel, got shape \(0, 4\)"),
        (np.array([[2**63]], np.uint64), ValueError, "below 2"),
    ]:
        with pytest.raises(error, match=f"^cells must .*{says}"):
            inputs.label_map(bad, "cells")


def test_class_maps():
    np.testing.assert_array_equal(inputs.class_map(IDS > 0), IDS > 0)
    np.testing.assert_array_equal(inputs.class_map(-IDS), -IDS)              # a negative ignore label is allowed
    assert inputs.class_map(IDS[None]).shape == (1, 3, 4)
    for bad, error, says in [(IDS * 1.0, TypeError, "argmax or a threshold"),
                             (IDS[None, None], ValueError, r"\(H, W\) or \(N, H, W\)")]:
        with pytest.raises(error, match=f"^truth must .*{says}"):
            inputs.class_map(bad, "truth")


def test_masks():
    for bad, error, says in [
        ((IDS > 0) * np.uint8(255), ValueError, "0 and 1, got 0 and 255: divide by 255"),
        ((IDS > 0) * 255.0, ValueError, "divide by 255"),
        (torch.full((2, 2), 255, dtype=torch.uint8), ValueError, "divide by 255"),
        (IDS, ValueError, r"got values 0\.\.9.*labels == id"), (IDS / 10, ValueError, "binary mask"),
        (np.full((2, 2), np.nan), ValueError, "binary mask"), (IDS + 0j, TypeError, "complex"),
        (IDS[0] > 0, ValueError, r"\(H, W\)"), (IDS[:0] > 0, ValueError, "at least one pixel"),
    ]:
        with pytest.raises(error, match=f"^inside must .*{says}"):
            inputs.mask(bad, "inside")
    with pytest.raises(ValueError, match=r"^inside must have shape \(4, 3\), got \(3, 4\)"):
        inputs.mask(IDS > 0, "inside", shape=(4, 3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_pictures_keep_their_precision(dtype):
    picture = (IDS / 10).astype(dtype)
    assert inputs.finite_image(picture).dtype == np.dtype(dtype).newbyteorder("=")


def test_pictures():
    picture = IDS / 10
    assert inputs.finite_image(picture - 0.5).min() == -0.5                   # noise and interpolation pass
    assert inputs.finite_image(picture * 255, unit=False).max() == 229.5
    for bad, error, says in [
        (IDS, TypeError, "floats in 0..1, got int64; divide by"), (IDS.astype(np.uint8), TypeError, "255 for 8 bit"),
        (picture * 255, ValueError, r"in 0\.\.1, got 0\.\.229\.5; divide by"), (picture - 1.5, ValueError, "-1.5"),
        (picture * np.nan, ValueError, "finite, got 12"), (picture - np.inf, ValueError, "finite, got 12"),
        (picture[0], ValueError, r"\(H, W\) or \(N, H, W\), got \(4,\)"), (picture[:0], ValueError, "one pixel"),
    ]:
        with pytest.raises(error, match=f"^photo must .*{says}"):
            inputs.finite_image(bad, "photo")


def test_positive_numbers():
    assert inputs.positive(3, "sigma") == 3.0 and inputs.positive(np.float32(0.5)) == 0.5
    assert inputs.positive(0, "sigma", zero=True) == 0.0
    for bad in (0, -1, float("nan"), float("inf"), None, "2", [1, 2], 10 ** 400, True, np.True_, 1j):
        with pytest.raises(ValueError, match="^sigma must be a finite number > 0, got"):
            inputs.positive(bad, "sigma")
    with pytest.raises(ValueError, match="^sigma must be a finite number >= 0, got -1"):
        inputs.positive(-1, "sigma", zero=True)


def test_whole_numbers():
    for three in (3, np.uint8(3), np.array(3), torch.tensor(3)):
        assert inputs.whole(three, "steps", 1) == 3 and type(inputs.whole(three)) is int
    for bad in (2.0, np.float32(1), "2", None, True, [1], float("nan")):
        with pytest.raises(TypeError, match="^steps must be an integer >= 1, got"):
            inputs.whole(bad, "steps", 1)
    with pytest.raises(ValueError, match="^steps must be an integer >= 1, got 0"):
        inputs.whole(0, "steps", 1)
    for far in (2 ** 63, 10 ** 400):
        with pytest.raises(ValueError, match="^steps must be an integer >= 1 of 64 bits, got"):
            inputs.whole(far, "steps", 1)
    assert inputs.whole(-5, "steps", None) == -5
    with pytest.raises(TypeError, match="^steps must be an integer, got None"):
        inputs.whole(None, "steps", None)


def test_a_sequence_of_numbers():
    for pair in ((3, 4), [3, 4], np.array([3, 4])):
        assert inputs.several(pair, "size", 2) == (3, 4)
    for bad in (3, None, (), (1, 2, 3), np.array(2), torch.tensor(2)):
        with pytest.raises(ValueError, match="^size must be 2 numbers, got"):
            inputs.several(bad, "size", 2)


def test_the_label_to_ignore():
    assert inputs.checked_ignore(None) is None and inputs.checked_ignore(torch.tensor(3)) == 3
    assert inputs.checked_ignore(inputs.IGNORE) is inputs.IGNORE
    for bad in (2.5, "255", [], True):
        with pytest.raises(TypeError, match="^ignore_index must be an integer, got"):
            inputs.checked_ignore(bad)


def test_255_without_1_is_refused_unless_somebody_said_that_it_is_void():
    for target in (np.array([0, 255], np.uint8), torch.tensor([0, 255]), torch.tensor([255], dtype=torch.uint8)):
        with pytest.raises(ValueError, match="^truth must .*divide by 255; .* pass ignore_index=255 by name"):
            inputs.refuse_255(target, inputs.IGNORE, "truth")
        inputs.refuse_255(target, 255)                                       # said
        inputs.refuse_255(target, None)
    inputs.refuse_255(np.array([0, 1, 255]), inputs.IGNORE)                  # 1 is the foreground, so 255 is void
    inputs.refuse_255(np.array([0, 0]), inputs.IGNORE)


def test_the_default_looks_like_255():
    assert inputs.IGNORE == 255 and str(inputs.IGNORE) == "255" and f"{inputs.IGNORE}" == "255"
    signature = inspect.signature(lambda ignore_index=inputs.IGNORE: None)
    assert str(signature) == "(ignore_index=255)"
