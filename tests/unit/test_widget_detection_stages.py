"""The detection stage viewer: what it records is what the detector computes, and every state draws."""

import time

import numpy as np
import pytest
import torch

from seglab.data import Shapes
from seglab.models import paste_masks, small_mask_rcnn
from seglab.ops import box_iou
from seglab.train import load_weights
from seglab.widgets.detection_stages import STAGES, detection_stages, record_stages, stage_picture

SCENES = Shapes(seed=1)


@pytest.fixture(scope="module")
def model(pytestconfig):
    net = small_mask_rcnn()
    load_weights(pytestconfig.rootpath / "data" / "weights" / "mask_rcnn_shapes.safetensors", net)
    return net.train()


@pytest.fixture(scope="module")
def scene():
    return SCENES[4]


@pytest.fixture(scope="module")
def stages(model, scene):
    return record_stages(model, scene.image, {"boxes": scene.boxes, "labels": scene.classes}, SCENES.classes)


def test_the_last_stage_is_what_the_model_detects(model, scene, stages):
    assert model.training, "the model's mode comes back"
    with torch.no_grad():
        found = model.eval()([scene.image])[0]
    model.train()
    assert len(found["boxes"]) > 1
    assert torch.equal(stages.boxes, found["boxes"]) and torch.equal(stages.labels, found["labels"])
    assert torch.equal(stages.scores, found["scores"])
    assert torch.equal(stages.masks, found["masks"][:, 0] > 0.5)
    assert torch.equal(stages.masks, paste_masks(stages.small[:, None], stages.boxes, (128, 128), 0.5)[:, 0])


def test_the_stages_before_it(model, scene, stages):
    assert [len(a) for a in stages.anchors] == [2 * o.shape[1] * o.shape[2] for o in stages.objectness]
    assert stages.features.shape == (48, 32, 32)
    joint = torch.cat(stages.matched)
    assert set(joint[joint >= 0].tolist()) == set(range(len(scene))), "every object has an anchor"
    best = box_iou(scene.boxes, torch.cat(stages.anchors)).max(0)[0]
    assert (joint[best >= 0.5] >= 0).all() and (joint[(best < 0.3) & (joint < 0)] == -1).all()
    assert (stages.candidate_scores.diff() <= 0).all() and (stages.proposal_scores.diff() <= 0).all()
    assert len(stages.candidates) > len(stages.proposals) == len(stages.probabilities) == len(stages.crops)
    torch.testing.assert_close(stages.probabilities.sum(1), torch.ones(len(stages.proposals)))


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_every_threshold_of_every_stage_draws_a_picture_of_one_size(stages, stage):
    pictures = [stage_picture(stages, stage, t) for t in (0.0, 0.05, 0.5, 0.95, 1.0)]
    assert {p.shape for p in pictures} == {(848, 1560, 3)} and all(p.dtype == np.uint8 for p in pictures)
    np.testing.assert_array_equal(pictures[2], stage_picture(stages, stage, 0.5))
    assert (pictures[1] != pictures[3]).any(), "the threshold is seen in every stage"
    others = [stage_picture(stages, k, 0.5) for k in range(len(STAGES)) if k != stage]
    assert all((pictures[2] != o).any() for o in others)


def test_an_object_that_no_anchor_fits_well_still_has_one(model):
    scene = SCENES[14]
    stages = record_stages(model, scene.image, {"boxes": scene.boxes, "labels": scene.classes})
    best = box_iou(scene.boxes, torch.cat(stages.anchors)).max(1)[0]
    matched = torch.cat(stages.matched)
    assert best.min() < 0.5 and set(matched[matched >= 0].tolist()) == set(range(len(scene)))


@pytest.mark.parametrize("stage", [4, 5, 7, 8, 9])
def test_what_is_below_the_threshold_is_not_drawn(stages, stage):
    """Above the line at the foot, which counts the detections at every stage."""
    low, high, top = (stage_picture(stages, stage, t)[40:808] for t in (0.05, 0.45, 0.99999))
    assert (low != high).any() or stage == 7
    assert (high != top).any()
    if stage in (4, 5):                                                 # no proposal is left, the heat map is black
        heat = top[:, 792:]
        assert (heat == heat[0, 0]).all() and (low[:, 792:] != heat[0, 0]).any()


def test_without_truth_names_or_detections(model):
    grey = torch.full((3, 128, 128), 0.5)
    stages = record_stages(model, grey)
    assert all((m == -1).all() for m in stages.matched) and stages.names == ("0", "1", "2", "3")
    for k in range(len(STAGES)):
        assert stage_picture(stages, k, 1.0).shape == (848, 1560, 3)


def test_a_scene_of_another_size(model):
    wide = Shapes(size=(128, 192), seed=3)[0]
    stages = record_stages(model, wide.image, {"boxes": wide.boxes, "labels": wide.classes}, SCENES.classes)
    assert {stage_picture(stages, k, 0.3).shape for k in range(len(STAGES))} == {(848, 1560, 3)}
    pane = stage_picture(stages, 0, 0.3)[40:808:2, :768:2]              # 2 px a px: 256 of the 384 rows
    assert (pane[256:] == 255).all() and (pane[:256] < 255).any(2).mean() > 0.9


def test_bad_input(model, stages):
    for size in ((100, 100), (128, 136)):                               # resized; padded
        with pytest.raises(ValueError, match="leaves as it is"):
            record_stages(model, torch.rand(3, *size))
    with pytest.raises(ValueError, match="names must name 4 classes"):
        record_stages(model, torch.rand(3, 128, 128), names=("a", "b"))
    assert model.training, "also after an error"
    for stage, threshold in ((-1, 0.5), (len(STAGES), 0.5), (0, -0.1), (0, 1.1)):
        with pytest.raises(ValueError):
            stage_picture(stages, stage, threshold)


def test_the_sliders_drive_the_panel(model, scene):
    panel = detection_stages(model, scene, SCENES.classes)
    assert set(panel.controls) == {"stage", "threshold"} and bytes(panel.image.value).startswith(b"\x89PNG")
    for name, control in panel.controls.items():
        control.value = control.min
        low = panel.image.value
        control.value = control.max
        assert low != panel.image.value and not panel.error.value, name


def test_a_repaint_takes_less_than_150_ms(stages):
    worst = 0.0
    for k in range(len(STAGES)):
        stage_picture(stages, k, 0.05)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            stage_picture(stages, k, 0.05)
            times.append(time.perf_counter() - start)
        worst = max(worst, min(times))
    print(f"\ndetection stage viewer: {1e3 * worst:.0f} ms for the slowest stage")
    assert worst < 0.15
