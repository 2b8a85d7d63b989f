"""A model measured over a set of samples: class maps by their confusion matrix, objects by COCO's average precision.

Counts are summed over the whole set and ratios taken last. The model is put into evaluation mode for the time of the
measurement, without gradients; afterwards every part of it has the mode it came with.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seglab.data.sample import IGNORE, Sample
from seglab.inputs import whole
from seglab.last_good import not_finite
from seglab.metrics.boundary import boundary_f1
from seglab.metrics.coco import COCOEvaluator
from seglab.metrics.confusion import ConfusionMatrix, mean_of_present
from seglab.modes import evaluating
from seglab.runtime import progress


@dataclass(frozen=True, eq=False)
class DenseScores:
    """What :func:`evaluate_dense` counted.

    Parameters
    ----------
    confusion : ConfusionMatrix
        Of all pixels: ``confusion.iou()`` is the IoU of every class, ``confusion.mean_iou()`` their mean.
    boundary_f1 : (C,) float64 array or None
        Of every class, the mean over the pictures in which it occurs; NaN for a class that occurs in none.
    """

    confusion: ConfusionMatrix
    boundary_f1: np.ndarray | None = None

    def numbers(self) -> dict[str, float]:
        """``mean_iou``, ``pixel_accuracy`` and, where measured, ``boundary_f1``: as ``fit(validate=...)`` takes it."""
        numbers = {"mean_iou": self.confusion.mean_iou(), "pixel_accuracy": self.confusion.pixel_accuracy()}
        return numbers if self.boundary_f1 is None else numbers | {"boundary_f1": mean_of_present(self.boundary_f1)}


def evaluate_dense(model: nn.Module | Callable[[Tensor], Any], samples: Iterable[Sample], num_classes: int, *,
                   batch_size: int = 1, boundary_tolerance: float | None = None) -> DenseScores:
    """Compare predicted class ids with the ``semantic`` of every sample; pixels that are 255 there do not count.

    Parameters
    ----------
    model : Module or callable
        A network from images (N, C, H, W) to logits (N, ``num_classes``, H, W), or (N, 1, H, W) for two classes
        (class 1 where the logit is above 0). Or any function from one image (C, H, W) to its class ids (H, W): one
        around ``predict_tiled`` for a network with valid convolutions, a classic method, a network whose input is
        normalised first.
    samples : iterable of Sample
        Any set of ``seglab.data``, or a list.
    num_classes : int
        With the background.
    batch_size : int
        Pictures that go through a network at a time; only neighbours of one size do.
    boundary_tolerance : float, optional
        Measure :func:`seglab.metrics.boundary_f1` too, with this tolerance (a share of the diagonal, 0.0075 is usual).

    Returns
    -------
    DenseScores

    Raises
    ------
    TypeError, ValueError
        Naming the sample: logits of another shape or that are NaN or +infinity, class ids out of range. For an empty
        set, and for a network whose parameters are not finite.

    Examples
    --------
    >>> from seglab.data import Shapes
    >>> scores = evaluate_dense(lambda image: torch.zeros(image.shape[-2:], dtype=torch.int64), Shapes(length=3), 4)
    >>> scores.confusion.iou()[1:]                         # background everywhere
    array([0., 0., 0.])
    """
    confusion, outlines = ConfusionMatrix(num_classes, IGNORE), []
    with _measured(model):
        for group in _groups(samples, batch_size, one_size=True):
            for (index, sample), values in zip(group, _outputs(model, group), strict=True):
                with _named([(index, sample)]):
                    classes = _class_ids(values, sample, num_classes) if isinstance(model, nn.Module) else values
                    confusion.update(sample.semantic, classes)
                    if boundary_tolerance is not None:
                        outlines.append(boundary_f1(sample.semantic, classes, num_classes, boundary_tolerance, IGNORE))
    if boundary_tolerance is None:
        return DenseScores(confusion)
    scores = np.ma.masked_invalid(outlines).mean(0)
    return DenseScores(confusion, np.ma.filled(scores.astype(float), np.nan))


def evaluate_objects(detector: nn.Module | Callable[[Tensor], dict], samples: Iterable[Sample], *,
                     iou_type: str = "segm", batch_size: int = 1) -> dict[str, float]:
    """COCO's twelve numbers of a detector over a set of samples.

    Parameters
    ----------
    detector : Module or callable
        A network that in evaluation mode takes a list of images (C, H, W) and returns a dictionary for each, as
        ``MaskRCNN`` does. Or a function from one image to such a dictionary. What it may hold is said at
        :meth:`seglab.metrics.COCOEvaluator.update`.
    samples : iterable of Sample
        With objects; compared with ``Sample.truth()``, so with separate masks and crowds where the set has them.
    iou_type : {"segm", "bbox"}
        Whether masks are compared or boxes.
    batch_size : int
        Pictures that go through a network at a time.

    Returns
    -------
    dict of str to float
        ``AP``, ``AP50``, ... as :meth:`seglab.metrics.COCOEvaluator.compute`.

    Raises
    ------
    TypeError, ValueError
        Naming the sample: detections or truth that cannot be compared. For an empty set, and for a network whose
        parameters are not finite (its scores would be NaN, and it would seem to find nothing).
    """
    evaluator = COCOEvaluator(iou_type)
    with _measured(detector):
        for group in _groups(samples, batch_size, one_size=False):
            for (index, sample), found in zip(group, _outputs(detector, group, stack=list), strict=True):
                with _named([(index, sample)]):
                    truth = sample.truth()
                    if len(sample) and isinstance(found, Mapping):
                        _demand_classes_in_both(truth, found)
                    evaluator.update(truth, found)
    return evaluator.compute()


@contextmanager
def _measured(model: nn.Module | Callable[..., Any]) -> Iterator[None]:
    if not callable(model):
        raise TypeError(f"model must be a network or a function of an image, got {type(model).__name__}")
    if isinstance(model, nn.Module) and (broken := not_finite(model.named_parameters())):
        raise ValueError(f"model must have finite parameters, got {broken}")
    with evaluating(model), torch.no_grad():
        yield


def _groups(samples: Iterable[Sample], batch_size: int, one_size: bool) -> Iterator[list[tuple[int, Sample]]]:
    """Numbered samples, up to ``batch_size`` neighbours at a time."""
    whole(batch_size, "batch_size", 1)
    group: list[tuple[int, Sample]] = []
    for index, sample in enumerate(progress(samples, "samples")):
        if not isinstance(sample, Sample):
            raise TypeError(f"samples must hold Samples, got {type(sample).__name__} at {index}")
        if len(group) == batch_size or group and one_size and group[0][1].image.shape != sample.image.shape:
            yield group
            group = []
        group.append((index, sample))
    if not group:
        raise ValueError("samples must hold at least one Sample, got none")
    yield group


def _outputs(model: nn.Module | Callable[[Tensor], Any], group: list[tuple[int, Sample]],
             stack: Callable[[list[Tensor]], Any] = torch.stack) -> Sequence[Any]:
    """What ``model`` says about every sample of the group."""
    with _named(group):
        if not isinstance(model, nn.Module):
            return [model(sample.image) for _, sample in group]
        tensor = next((t for part in (model.parameters(), model.buffers()) for t in part), torch.empty(0))
        outputs = model(stack([sample.image.to(tensor.device) for _, sample in group]))
        if not isinstance(outputs, (Tensor, list)) or len(outputs) != len(group):
            raise TypeError(f"model must return one output a sample, {len(group)}, got {_kind(outputs)}; "
                            "in place of the network, pass a function of one image")
        return outputs


def _demand_classes_in_both(truth: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Objects without a class are of class 0 for the evaluator, and one of class 1 would never match them: AP 0."""
    classes = ["classes" in truth, "classes" in found or "labels" in found]
    if len(set(classes)) > 1:
        with_, without = ("sample", "detections") if classes[0] else ("detections", "sample")
        raise ValueError(f"classes must be given by the sample and the detections or by none, got those of the {with_} "
                         f"and none of the {without}")


def _class_ids(logits: Tensor, sample: Sample, num_classes: int) -> Tensor:
    size = tuple(sample.image.shape[-2:])
    if tuple(logits.shape) not in [(num_classes, *size)] + [(1, *size)] * (num_classes == 2):
        raise ValueError(f"logits must have shape {(num_classes, *size)} a sample, got {_kind(logits)}; "
                         "in place of the network, pass a function from an image to its class ids")
    if not (logits < torch.inf).all():                    # -infinity rules a class out; NaN fails as well
        raise ValueError(f"logits must be numbers below infinity, got {logits.max().item()}")
    return (logits.argmax(0) if len(logits) > 1 else (logits[0] > 0).long()).cpu()


@contextmanager
def _named(group: list[tuple[int, Sample]]) -> Iterator[None]:
    """Errors about the data inside end with the samples that they are about."""
    try:
        yield
    except (TypeError, ValueError) as err:
        about = ", ".join(f"{index} ({sample.name!r})" for index, sample in group)
        raise (TypeError if isinstance(err, TypeError) else ValueError)(f"{err}, in sample {about}") from err


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    count = f" of {len(value)}" if isinstance(value, (list, tuple)) else ""
    return f"shape {tuple(shape)}" if shape is not None else type(value).__name__ + count
