"""RoIAlign and RoIPool: what can be known without a reference, and what is refused."""
import math
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F

from seglab.ops import roi_align, roi_pool
from seglab.ops.roi_align import axis_taps
from seglab.ops.roi_pool import round_half_away

sampling = import_module("seglab.ops.separable_sampling")

OPERATORS = pytest.mark.parametrize("operator", [roi_align, roi_pool])


def ramp(height=12, width=15, stride=1):
    """f(x, y) = 3 x - 2 y + 1 at the centres of cells, in px, for aligned=True."""
    y, x = (torch.arange(n, dtype=torch.float64).add(0.5).mul(stride) for n in (height, width))
    return (3 * x - 2 * y[:, None] + 1)[None, None]


@pytest.mark.parametrize("ratio", [-1, 1, 2, 3])
def test_a_linear_ramp_is_exact(ratio):
    boxes = torch.tensor([[0, 5.3, 9.1, 40.7, 37.9], [0, 8.0, 8.0, 9.5, 30.2]], dtype=torch.float64)
    pooled = roi_align(ramp(stride=4), boxes, (3, 4), 1 / 4, ratio, aligned=True)
    for k, (_, x1, y1, x2, y2) in enumerate(boxes.tolist()):
        x = x1 + (torch.arange(4, dtype=torch.float64) + 0.5) * (x2 - x1) / 4
        y = y1 + (torch.arange(3, dtype=torch.float64) + 0.5) * (y2 - y1) / 3
        torch.testing.assert_close(pooled[k, 0], 3 * x - 2 * y[:, None] + 1, rtol=0, atol=1e-12)


def test_an_aligned_box_of_whole_cells_is_the_crop():
    features = torch.rand(1, 3, 9, 8)
    crop = roi_align(features, torch.tensor([[0, 2.0, 1.0, 7.0, 5.0]]), (4, 5), sampling_ratio=1, aligned=True)
    torch.testing.assert_close(crop[0], features[0, :, 1:5, 2:7], rtol=0, atol=1e-6)


def test_the_paper_form_is_half_a_cell_off():
    box = torch.tensor([[0, 2.0, 1.0, 7.0, 5.0]], dtype=torch.float64)
    shifted = box + torch.tensor([0, 0.5, 0.5, 0.5, 0.5])
    assert torch.equal(roi_align(ramp(), box, 4, 1.0, 2), roi_align(ramp(), shifted, 4, 1.0, 2, aligned=True))


def test_samples_beyond_the_map():
    """Up to one cell outside they take the rim's value, further out they count as 0."""
    one = torch.ones(1, 1, 4, 4)
    value = lambda x1, x2: float(roi_align(one, torch.tensor([[0, x1, 1.0, x2, 2.0]]), 1, 1.0, 2))
    assert value(-1.0, 0.0) == 1
    assert value(-2.0, 0.0) == 0.5
    assert value(3.5, 4.5) == 0.5 + 0.5 * (4.25 <= 4)
    assert value(3.0, 4.0) == 1
    assert value(9.0, 12.0) == 0


def test_the_rows_of_the_matrices_sum_to_one_inside():
    start, end = torch.tensor([0.0, 2.3, 4.0]), torch.tensor([9.0, 2.4, 8.7])
    for ratio in (-1, 1, 2, 5):
        matrix = axis_taps(start, end, 6, 10, ratio, False).dense(10)
        assert matrix.shape == (3, 6, 10)
        torch.testing.assert_close(matrix.sum(2), torch.ones(3, 6))


@pytest.mark.parametrize("ratio", [-1, 2])
def test_the_separable_form(ratio):
    features = torch.rand(2, 3, 11, 9, dtype=torch.float64)
    boxes = torch.tensor([[1, 1.2, 0.4, 7.7, 9.9], [0, -3.0, 2.0, 4.0, 30.0]], dtype=torch.float64)
    a_y = axis_taps(boxes[:, 2], boxes[:, 4], 5, 11, ratio, False).dense(11)
    a_x = axis_taps(boxes[:, 1], boxes[:, 3], 4, 9, ratio, False).dense(9)
    expected = torch.einsum("kph,kchw,kqw->kcpq", a_y, features[[1, 0]], a_x)
    torch.testing.assert_close(roi_align(features, boxes, (5, 4), 1.0, ratio), expected, rtol=0, atol=1e-15)


