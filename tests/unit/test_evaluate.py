"""Evaluation over a set: hand-worked counts, a model left as it came, and errors that name the sample."""

import numpy as np
import pytest
import torch
from torch import nn

from seglab.data import Shapes
from seglab.data.sample import Sample
from seglab.evaluate import evaluate_dense, evaluate_objects
from seglab.metrics import boundary_f1


def sample(semantic, name="", **fields):
    """The picture holds, as tenths, the class ids that are to be predicted: `told`, by default the truth."""
    semantic = torch.tensor(semantic)
    told = torch.tensor(fields.pop("told", semantic.tolist()))
    return Sample(image=(told.float() / 10)[None], semantic=semantic, name=name, **fields)


def read(image):
    return (10 * image[0]).round().long()


class Reading(nn.Module):
    """Logits of `classes` from such pictures; with a batch norm, to have modes that matter."""

    def __init__(self, classes=3):
        super().__init__()
        self.classes, self.norm, self.calls = classes, nn.BatchNorm2d(1), []

    def forward(self, images):
        assert not torch.is_grad_enabled()
        self.calls.append((tuple(images.shape), self.training, self.norm.training))
        ids = (10 * images[:, 0]).round().long()
        if self.classes == 1:
            return ids[:, None] - 0.5
        return nn.functional.one_hot(ids, self.classes).permute(0, 3, 1, 2).float()


SAMPLES = [sample([[0, 1], [1, 255]], "a", told=[[0, 1], [0, 2]]),         # void predicted as 2 counts for nothing
           sample([[2, 2, 0]], "b", told=[[2, 0, 0]]),                    # another size
           sample([[0, 0, 0]], "c", told=[[0, 0, 2]])]


@pytest.mark.parametrize("model", [read, Reading(), nn.Sequential(Reading()).train(), Reading().eval()])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_hand_worked_confusion(model, batch_size):
    scores = evaluate_dense(model, SAMPLES, 3, batch_size=batch_size)
    # truth 0: 1 + 1 + 2 right, one taken for 2; truth 1: one right, one taken for 0; truth 2: one right, one as 0
    assert scores.confusion.counts.tolist() == [[4, 0, 1], [1, 1, 0], [1, 0, 1]]
    np.testing.assert_allclose(scores.confusion.iou(), [4 / 7, 1 / 2, 1 / 3])
    assert scores.numbers() == pytest.approx({"mean_iou": (4 / 7 + 1 / 2 + 1 / 3) / 3, "pixel_accuracy": 6 / 9})


def test_one_channel_stands_for_two_classes():
    samples = [sample([[0, 1, 1, 0]], told=[[0, 1, 0, 1]])]
    assert evaluate_dense(Reading(1), samples, 2).confusion.counts.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match=r"logits must have shape \(3, 1, 4\) a sample, got shape \(1, 1, 4\)"):
        evaluate_dense(Reading(1), samples, 3)


def test_void_without_foreground_is_void_and_not_a_file_of_0_and_255():
    assert evaluate_dense(read, [sample([[0, 255]], told=[[0, 1]])], 2).confusion.counts.tolist() == [[1, 0], [0, 0]]


def test_boundary_f1_is_the_mean_over_the_pictures_in_which_a_class_occurs():
    generator = torch.Generator().manual_seed(0)
    samples = [sample(torch.randint(0, k, (9, 9), generator=generator).tolist(),
                      told=torch.randint(0, k, (9, 9), generator=generator).tolist()) for k in (2, 3, 3)]
    scores = evaluate_dense(Reading(4), samples, 4, boundary_tolerance=0.05, batch_size=3)
    one = np.array([boundary_f1(s.semantic, read(s.image), 4, 0.05) for s in samples])
    np.testing.assert_allclose(scores.boundary_f1[:3], [one[:, 0].mean(), one[:, 1].mean(), one[1:, 2].mean()])
    assert np.isnan(one[0, 2]) and np.isnan(scores.boundary_f1[3])
    assert scores.numbers()["boundary_f1"] == pytest.approx(scores.boundary_f1[:3].mean())
    assert type(scores.boundary_f1) is np.ndarray


def test_neighbours_of_one_size_go_through_together():
    model = Reading()
    evaluate_dense(model, SAMPLES, 3, batch_size=8)
    assert [shape for shape, *_ in model.calls] == [(1, 1, 2, 2), (2, 1, 1, 3)]


