"""Every metric gives one number for the same pixels, in whatever layout and dtype, and refuses a mask of 0 and 255."""

import inspect

import numpy as np
import pytest
import torch
from scipy import ndimage

from seglab import metrics
from seglab.metrics import COCOEvaluator, ConfusionMatrix, panoptic_quality

RNG = np.random.default_rng(0)
BLOBS = ndimage.gaussian_filter(RNG.random((2, 30, 41)), (0, 2, 2))
TRUE, PRED = (ndimage.label(b > np.quantile(b, 0.6))[0] for b in BLOBS)
PROBABILITY = (BLOBS[1] - BLOBS[1].min()) / np.ptp(BLOBS[1])


def confusion(true, pred, **options):
    counts = ConfusionMatrix(3, **options)
    counts.update(true, pred)
    return counts.counts


def coco(true, pred):
    evaluator = COCOEvaluator("segm")
    evaluator.update({"instances": true}, {"instances": pred, "scores": np.linspace(1, 0.5, PRED.max())})
    return list(evaluator.compute().values())


def coco_masks(true, pred):
    """The masks as a stack, whose layout follows from that of the map."""
    evaluator, of = COCOEvaluator("segm", compatible=False), lambda m: m[None] == 1
    evaluator.update({"masks": of(true)}, {"masks": of(pred), "scores": np.ones(1)})
    return list(evaluator.compute().values())


def panoptic(true, pred):
    stack = torch.stack if torch.is_tensor(true) else np.stack
    return panoptic_quality(*(stack([(m > 0) + m * 0, m], -1) for m in (true, pred)), things={1}, stuffs={0})[:3]


CLASS_MAPS = {
    "iou": lambda t, p, **o: metrics.iou(t, p, 3, **o), "dice": lambda t, p, **o: metrics.dice(t, p, 3, **o),
    "pixel_accuracy": metrics.pixel_accuracy, "pixel_error": metrics.pixel_error, "ConfusionMatrix": confusion,
    "boundary_f1": lambda t, p, **o: metrics.boundary_f1(t, p, 3, 0.02, **o),
    "trimap_iou": lambda t, p, **o: metrics.trimap_iou(t, p, 3, 3, **o),
}
MASKS = {
    "iou": metrics.iou, "dice": metrics.dice, "boundary_f1": metrics.boundary_f1, "hausdorff": metrics.hausdorff,
    "trimap_iou": lambda t, p, **o: metrics.trimap_iou(t, p, 3, **o), "warping_error": metrics.warping_error,
    "warp": metrics.warp, "warping_error in a band": lambda t, p: metrics.warping_error(t, p, mask=t),
    "coco_masks": coco_masks, "pixel_error": metrics.pixel_error,
}
LABEL_MAPS = {
    "rand_error": metrics.rand_error, "rand_scores": metrics.rand_scores, "object_f1": metrics.object_f1,
    "variation_of_information": metrics.variation_of_information, "information_score": metrics.information_score,
    "merges_and_splits": metrics.merges_and_splits, "mask_iou": metrics.mask_iou, "COCOEvaluator": coco,
    "mask_iou, sparse": lambda a, b: metrics.mask_iou(a, b, sparse_output=True).toarray(), "panoptic": panoptic,
    "joint_counts": lambda a, b: metrics.joint_counts(a, b).pixels,
}
CALIBRATION = {
    "calibration_error": lambda t, p, **o: metrics.calibration_error(p, t, **o),
    "reliability_curve": lambda t, p, **o: np.stack(metrics.reliability_curve(p, t, **o)),
}
CASES = [(name, f, *pair) for group, pair in (
    (CLASS_MAPS, (TRUE % 3, PRED % 3)), (MASKS, ((TRUE > 0) * 1, (PRED > 0) * 1)), (LABEL_MAPS, (TRUE, PRED)),
    (CALIBRATION, ((TRUE > 0) * 1, PROBABILITY))) for name, f in group.items()]
every_metric = pytest.mark.parametrize("metric, true, pred", [case[1:] for case in CASES], ids=[c[0] for c in CASES])


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


LAYOUTS = {
    "Fortran": np.asfortranarray, "transposed": lambda a: np.ascontiguousarray(a.T).T, "read-only": read_only,
    "negative strides": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "every second": lambda a: a.repeat(2, 0).repeat(2, 1)[::2, ::2],
    "foreign byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "tensor": lambda a: torch.from_numpy(a.copy()), "transposed tensor": lambda a: torch.from_numpy(a.T.copy()).T,
}
WHAT_IS_THERE = set(metrics.__all__) - {"PanopticQuality", "mean_of_present", "simple_points"}


def test_no_metric_is_forgotten():
    sources = inspect.getsource(inspect.getmodule(test_no_metric_is_forgotten))
    assert [name for name in sorted(WHAT_IS_THERE) if f"metrics.{name}" not in sources
            and f"{name}(" not in sources] == []


@pytest.mark.parametrize("layout", LAYOUTS)
@every_metric
def test_every_layout(metric, true, pred, layout):
    expected, moved = metric(true, pred), LAYOUTS[layout]
    for pair in ((moved(true), pred), (true, moved(pred)), (moved(true), moved(pred))):
        if not isinstance(pair[0], type(pair[1])) and metric is panoptic:
            continue                                                 # two forms at once: stacked by the test, not by us
        np.testing.assert_array_equal(metric(*pair), expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64,
                                   torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32,
                                   torch.uint64], ids=str)