def test_gradients_of_gradients():
    features = torch.rand(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[1, 0.2, 0.4, 4.7, 3.9], [0, 1.0, 2.0, 9.0, 3.0], [1, 2.0, 2.0, 2.0, 2.0]])
    pool = lambda x: roi_align(x, boxes, 3, 1.0, 2)
    assert torch.autograd.gradcheck(pool, features)
    assert torch.autograd.gradgradcheck(pool, features)


def test_pieces_do_not_change_the_result(monkeypatch):
    features = torch.rand(2, 3, 20, 20, dtype=torch.float64, requires_grad=True)
    boxes = torch.rand(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 9
    boxes[:, 0], boxes[:, 3:] = torch.arange(9) % 2, boxes[:, 3:] + 9
    for operator, where, limit in ((roi_align, sampling, "ENTRIES_AT_ONCE"), (roi_align, sampling, "PIECE"),
                                   (roi_pool, import_module("seglab.ops.roi_pool"), "CELLS_AT_ONCE")):
        results = []
        for at_once in (1 << 22, 700, 1):
            monkeypatch.setattr(where, limit, at_once)
            pooled = operator(features, boxes, 3)
            results.append((pooled, torch.autograd.grad((pooled ** 2).sum(), features)[0]))
        for other in results[1:]:
            torch.testing.assert_close(results[0], other, rtol=0, atol=1e-14)


def test_the_transposed_matrix():
    """By SciPy on the CPU, by sorting elsewhere: here both on the CPU, with empty rows at both ends and between."""
    number = torch.tensor([0, 2, 0, 0, 3, 1, 0])
    offsets, columns = F.pad(number.cumsum(0), (1, 0)).int(), torch.tensor([4, 1, 0, 1, 4, 1], dtype=torch.int32)
    values = torch.arange(1.0, 7)
    dense = torch.zeros(7, 6)
    dense[torch.arange(7).repeat_interleave(number), columns.long()] = values
    for transpose in (sampling._counted, sampling._sorted):
        at, weights, begin = transpose(columns, values, offsets, 6)
        assert at.dtype == begin.dtype == torch.int32 and len(begin) == 7
        row = torch.arange(6).repeat_interleave(begin.diff())
        assert torch.equal(torch.zeros(6, 7).index_put((row, at.long()), weights), dense.T)


def test_a_huge_adaptive_box_costs_no_memory():
    """10^30 cells wide would be 10^29 samples a bin; those on the map are bounded."""
    taps = axis_taps(torch.tensor([-1e30, 0.0]), torch.tensor([1e30, 7e5]), 7, 50, -1, True)
    assert taps.cells.shape[2] <= 50
    box = torch.tensor([[0, 0.0, 0.0, 7000.0, 7.0]])
    mean = roi_align(torch.ones(1, 1, 50, 50), box, (1, 7), aligned=True)
    assert float(mean[0, 0, 0, 0]) == pytest.approx(50.5 / 1000, abs=1e-3)


def test_rounding_as_in_c():
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 2.4, -2.6])
    assert round_half_away(x).tolist() == [1, 2, 3, -1, -2, 0, 2, -3]


def test_roi_pool_by_hand():
    """Corners 0.6 -> 1 and 4.4 -> 4 (inclusive): 4 cells; 3 bins of 4/3 cells share them."""
    row = torch.tensor([9.0, 1, 5, 2, 3, 8])[None, None, None]
    box = torch.tensor([[0, 0.6, 0.0, 4.4, 0.0]])
    assert roi_pool(row, box, (1, 3))[0, 0, 0].tolist() == [5, 5, 3]
    assert roi_pool(-row, box + torch.tensor([0, 4, 0, 4, 0]), (1, 3))[0, 0, 0].tolist() == [-8, 0, 0]    # empty bins


@OPERATORS
@pytest.mark.parametrize("boxes", [torch.zeros(0, 5), [torch.zeros(0, 4)] * 2])
def test_no_rois(operator, boxes):
    features = torch.rand(2, 3, 5, 5, requires_grad=True)
    pooled = operator(features, boxes, (7, 6))
    assert pooled.shape == (0, 3, 7, 6)
    pooled.sum().backward()
    assert torch.equal(features.grad, torch.zeros(2, 3, 5, 5))
    assert operator(features[:0], [], 7).shape == (0, 3, 7, 7)


