"""Many RoIs as one sparse matrix of kron(A_y, A_x), applied forwards and transposed."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

ENTRIES_AT_ONCE = 1 << 22                                    # bounds the working memory: about 100 MB
PIECE = 1 << 15          # entries made at once: in the cache, and too few for PyTorch to deal them out to its threads


class Listed(NamedTuple):
    """The entries of A_y or A_x one after the other, and where those of each bin begin and how many: (K, bins)."""

    cells: Tensor
    weights: Tensor
    first: Tensor
    number: Tensor


@dataclass
class Taps:
    """The entries of A_y or A_x for all RoIs: cells and weights, both (K, bins, T); unused ones weigh 0."""

    cells: Tensor
    weights: Tensor

    def dense(self, length: int) -> Tensor:
        """The matrices themselves, (K, bins, length)."""
        matrix = self.weights.new_zeros(*self.weights.shape[:2], length)
        return matrix.scatter_add_(2, self.cells, self.weights)

    def listed(self, dtype: torch.dtype) -> Listed:
        """The entries that are not 0, weights in a dtype."""
        used = self.weights != 0
        number = used.sum(2)
        first = (number.flatten().cumsum(0) - number.flatten()).view_as(number)
        return Listed(self.cells[used], self.weights[used].to(dtype), first, number)


class Linear(torch.autograd.Function):
    """A linear operator: its gradient is its transpose, whose gradient is the operator again."""

    @staticmethod
    def forward(ctx, x: Tensor, form: "Sampling", transposed: bool) -> Tensor:
        ctx.form, ctx.transposed = form, transposed
        return form.transpose(x) if transposed else form.forward(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        return Linear.apply(grad, ctx.form, not ctx.transposed), None, None


class Sampling:
    """The sparse matrix (K bins, N H W) that takes rows of C features to rows of C pooled ones.

    Parameters
    ----------
    shape : (N, C, H, W)
        Of the feature maps.
    image : tensor (K,)
        The map that each RoI reads.
    rows, columns : Taps
        Of the two axes.
    dtype : torch.dtype
        Of the features.
    """

    def __init__(self, shape: tuple[int, ...], image: Tensor, rows: Taps, columns: Taps, dtype: torch.dtype) -> None:
        self.shape = shape
        self.pooled_shape = len(image), shape[1], rows.cells.shape[1], columns.cells.shape[1]
        places = Taps((image[:, None, None] * shape[2] + rows.cells) * shape[3], rows.weights)
        self.rows, self.columns = places.listed(dtype), columns.listed(dtype)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (K, C, height, width)."""
        count, channels, height, width = self.pooled_shape
        cells = features.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
        pooled = [_weighted_rows(cells, *slab) for _, *slab in self.slabs()]
        pooled = pooled[0] if len(pooled) == 1 else torch.cat(pooled or [cells[:0]])
        return pooled.view(count, height, width, channels).permute(0, 3, 1, 2)

    def transpose(self, pooled: Tensor) -> Tensor:
        """(K, C, height, width) -> (N, C, H, W)."""
        number, channels, height, width = self.shape
        bins = pooled.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
        total = None
        for first, *slab in self.slabs():
            rows = bins[first:first + len(slab[-1]) - 1]
            part = _weighted_rows(rows, *(_sorted if rows.is_cuda else _counted)(*slab, number * height * width))
            total = part if total is None else total.add_(part)
        if total is None:
            total = bins.new_zeros(number * height * width, channels)
        return total.view(number, height, width, channels).permute(0, 3, 1, 2)

    def slabs(self) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """The matrix in pieces: its first row, columns and values of all entries, and where each row begins."""
        bins = self.pooled_shape[2] * self.pooled_shape[3]
        pixels = self.shape[0] * self.shape[2] * self.shape[3]
        index = torch.int32 if max(pixels, self.pooled_shape[0] * bins) < 2 ** 31 else torch.int64
        sizes = (self.rows.number.sum(1) * self.columns.number.sum(1)).tolist()
        for start, stop in _parts(sizes, 0, len(sizes), ENTRIES_AT_ONCE):
            at_once = ENTRIES_AT_ONCE if self.rows.cells.is_cuda else PIECE
            pieces = [self._entries(*part, index) for part in _parts(sizes, start, stop, at_once)]
            cells, weights, number = map(torch.cat, zip(*pieces, strict=True))
            yield start * bins, cells, weights, F.pad(number.cumsum(0), (1, 0)).to(index)

    def _entries(self, start: int, stop: int, index: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, values and number a row of the RoIs from start to stop: bin by bin, line by line of its cells."""
        height, width = self.pooled_shape[2:]
        lines, line_first = (side[start:stop, :, None].expand(-1, -1, width).flatten()
                             for side in (self.rows.number, self.rows.first))
        across, first = (side[start:stop, None].expand(-1, height, -1).flatten()
                         for side in (self.columns.number, self.columns.first))
        bin_of, y = _runs(line_first, lines)                            # one line of cells of one bin
        line_of, x = _runs(_at(first, bin_of), _at(across, bin_of))     # one cell of one line
        cells, weights = (_at(_at(rows, y), line_of) for rows in (self.rows.cells, self.rows.weights))
        cells.add_(_at(self.columns.cells, x))
        return cells.to(index), weights.mul_(_at(self.columns.weights, x)), lines * across


def _at(values: Tensor, index: Tensor) -> Tensor:
    """values[index], in a quarter of the time."""
    return values.index_select(0, index)


def _runs(first: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """The whole numbers first[k], first[k] + 1, ... (number[k] of them) for all k, and the k of each."""
    begin = number.cumsum(0) - number
    total = int(number.sum())
    owner = torch.bincount(begin, minlength=total)[:total].cumsum(0) - 1       # repeat_interleave wakes all threads
    return owner, torch.arange(total, device=first.device).add_(_at(first - begin, owner))


def _parts(sizes: list[int], start: int, stop: int, at_once: int) -> Iterator[tuple[int, int]]:
    """Cut start ... stop into ranges whose sizes sum to at most `at_once`, or of one element."""
    total = 0
    for k in range(start, stop):
        if k > start and total + sizes[k] > at_once:
            yield start, k
            start, total = k, 0
        total += sizes[k]
    if start < stop:
        yield start, stop


def _counted(columns: Tensor, values: Tensor, offsets: Tensor, width: int) -> tuple[Tensor, ...]:
    """The transposed matrix, of `width` rows, on the CPU: SciPy counts where PyTorch would sort, with all threads."""
    entries = values.numpy(), columns.numpy(), offsets.numpy()
    matrix = sparse.csr_array(entries, shape=(len(offsets) - 1, width)).tocsc()
    return tuple(map(torch.from_numpy, (matrix.indices, matrix.data, matrix.indptr)))


def _sorted(columns: Tensor, values: Tensor, offsets: Tensor, width: int) -> tuple[Tensor, ...]:
    """The same on any device."""
    number, order = torch.bincount(columns, minlength=width), columns.sort(stable=True).indices
    owner, _ = _runs(offsets[:-1], offsets.diff())
    return owner[order].to(columns.dtype), values[order], F.pad(number.cumsum(0), (1, 0)).to(columns.dtype)


def _weighted_rows(table: Tensor, indices: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    """Row r of the result: the sum of weights * table[indices] over the entries from offsets[r] to offsets[r + 1]."""
    return F.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)