@every_metric
def test_every_integer_dtype(metric, true, pred, dtype):
    if metric in (panoptic, coco_masks) and str(dtype).startswith("torch.uint") and dtype != torch.uint8:
        pytest.skip("the test's own arithmetic: PyTorch has next to none for these dtypes")
    cast = (lambda a: torch.from_numpy(a).to(dtype)) if isinstance(dtype, torch.dtype) else lambda a: a.astype(dtype)
    expected = metric(true, pred)
    floats = pred.dtype.kind == "f"
    np.testing.assert_array_equal(metric(cast(true), pred if floats else cast(pred)), expected)


@pytest.mark.parametrize("name", [*CLASS_MAPS, *CALIBRATION])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int64], ids=str)
def test_void_in_every_dtype(name, dtype):
    metric, true, pred = next(c for c in CASES if c[0] == name)[1:]
    true = np.where(RNG.random(true.shape) < 0.2, 255, true)
    expected = metric(true, pred)
    np.testing.assert_array_equal(metric(true.astype(dtype), pred), expected)
    elsewhere = pred.copy()
    elsewhere[true == 255] = 0
    np.testing.assert_array_equal(metric(true.astype(dtype), elsewhere), expected)


@pytest.mark.parametrize("name", CALIBRATION)
def test_nan_where_void(name):
    metric, true, pred = next(c for c in CASES if c[0] == name)[1:]
    true = np.where(RNG.random(true.shape) < 0.2, 255, true)
    np.testing.assert_array_equal(metric(true, np.where(true == 255, np.nan, pred)), metric(true, pred))


MAY_SAY_VOID = {"iou", "dice", "boundary_f1", "trimap_iou", "pixel_error"}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("form", ["uint8", "int64", "tensor"])
def test_a_mask_of_0_and_255(name, form):
    """Void or foreground? Nobody can tell, so somebody has to say. A prediction of nothing used to score 1.0."""
    metric, true = MASKS[name], (TRUE > 0) * 255
    true = torch.from_numpy(true) if form == "tensor" else true.astype(form)
    if name == "coco_masks":                                         # its test form compares with 1
        pytest.skip("see test_metrics_inputs: test_coco")
    for pred in (np.zeros(TRUE.shape, bool), TRUE > 0):
        with pytest.raises(ValueError, match="^true must hold 0 and 1, got .*255.*divide by 255"):
            metric(true, pred)
        if name in MAY_SAY_VOID:
            assert metric(true, pred, ignore_index=255) is not None
            if name != "pixel_error":
                with pytest.raises(ValueError, match="divide by 255"):
                    metric(true * 0 + 255, pred)
    if name not in MAY_SAY_VOID:
        with pytest.raises(ValueError, match="^pred must hold 0 and 1, got 0 and 255: divide by 255"):
            metric(TRUE > 0, true)


@pytest.mark.parametrize("name", CALIBRATION)
def test_a_target_of_0_and_255(name):
    with pytest.raises(ValueError, match="^target must hold 0 and 1, got 255 and never 1: .*divide by 255"):
        CALIBRATION[name]((TRUE > 0) * 255, PROBABILITY)
    CALIBRATION[name]((TRUE > 0) * 255, PROBABILITY, ignore_index=255)


def test_confusion_of_two_classes_fed_with_0_and_255():
    with pytest.raises(ValueError, match="^true must hold 0 and 1"):
        ConfusionMatrix(2).update((TRUE > 0) * 255, TRUE > 0)
    counts = ConfusionMatrix(2, ignore_index=255)
    counts.update((TRUE > 0) * 255, TRUE > 0)
    assert counts.counts.sum() == (TRUE == 0).sum()
    assert ConfusionMatrix(2).ignore_index == 255 and str(ConfusionMatrix(2).ignore_index) == "255"


def test_void_of_many_classes_stays_void():
    """A crop of a street with background and void, or void alone, is no mask of 0 and 255."""
    pred = PRED % 3
    for void in ((TRUE > 0) * 255, np.full(TRUE.shape, 255)):
        for metric in CLASS_MAPS.values():
            np.testing.assert_array_equal(metric(void, pred), metric(void, pred, ignore_index=255))
    assert metrics.pixel_error(np.full(TRUE.shape, 255), TRUE > 0) == 0.0


@pytest.mark.parametrize("metric", [metrics.iou, metrics.dice, metrics.pixel_accuracy, metrics.pixel_error,
                                    metrics.boundary_f1, metrics.trimap_iou, metrics.calibration_error,
                                    metrics.reliability_curve, ConfusionMatrix], ids=lambda f: f.__name__)
def test_the_default_is_printed_as_255(metric):
    assert "ignore_index: int | None = 255" in str(inspect.signature(metric))


def test_object_255_is_an_object():
    labels = np.arange(400).reshape(20, 20)
    assert metrics.object_f1(labels, labels).tp == 399 and metrics.mask_iou(labels, labels).trace() == 399


def test_nothing_is_changed_in_place():
    for name, metric, true, pred in CASES:
        before = true.copy(), pred.copy()
        metric(true, pred)
        assert (true == before[0]).all() and (pred == before[1]).all(), name