@OPERATORS
def test_an_image_without_boxes_and_a_tiny_map(operator):
    boxes = [torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 12.0, 15.0]])]
    pooled = operator(torch.full((2, 1, 1, 1), 3.0), boxes, 2, 1 / 32)
    assert pooled.shape == (1, 1, 2, 2) and (pooled == 3).all()


@OPERATORS
def test_boxes_of_another_dtype(operator):
    features = torch.rand(1, 2, 9, 9)
    box = torch.tensor([[0, 1, 2, 6, 7]])
    torch.testing.assert_close(operator(features, box, 3), operator(features, box.float(), 3), rtol=0, atol=0)
    assert operator(features.bfloat16(), box.double(), 3).dtype == torch.bfloat16


@OPERATORS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("as_list", [False, True])
def test_boxes_that_are_not_finite(operator, value, as_list):
    rows = torch.tensor([[0, 1.0, 1.0, 2.0, 2.0], [0, -value, 1.0, value, 2.0]])
    with pytest.raises(ValueError, match="boxes must be finite.*in row 1"):
        operator(torch.rand(1, 1, 4, 4), [rows[:, 1:]] if as_list else rows, 2)


@OPERATORS
@pytest.mark.parametrize("image", [2, -1, 0.5, 7e9, math.nan])
def test_a_batch_index_out_of_range(operator, image):
    with pytest.raises(ValueError, match=r"boxes must name a batch index in 0\.\.1, got .* in row 0"):
        operator(torch.rand(2, 1, 4, 4), torch.tensor([[image, 1.0, 1.0, 2.0, 2.0]]), 2)


FINE = torch.tensor([[0, 1.0, 1.0, 2.0, 2.0]])
MAP = torch.rand(1, 1, 4, 4)


@OPERATORS
@pytest.mark.parametrize("arguments, error, message", [
    ((MAP[0], FINE, 2), ValueError, "input must have shape"),
    ((MAP[..., :0], FINE, 2), ValueError, "input must have at least one"),
    ((MAP.long(), FINE, 2), TypeError, "input must be a floating tensor"),
    ((MAP.numpy(), FINE, 2), TypeError, "input must be a floating tensor"),
    ((MAP, FINE[:, 1:], 2), ValueError, r"boxes must have shape \(K, 5\)"),
    ((MAP, FINE[0], 2), ValueError, r"boxes must have shape \(K, 5\)"),
    ((MAP, [FINE], 2), ValueError, r"boxes\[0\] must have shape \(L, 4\)"),
    ((MAP, [FINE[:, 1:]] * 2, 2), ValueError, "boxes must be one tensor for each of the 1 images, got 2"),
    ((MAP, [[1, 1, 2, 2]], 2), TypeError, r"boxes\[0\] must be a tensor of numbers"),
    ((MAP, FINE.numpy(), 2), TypeError, "boxes must be a tensor"),
    ((MAP, FINE.bool(), 2), TypeError, "boxes must be a tensor of numbers"),
    ((MAP, FINE.to("meta"), 2), ValueError, "boxes must be on the input's device"),
    ((MAP, FINE, 0), ValueError, "output_size must be an integer >= 1"),
    ((MAP, FINE, (2, 2, 2)), ValueError, "output_size must be an integer or"),
    ((MAP, FINE, 2.0), TypeError, "output_size must be an integer"),
    ((MAP, FINE, 2, 0), ValueError, "spatial_scale must be a finite number > 0"),
    ((MAP, FINE, 2, math.nan), ValueError, "spatial_scale must be a finite number > 0"),
    ((MAP, FINE, 2, "1/16"), ValueError, "spatial_scale must be a finite number"),
])
def test_bad_input(operator, arguments, error, message):
    with pytest.raises(error, match=message):
        operator(*arguments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
@OPERATORS
def test_on_a_gpu(operator):
    features = torch.rand(2, 5, 20, 17, dtype=torch.float64, requires_grad=True)
    boxes = [torch.tensor([[1.0, 2.0, 9.5, 30.0]]), torch.tensor([[-3.0, 0.5, 12.0, 15.0], [4.0, 4.0, 4.0, 4.0]])]
    results = []
    for device in ("cpu", "cuda"):
        pooled = operator(features.to(device), [b.to(device) for b in boxes], 4)
        results.append((pooled.cpu(), torch.autograd.grad((pooled ** 2).sum(), features)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


def test_bad_sampling_ratio():
    with pytest.raises(TypeError, match="sampling_ratio must be an int"):
        roi_align(MAP, FINE, 2, 1.0, 2.0)
