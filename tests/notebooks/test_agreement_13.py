"""What notebook 13 builds is what the package holds."""
import pytest
import torch
import torch.nn.functional as F
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.exercises import find, nb13
from seglab.ops import roi_align, roi_pool
from seglab.ops.roi_align import axis_taps
from seglab.ops.roi_pool import axis_cells, round_half_away

NOTEBOOK = definitions("13_roialign_vs_roipool", [
    "round_away", "bin_range", "roi_pool_loop", "roi_pool_fast", "bilinear", "sample_places", "roi_align_loop",
    "axis_matrix", "roi_align_matrices", "roi_align_max", "roi_align_backward", "share_read", "paste", "SIZE", "TOY",
    "TOY_BOX"])
SEEDS = st.integers(0, 2 ** 31)


def case(seed, count=8):
    """Features (C, H, W) and boxes (K, 4) in px of stride 16: any corners, some on halves of a cell."""
    g = torch.Generator().manual_seed(seed)
    channels, height, width = (int(torch.randint(1, top, (), generator=g)) for top in (4, 9, 9))
    boxes = torch.rand(count, 4, generator=g, dtype=torch.float64) * 180 - 30
    boxes[::3] = (boxes[::3] / 8).round() * 8
    return torch.randn(channels, height, width, generator=g, dtype=torch.float64), boxes


def compare(mine, packaged, features, tolerance):
    """Value and gradient under one random cotangent."""
    results = []
    for function in (mine, packaged):
        leaf = features.clone().requires_grad_()
        value = function(leaf) + 0 * leaf.sum()                      # loops over bins without a cell never touch it
        cotangent = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        results.append((value.detach(), torch.autograd.grad(value, leaf, cotangent)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 5))
def test_roi_pool(seed, bins):
    features, boxes = case(seed)
    packaged = lambda f: roi_pool(f[None], F.pad(boxes, (1, 0)), bins, 1 / 16)
    loops = lambda f: torch.stack([NOTEBOOK.roi_pool_loop(f, b, bins, 16) for b in boxes.tolist()])
    for mine in (loops, lambda f: NOTEBOOK.roi_pool_fast(f, boxes, bins, 16)):
        compare(mine, packaged, features, 1e-14)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 4), st.integers(-1, 3))
def test_roi_align(seed, bins, samples):
    features, boxes = case(seed, 4)
    packaged = lambda f: roi_align(f[None], F.pad(boxes, (1, 0)), bins, 1 / 16, samples)
    for one in (NOTEBOOK.roi_align_loop, NOTEBOOK.roi_align_matrices):
        compare(lambda f, one=one: torch.stack([one(f, b, bins, 16, samples) for b in boxes.tolist()]), packaged,
                features, 1e-13)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 4), st.sampled_from([8, 16]))
def test_what_the_chapter_goes_on_with_while_a_blank_is_open(seed, bins, stride):
    """The course's functions for the core exercises, with the same arguments, are the chapter's."""
    features, boxes = case(seed, 3)
    for id, own, samples in (("13.1", NOTEBOOK.roi_pool_loop, ()), ("13.3", NOTEBOOK.roi_align_loop, ()),
                             ("13.3", NOTEBOOK.roi_align_loop, (-1,)), ("13.3", NOTEBOOK.roi_align_loop, (3,))):
        each = [lambda f, one=one, more=samples: torch.stack([one(f, b, bins, stride, *more) for b in boxes.tolist()])
                for one in (own, find(id).course)]
        compare(*each, features, 1e-13)


def test_the_check_tries_the_toy_of_the_text():
    assert torch.equal(NOTEBOOK.TOY, nb13.TOY) and NOTEBOOK.TOY_BOX == nb13.TOY_BOX


@given(st.floats(-1e6, 1e6) | st.integers(-99, 99).map(lambda n: n / 2))
def test_rounding(value):
    assert NOTEBOOK.round_away(value) == round_half_away(torch.tensor(value, dtype=torch.float64))


@settings(deadline=None, max_examples=50)
@given(st.integers(-9, 20), st.integers(-9, 20), st.integers(1, 9), st.integers(1, 15))
def test_bins(start, end, bins, length):
    cells = axis_cells(torch.tensor([start]).double(), torch.tensor([end]).double(), bins, length)[0]
    for p, row in enumerate(cells.tolist()):
        first, past = NOTEBOOK.bin_range(start, end, p, bins, length)
        assert [c for c in row if c >= 0] == list(range(first, past))


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(1, 6), st.integers(1, 12), st.integers(-1, 4))
def test_matrices_of_an_axis(seed, bins, length, samples):
    """Random sides: a sample exactly on the limit of the map may fall on either side of it by rounding."""
    start, end = (torch.rand(2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 29 - 9).tolist()
    sides = torch.tensor([[start], [end]], dtype=torch.float64)
    taps = axis_taps(*sides, bins, length, samples, False)
    mine = NOTEBOOK.axis_matrix(start, end, bins, length, samples)
    torch.testing.assert_close(mine, taps.dense(length)[0], rtol=0, atol=1e-13)


def test_backward_is_the_gradient():
    features, boxes = case(4)
    leaf = features.requires_grad_()
    x1, y1, x2, y2 = (v / 16 for v in boxes[1].tolist())
    a_y, a_x = NOTEBOOK.axis_matrix(y1, y2, 3, leaf.shape[1], 2), NOTEBOOK.axis_matrix(x1, x2, 3, leaf.shape[2], 2)
    pooled = roi_align(leaf[None], F.pad(boxes[1:2], (1, 0)), 3, 1 / 16, 2)[0]
    g = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradient = torch.autograd.grad(pooled, leaf, g)[0]
    torch.testing.assert_close(NOTEBOOK.roi_align_backward(g, a_y, a_x), gradient, rtol=0, atol=1e-14)
    assert NOTEBOOK.share_read(a_y, a_x) == pytest.approx(float((gradient != 0).any(0).double().mean()))


def test_pasting_inverts_the_cut_of_a_smooth_mask():
    """A mask that is linear across its box is cut to 14 x 14 and comes back to within its rim."""
    x = torch.arange(NOTEBOOK.SIZE) + 0.5
    rois = torch.tensor([[0, 40.0, 60.0, 264.0, 340.0]])
    plane = ((x + x[:, None]) / (2 * NOTEBOOK.SIZE))[None, None]
    cut = roi_align(plane, rois, 14, aligned=True)[:, 0]
    back = NOTEBOOK.paste(cut, rois)[0]
    inside = (slice(40, 160), slice(30, 122))                       # every second px, half a bin inside the box
    torch.testing.assert_close(back[inside], (plane[0, 0, ::2, ::2] + 0.5 / NOTEBOOK.SIZE)[inside], rtol=0, atol=1e-5)
    assert (back[:30] == 0).all() and (back[:, 132:] == 0).all()
