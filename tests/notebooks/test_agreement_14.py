"""What notebook 14 builds is what the package holds, and the stored detector has the score stored with it."""
import importlib.util

import pytest
import torch
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torchvision.models.detection import roi_heads as reference

from seglab.data import Shapes, load_nuclei
from seglab.models import (
    fastrcnn_loss,
    mask_targets,
    paste_masks,
    postprocess_detections,
    sample_rois,
    sigmoid_mask_loss,
    small_mask_rcnn,
    softmax_mask_loss,
)

NB = definitions("14_mask_rcnn", [
    "MaskRCNN", "BoxHead", "MaskHead", "MLPHead", "class_of_rois", "sample_rois", "own_offsets", "box_losses",
    "mask_target", "mask_loss", "softmax_mask_loss", "agnostic_loss", "candidates", "mask_probabilities",
    "paste_window", "paste", "of_class", "mask_bce", "detect", "ours", "mirrored", "target_of", "instance_map",
    "warm_up"])
SCENES = Shapes(seed=5)


@pytest.fixture(scope="module")
def stored(pytestconfig):
    return load_file(pytestconfig.rootpath / "data" / "weights" / "mask_rcnn_shapes.safetensors")


def pair(stored, dtype=torch.float64):
    """The notebook's model and the package's, with the stored weights."""
    mine, theirs = NB.MaskRCNN(), small_mask_rcnn()
    theirs.load_state_dict(stored)
    mine.load_state_dict({NB.ours(name): value for name, value in stored.items()})
    return mine.to(dtype), theirs.to(dtype)


def random_heads(seed, rois=7, classes=4):
    generator = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    corners = 100 * torch.rand(rois, 2, generator=generator, dtype=torch.float64)
    boxes = torch.cat([corners, corners + 2 + 40 * torch.rand(rois, 2, generator=generator, dtype=torch.float64)], 1)
    return make(rois, classes), make(rois, 4 * classes), boxes, torch.randint(0, classes, (rois,), generator=generator)


def gradients(loss, *inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    value = loss(*inputs)
    value = torch.stack(value) if isinstance(value, tuple) else value[None]
    weights = torch.arange(1, len(value) + 1)                           # so that two losses cannot be exchanged
    return value.detach(), torch.autograd.grad((value * weights).sum(), inputs)


@pytest.mark.parametrize("seed", range(5))
def test_box_losses(seed):
    logits, deltas, boxes, labels = random_heads(seed)
    mine = gradients(lambda z, d: NB.box_losses(z, d, labels, boxes), logits, deltas)
    theirs = gradients(lambda z, d: fastrcnn_loss(z, d, labels, boxes), logits, deltas)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_mask_losses(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 4, 6, 6, generator=generator, dtype=torch.float64)
    labels, targets = torch.randint(1, 4, (5,), generator=generator), torch.rand(5, 6, 6, generator=generator).double()
    for mine, theirs, z in ((NB.mask_loss, sigmoid_mask_loss, logits),
                            (NB.mask_bce, sigmoid_mask_loss, logits),
                            (NB.softmax_mask_loss, softmax_mask_loss, logits),
                            (NB.agnostic_loss, sigmoid_mask_loss, logits[:, :1])):
        results = [gradients(lambda x, loss=loss: loss(x, labels, targets), z) for loss in (mine, theirs)]
        torch.testing.assert_close(*results, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_sampled_rois(seed):
    scene = SCENES[seed]
    proposals = random_heads(seed, rois=60)[2].float()
    for labels, boxes in ((scene.classes, scene.boxes), (scene.classes[:0], scene.boxes[:0])):
        torch.manual_seed(seed)
        mine = NB.sample_rois(proposals, boxes, labels)
        torch.manual_seed(seed)
        theirs = sample_rois([proposals], [{"boxes": boxes, "labels": labels}], batch_size_per_image=32,
                             positive_fraction=0.4)
        for a, b in zip(mine, (theirs.boxes, theirs.labels, theirs.objects, theirs.box_targets)):
            assert torch.equal(a, b[0])


@pytest.mark.parametrize("m", [14, 28])
def test_mask_targets(m):
    nuclei = load_nuclei("test")
    generator = torch.Generator().manual_seed(m)
    for instances, boxes in ((SCENES[1].instances, SCENES[1].boxes), (nuclei.instances, nuclei.boxes)):
        rois = boxes + 3 * torch.randn(boxes.shape, generator=generator)
        objects = torch.randperm(len(boxes), generator=generator)
        mine = torch.stack([NB.mask_target(instances, int(k), roi, m) for k, roi in zip(objects, rois)])
        torch.testing.assert_close(mine, mask_targets(instances, objects, rois, m), rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 14, 28]))
