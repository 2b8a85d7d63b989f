import time

import numpy as np
import pytest
import torch

from seglab.data import Sample, Shapes
from seglab.viz import CORRECT, MISSED
from seglab.widgets.anchors import RATIOS, SIZES, STRIDES, anchor_explorer, anchor_picture

SCENE = Shapes(size=(128, 128), objects=(3, 8), seed=7)[5]
STATE = {"sizes": "three", "size": 24, "ratios": "1/2, 1, 2", "stride": 8, "iou": 0.5, "nms_threshold": 0.5}


def scene_with(boxes, size=(40, 60)):
    return Sample(image=torch.rand(3, *size), semantic=torch.zeros(size, dtype=torch.int64),
                  boxes=torch.tensor(boxes, dtype=torch.float32))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("ratios", RATIOS)
@pytest.mark.parametrize("stride", STRIDES)
def test_every_corner_of_the_controls_draws_a_picture_of_one_size(sizes, ratios, stride):
    want = anchor_picture(SCENE, **STATE).shape
    for size in (6, 64):
        for iou, threshold in ((0.1, 0.0), (0.95, 1.0)):
            picture = anchor_picture(SCENE, sizes, size, ratios, stride, iou, threshold)
            assert picture.dtype == np.uint8 and picture.shape == want


@pytest.mark.parametrize("change", [{"sizes": "one"}, {"size": 40}, {"ratios": "1"}, {"stride": 16}, {"iou": 0.8},
                                    {"nms_threshold": 0.1}])
def test_every_control_changes_the_picture(change):
    assert (anchor_picture(SCENE, **STATE) != anchor_picture(SCENE, **STATE | change)).any()


def test_colours_say_which_objects_have_an_anchor():
    """Left half: nothing is green that no anchor reaches, nothing orange where all are reached."""
    def has(colour, iou):
        picture = anchor_picture(SCENE, **STATE | {"iou": iou})
        return bool((picture[:, :picture.shape[1] // 2 - 8] == colour).all(-1).any())
    assert has(MISSED, 0.95) and not has(CORRECT, 0.95)
    assert has(CORRECT, 0.1) and not has(MISSED, 0.1)


def test_it_is_a_pure_function():
    before = SCENE.boxes.clone()
    first = anchor_picture(SCENE, **STATE)
    torch.rand(3)
    np.testing.assert_array_equal(first, anchor_picture(SCENE, **STATE))
    assert torch.equal(SCENE.boxes, before)


def test_the_controls_drive_the_panel():
    panel = anchor_explorer(SCENE)
    assert set(panel.controls) == set(STATE) and bytes(panel.image.value).startswith(b"\x89PNG")
    for name, control in panel.controls.items():
        pictures = set()
        for value in getattr(control, "options", None) or (control.min, control.max):
            control.value = value
            pictures.add(bytes(panel.image.value))
            assert not panel.error.value, name
        assert len(pictures) > 1, name


@pytest.mark.parametrize("boxes", [[[0, 0, 1, 1]], [[0, 0, 60, 40]], [[3.5, 2, 9, 30], [3.5, 2, 9, 30]]])
def test_odd_pictures_and_boxes(boxes):
    assert anchor_picture(scene_with(boxes), **STATE | {"stride": 32}).ndim == 3


def test_bad_input():
    empty = scene_with(np.zeros((0, 4)))
    for sample, change in ((empty, {}), (SCENE, {"sizes": "two"}), (SCENE, {"ratios": "2"}), (SCENE, {"iou": 1.2}),
                           (SCENE, {"nms_threshold": -0.1}), (SCENE, {"size": 0}), (SCENE, {"stride": 0})):
        with pytest.raises(ValueError, match="must"):
            anchor_picture(sample, **STATE | change)


def test_a_repaint_takes_less_than_150_ms():
    worst = STATE | {"stride": 4, "ratios": "1/3, 1/2, 1, 2, 3"}
    times = []
    for size in (6, 24, 64, 6, 24):
        start = time.perf_counter()
        anchor_picture(SCENE, **worst | {"size": size})
        times.append(time.perf_counter() - start)
    print(f"\nanchor explorer: {1e3 * min(times):.0f} ms a repaint at 128 px")
    assert min(times) < 0.15