class Broken(Reading):
    """Does `wrong` to the logits of its call number 2."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def forward(self, images):
        logits = super().forward(images)
        return self.wrong(logits) if len(self.calls) == 2 else logits


def poke(value):
    def poked(logits):
        logits[-1, 0, 0, 0] = value
        return logits
    return poked


def no_size_for_it(logits):
    raise ValueError("height must be a multiple of 16, got 1")


@pytest.mark.parametrize("wrong, message", [
    (poke(torch.nan), "logits must be numbers below infinity, got nan, in sample 1 \\('b'\\)$"),
    (poke(torch.inf), "logits must be numbers below infinity, got inf, in sample 1 \\('b'\\)$"),
    (lambda logits: logits[..., 1:], r"logits must have shape \(3, 1, 3\) a sample, got shape \(3, 1, 2\); .*'b'"),
    (lambda logits: {"out": logits}, r"model must return one output a sample, 1, got dict; .*, in sample 1 \('b'\)$"),
    (no_size_for_it, r"height must be a multiple of 16, got 1, in sample 1 \('b'\)$"),
])
def test_a_broken_model_is_found_and_the_sample_named(wrong, message):
    model = Broken(wrong).train()
    model.norm.eval()
    with pytest.raises((TypeError, ValueError), match=message) as error:
        evaluate_dense(model, SAMPLES, 3)
    assert error.value is not None and torch.is_grad_enabled()     # while somebody still holds the error
    assert model.training and not model.norm.training


def test_minus_infinity_rules_a_class_out():
    assert evaluate_dense(Broken(poke(-torch.inf)), SAMPLES, 3).confusion.counts.sum() == 9


@pytest.mark.parametrize("call, message", [
    (lambda: evaluate_dense(read, [], 3), "samples must hold at least one Sample, got none"),
    (lambda: evaluate_objects(read, []), "samples must hold at least one Sample, got none"),
    (lambda: evaluate_dense(read, [(1, 2)], 3), "samples must hold Samples, got tuple at 0"),
    (lambda: evaluate_dense(read, SAMPLES, 3, batch_size=0), "batch_size must be an integer >= 1, got 0"),
    (lambda: evaluate_dense("unet", SAMPLES, 3), "model must be a network or a function of an image, got str"),
    (lambda: evaluate_dense(read, SAMPLES, 2), r"true must hold class ids 0..1 .*, got 0..2, in sample 1 \('b'\)"),
    (lambda: evaluate_dense(lambda image: image[0], SAMPLES, 3), r"integers.* got .*float32.*, in sample 0 \('a'\)"),
    (lambda: evaluate_dense(read, SAMPLES, 3, boundary_tolerance=-1), "tolerance must be .* >= 0"),
])
def test_wrong_arguments_are_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_parameters_that_are_nan_are_found_before_they_look_like_an_empty_picture():
    model = Reading()
    model.norm.weight.data[0] = torch.nan
    for measure in (lambda: evaluate_dense(model, SAMPLES, 3), lambda: evaluate_objects(model, SAMPLES)):
        with pytest.raises(ValueError, match="model must have finite parameters, got nan in norm.weight"):
            measure()


def test_the_model_keeps_its_modes_and_gradients():
    model = Reading().train()
    model.norm.eval()
    model.norm.weight.grad = torch.ones(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate_dense(model, SAMPLES, 3)
    assert {call[1:] for call in model.calls} == {(False, False)}
    assert model.training and not model.norm.training and model.norm.weight.grad.item() == 1
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# --- objects --------------------------------------------------------------------------------------------------------

def objects(masks, classes, scores=None):
    """As the course's detectors return them: masks (D, 1, H, W) in 0..1."""
    masks = torch.stack(masks)
    boxes = []
    for mask in masks:
        ys, xs = mask.nonzero().unbind(1)
        boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    return {"boxes": torch.tensor(boxes).float(), "labels": torch.tensor(classes), "masks": masks[:, None] * 0.9,
            "scores": torch.ones(len(masks)) if scores is None else torch.tensor(scores)}


def square(y, x, side, size=12):
    mask = torch.zeros(size, size)
    mask[y:y + side, x:x + side] = 1
    return mask


def scene(*squares, name=""):
    instances = torch.zeros(12, 12, dtype=torch.int32)
    for i, mask in enumerate(squares, 1):
        instances[mask > 0] = i
    return Sample(image=torch.zeros(1, 12, 12), semantic=(instances > 0).long(), instances=instances, name=name,
                  classes=torch.ones(len(squares), dtype=torch.int64))


