"""Cross entropy plus Dice, the usual compromise."""

from collections.abc import Sequence

from torch import Tensor

from seglab.inputs import IGNORE
from seglab.losses.cross_entropy import cross_entropy
from seglab.losses.dice import dice_loss


def cross_entropy_dice_loss(logits: Tensor, target: Tensor, weight_map: Tensor | None = None,
                            class_weights: Tensor | Sequence[float] | None = None, per_image: bool = True,
                            squared: bool = False, ignore_index: int = IGNORE) -> Tensor:
    """``cross_entropy(...) + dice_loss(...)``: gradient everywhere from the first, overlap from the second.

    Parameters
    ----------
    logits, target, weight_map, class_weights, ignore_index
        As in :func:`seglab.losses.cross_entropy`; the weights act on the cross entropy alone.
    per_image, squared
        As in :func:`seglab.losses.dice_loss`.

    Returns
    -------
    Scalar tensor.

    Raises
    ------
    TypeError, ValueError
        As :func:`seglab.losses.cross_entropy`.

    References
    ----------
    Isensee et al. (2021), nnU-Net, methods ("Dice + cross entropy"). Notebook 03.
    """
    return (cross_entropy(logits, target, weight_map, class_weights, ignore_index)
            + dice_loss(logits, target, per_image, squared, ignore_index=ignore_index))
