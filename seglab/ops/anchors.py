"""Anchors: boxes of a few sizes and shapes, centred on every cell of a feature map."""
import torch
from torch import Tensor

from seglab.inputs import positive, several, whole
from seglab.ops.boxes import checked_boxes


def base_anchors(sizes: tuple[float, ...], aspect_ratios: tuple[float, ...]) -> Tensor:
    """The anchors of one cell, centred on (0, 0).

    Parameters
    ----------
    sizes : floats
        Square root of the area, px, > 0.
    aspect_ratios : floats
        **Height / width**, > 0: 2 is a tall box.

    Returns
    -------
    Tensor (R * S, 4), float32
        Ratio by ratio, size by size within (index ``r * S + s``), rounded to whole px, halves to the even one.

    Raises
    ------
    ValueError
        A size or ratio that is not positive and finite, or none.

    References
    ----------
    Ren et al., "Faster R-CNN", NIPS 2015, section 3.1 (128, 256, 512 px; ratios 1:2, 1:1, 2:1); order and rounding as
    torchvision's ``AnchorGenerator``. Derived in notebook 12.

    Examples
    --------
    >>> base_anchors((32,), (0.5, 1, 2))
    tensor([[-23., -11.,  23.,  11.],
            [-16., -16.,  16.,  16.],
            [-11., -23.,  11.,  23.]])
    """
    for name, values in (("sizes", sizes), ("aspect_ratios", aspect_ratios)):
        for value in several(values, name):
            positive(value, name)
    sizes = torch.tensor(sizes, dtype=torch.float32)
    stretch = torch.tensor(aspect_ratios, dtype=torch.float32).sqrt()[:, None]
    widths, heights = (1 / stretch * sizes).flatten(), (stretch * sizes).flatten()
    return (torch.stack([-widths, -heights, widths, heights], dim=1) / 2).round()


def grid_anchors(grid_size: tuple[int, int], stride: tuple[int, int], base: Tensor) -> Tensor:
    """The anchors of one feature map: every base anchor on every cell.

    Parameters
    ----------
    grid_size : (H, W)
        Cells of the feature map.
    stride : (down, right)
        Distance of neighbouring cells, px of the image.
    base : Tensor (A, 4)
        From :func:`base_anchors`.

    Returns
    -------
    Tensor (H * W * A, 4)
        Type of `base`; row by row, cell by cell, anchor by anchor. Cell (i, j) sits at ``(j * right, i * down)``, its
        corner and not its middle: half a stride off, which the regressor learns to add.

    Raises
    ------
    TypeError, ValueError
        A base of another form; a grid size that is no integer >= 0, a stride that is not > 0, or not two of them.
    """
    base = checked_boxes(base, "base")
    grid_size = [whole(n, "grid_size") for n in several(grid_size, "grid_size", 2)]
    for step in several(stride, "stride", 2):
        positive(step, "stride")
    y, x = (torch.arange(n, device=base.device) * step for n, step in zip(grid_size, stride, strict=True))
    kind = torch.promote_types(y.dtype, x.dtype)                        # one stride may be whole and one not
    y, x = torch.meshgrid(y.to(kind), x.to(kind), indexing="ij")
    return (torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4) + base).reshape(-1, 4)
