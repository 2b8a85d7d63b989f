"""Matching in pieces is matching."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.ops import box_iou, match, match_boxes


def boxes(count, generator, side=12):
    """Small integer boxes, so that ties are common; some have no area."""
    corner = torch.randint(0, side, (count, 2), generator=generator)
    size = torch.randint(0, 6, (count, 2), generator=generator)
    return torch.cat([corner, corner + size], 1).float()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 30), st.integers(0, 80), st.integers(1, 200), st.booleans(), st.integers(0, 10**6))
def test_equals_match_for_any_size_of_piece(objects, anchors, pairs, low_quality, seed):
    generator = torch.Generator().manual_seed(seed)
    truth, grid = boxes(objects, generator), boxes(anchors, generator)
    module = sys.modules["seglab.ops.match_boxes"]
    before, module.PAIRS = module.PAIRS, pairs
    try:
        mine = match_boxes(truth, grid, 0.6, 0.3, low_quality)
    finally:
        module.PAIRS = before
    assert torch.equal(mine, match(box_iou(truth, grid), 0.6, 0.3, low_quality))


def test_thresholds_are_checked_also_in_pieces():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="low must not exceed high"):
        match_boxes(boxes(2000, generator), boxes(300, generator), 0.3, 0.7)
    with pytest.raises(ValueError, match="finite"):
        match_boxes(torch.full((2000, 4), float("nan")), boxes(300, generator), 0.7, 0.3)


def test_integers_match_too():
    generator = torch.Generator().manual_seed(1)
    truth, grid = boxes(2000, generator).long(), boxes(300, generator).long()
    assert torch.equal(match_boxes(truth, grid, 0.7, 0.3, True), match(box_iou(truth, grid), 0.7, 0.3, True))