def test_pasted_masks(seed, m):
    generator = torch.Generator().manual_seed(seed)
    mask, box = torch.rand(m, m, generator=generator), 79 * torch.rand(4, generator=generator)
    box = torch.cat([torch.minimum(box[:2], box[2:]), torch.maximum(box[:2], box[2:])])
    mine = NB.paste(mask, box, (80, 96))
    torch.testing.assert_close(mine, paste_masks(mask[None, None], box[None], (80, 96))[0, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(mine, reference.paste_masks_in_image(mask[None, None], box[None], (80, 96))[0, 0],
                               rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_candidates_become_the_packages_detections(seed):
    logits, deltas, boxes, _ = random_heads(seed, rois=20)
    found, labels, scores, row = NB.candidates(logits, deltas, boxes, (128, 128))
    expected, = postprocess_detections(logits, deltas, [boxes], [(128, 128)], nms_thresh=1.0, detections_per_img=10**6)
    order, other = (torch.argsort(s, descending=True) for s in (scores, expected["scores"]))
    big = (found[order, 2:] - found[order, :2] >= 1e-2).all(1)          # the package drops boxes cut to nothing
    torch.testing.assert_close(found[order][big], expected["boxes"][other], rtol=0, atol=1e-10)
    assert torch.equal(labels[order][big], expected["labels"][other])
    assert torch.equal(logits.softmax(1)[row, labels], scores)


def test_five_losses_and_every_gradient(stored):
    mine, theirs = pair(stored)
    scenes = [SCENES[i] for i in range(3)]
    images = torch.stack([s.image for s in scenes]).double()
    targets = [{**NB.target_of(s), "boxes": s.boxes.double()} for s in scenes]
    torch.manual_seed(0)
    theirs_loss = theirs.train()(list(images), targets)
    torch.manual_seed(0)
    for _ in scenes:
        torch.empty(1).uniform_()                                       # the package draws a size a picture
    mine_loss = mine.train()(images, targets)
    names = {"cls": "loss_classifier", "box": "loss_box_reg", "mask": "loss_mask"}
    assert len(mine_loss) == len(theirs_loss) == 5
    for name, value in mine_loss.items():
        torch.testing.assert_close(value, theirs_loss[names.get(name, name)], rtol=0, atol=1e-9)
    sum(mine_loss.values()).backward()
    sum(theirs_loss.values()).backward()
    own = dict(mine.named_parameters())
    for name, parameter in theirs.named_parameters():
        assert parameter.grad.any(), name
        torch.testing.assert_close(own[NB.ours(name)].grad, parameter.grad, rtol=0, atol=1e-8)


def test_a_batch_without_any_object_has_a_mask_loss_of_0(stored):
    """Nothing to compare is no NaN, and the other losses still teach that there is nothing here."""
    mine, theirs = pair(stored)
    images = torch.stack([SCENES[i].image for i in range(2)]).double()
    empty = {"boxes": torch.zeros(0, 4, dtype=torch.float64), "labels": torch.zeros(0, dtype=torch.int64),
             "instances": torch.zeros(images.shape[-2:], dtype=torch.int64)}
    torch.manual_seed(0)
    theirs_loss = theirs.train()(list(images), [empty] * 2)
    torch.manual_seed(0)
    torch.empty(2).uniform_()                                           # the package draws a size a picture
    mine_loss = mine.train()(images, [empty] * 2)
    names = {"cls": "loss_classifier", "box": "loss_box_reg", "mask": "loss_mask"}
    for name, value in mine_loss.items():
        torch.testing.assert_close(value, theirs_loss[names.get(name, name)], rtol=0, atol=1e-9)
    assert mine_loss["mask"] == 0 and mine_loss["cls"] > 0
    sum(mine_loss.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in mine.parameters())


def test_the_same_detections(stored):
    mine, theirs = pair(stored)
    images = torch.stack([SCENES[i].image for i in range(4)]).double()
    with torch.no_grad():
        pairs = list(zip(mine.eval()(images), theirs.eval()(list(images))))
    assert sum(len(a["boxes"]) for a, _ in pairs) > 10
    for a, b in pairs:
        torch.testing.assert_close((a["boxes"], a["scores"]), (b["boxes"], b["scores"]), rtol=0, atol=1e-9)
        assert torch.equal(a["labels"], b["labels"]) and torch.equal(a["masks"], b["masks"][:, 0] > 0.5)


def test_mirroring_moves_picture_boxes_and_labels_alike():
    scene = SCENES[2]
    image, target = NB.mirrored(scene.image, NB.target_of(scene))
    for k, box in enumerate(target["boxes"]):
        rows, columns = (target["instances"] == k + 1).nonzero().unbind(1)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    again = NB.mirrored(image, target)
    assert torch.equal(again[0], scene.image) and torch.equal(again[1]["boxes"], scene.boxes)


def test_the_stored_detector_has_the_score_stored_with_it(pytestconfig):
    folder = pytestconfig.rootpath / "data" / "weights"
    spec = importlib.util.spec_from_file_location("recipe", folder / "mask_rcnn_shapes.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    from seglab.train import load_weights
    model = small_mask_rcnn()
    facts = load_weights(folder / "mask_rcnn_shapes.safetensors", model)
    assert facts["recipe"] == recipe.RECIPE and facts["held_out"] == recipe.HELD_OUT
    measured = recipe.score(model)
    for kind, values in facts["scores"].items():
        assert measured[kind] == pytest.approx(values, abs=5e-3), kind
    assert measured["mask"]["AP50"] > 0.75
    assert (folder / "mask_rcnn_shapes.safetensors").stat().st_size < 4e6