class Detector(nn.Module):
    """Says what it was told, picture after picture."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.norm, self.sizes = list(answers), nn.BatchNorm2d(1), []

    def forward(self, images):
        assert isinstance(images, list) and not torch.is_grad_enabled() and not self.training
        self.sizes.append(len(images))
        return [self.answers.pop(0) for _ in images]


A, B, FALSE = square(0, 0, 4), square(6, 6, 4), square(0, 8, 3)
SCENES = [scene(A, B, name="first"), scene(B, name="second")]


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_hand_worked_average_precision(iou_type, batch_size):
    """Scores 0.9 right, 0.8 wrong, 0.7 right; the third object is missed: precision 1, then 2/3, up to recall 2/3."""
    answers = [objects([A, FALSE], [1, 1], [0.9, 0.8]), objects([B], [1], [0.7])]
    detector = Detector(answers).train()
    found = evaluate_objects(detector, SCENES, iou_type=iou_type, batch_size=batch_size)
    # recalls 0.00..0.33 at precision 1: 34 of 101 points; 0.34..0.66 at 2/3: 33 points; beyond: 0
    assert found["AP50"] == pytest.approx((34 + 33 * 2 / 3) / 101) and found["AP"] == pytest.approx(found["AP50"])
    assert found["AR100"] == pytest.approx(2 / 3) and len(found) == 12
    assert detector.sizes == ([1, 1] if batch_size == 1 else [2])
    assert detector.training and detector.norm.training


def test_a_function_of_one_picture_is_a_detector():
    answers = iter([objects([A, B], [1, 1]), objects([B], [1])])
    assert evaluate_objects(lambda image: next(answers), SCENES)["AP"] == pytest.approx(1)


def test_separate_masks_and_crowds_of_a_sample_are_what_counts():
    """A crowd that is found is neither right nor wrong, and an object below another one is a whole object."""
    below, above, crowd = square(0, 0, 8), square(0, 0, 5), square(8, 8, 4)
    masks = torch.stack([above, below, crowd]).bool()
    instances = torch.where(above > 0, 1, torch.where(below > 0, 2, 0)).int()
    boxes = torch.tensor([[0, 0, 5, 5], [0, 0, 8, 8], [8, 8, 12, 12]]).float()
    truth = Sample(image=torch.zeros(1, 12, 12), semantic=(instances > 0).long(), instances=instances,
                   classes=torch.ones(2, dtype=torch.int64), masks=masks, mask_boxes=boxes,
                   mask_classes=torch.ones(3, dtype=torch.int64), crowd=torch.tensor([False, False, True]))
    answer = objects([square(8, 8, 2), below, above], [1, 1, 1], [0.9, 0.8, 0.7])
    for iou_type in ("segm", "bbox"):
        assert evaluate_objects(Detector([answer]), [truth], iou_type=iou_type)["AP"] == pytest.approx(1)


@pytest.mark.parametrize("wrong, message", [
    ({"boxes": torch.tensor([[0.0, 0.0, torch.nan, 4.0]])}, "boxes"),
    ({"scores": torch.tensor([torch.nan])}, "scores"),
    ({"masks": torch.full((1, 1, 12, 12), torch.nan)}, "masks"),
    ({"masks": torch.ones(1, 1, 6, 6)}, "size, H x W"),
])
def test_detections_that_cannot_be_compared_name_the_sample(wrong, message):
    answers = [objects([A, B], [1, 1]), objects([B], [1]) | wrong]
    with pytest.raises((TypeError, ValueError), match=rf"{message}.*, in sample 1 \('second'\)$"):
        evaluate_objects(Detector(answers), SCENES)
    with pytest.raises(TypeError, match=r"model must return one output a sample, 2, got list of 1.*'first'.*'second'"):
        evaluate_objects(Short(), SCENES, batch_size=2)


def test_objects_without_a_class_are_not_compared_with_objects_that_have_one():
    """Class 0 by default, and never matched by a detection of class 1: AP 0 of a perfect detector."""
    bare = Sample(image=torch.zeros(1, 12, 12), semantic=(A > 0).long(), instances=A.int(), name="bare")
    answer = objects([A], [1])
    with pytest.raises(ValueError, match=r"got those of the detections and none of the sample, in sample 0 \('bare'\)"):
        evaluate_objects(Detector([answer]), [bare])
    del answer["labels"]
    assert evaluate_objects(Detector([answer]), [bare])["AP"] == pytest.approx(1)
    with pytest.raises(ValueError, match=r"got those of the sample and none of the detections, in sample 0 \('b'\)"):
        evaluate_objects(Detector([answer]), [scene(A, name="b")])


def test_a_picture_without_objects_counts_for_false_alarms_only():
    detector = Detector([objects([A], [1], [0.9]), objects([B], [1], [0.8])])
    assert evaluate_objects(detector, [scene(name="empty"), SCENES[1]])["AP"] == pytest.approx(0.5)


class Short(nn.Module):
    def forward(self, images):
        return [{}]


def test_a_real_detector_of_the_course_goes_in_as_it_is():
    from seglab.models import small_mask_rcnn

    torch.manual_seed(0)
    found = evaluate_objects(small_mask_rcnn(4).train(), Shapes(length=2), batch_size=2)
    assert len(found) == 12 and 0 <= found["AP"] <= 1
