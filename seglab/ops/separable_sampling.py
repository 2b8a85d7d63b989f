"""Many RoIs as one linear operator A_y F A_x^T, applied forwards and transposed without ever being written out."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F

TAPS_AT_ONCE = 1 << 22                                       # bounds the working memory: about 100 MB


@dataclass
class Taps:
    """The non-zero entries of A_y or A_x for all RoIs: cells and weights, both (K, bins, T); unused ones weigh 0."""

    cells: torch.Tensor
    weights: torch.Tensor

    def to(self, dtype):
        return Taps(self.cells, self.weights.to(dtype))

    def dense(self, length):
        """The matrices themselves, (K, bins, length)."""
        matrix = self.weights.new_zeros(*self.weights.shape[:2], length)
        return matrix.scatter_add_(2, self.cells, self.weights)

    def span(self):
        """First cell used and one past the last, two lists of K; (0, 0) where nothing is."""
        used = (self.weights != 0).flatten(1)
        cells = self.cells.flatten(1)
        first = torch.where(used, cells, cells.amax() + 1).amin(1)
        past = torch.where(used, cells + 1, 0).amax(1)
        return torch.minimum(first, past).tolist(), past.tolist()

    def chunk(self, start, stop):
        return Taps(self.cells[start:stop], self.weights[start:stop])


class Linear(torch.autograd.Function):
    """A linear operator: its gradient is its transpose, whose gradient is the operator again."""

    @staticmethod
    def forward(ctx, x, form, transposed):
        ctx.form, ctx.transposed = form, transposed
        return form.transpose(x) if transposed else form.forward(x)

    @staticmethod
    def backward(ctx, grad):
        return Linear.apply(grad, ctx.form, not ctx.transposed), None, None


@dataclass
class _Form:
    """What both forms hold: the feature maps' shape, the map of each RoI, and the taps of the two axes."""

    shape: tuple
    image: torch.Tensor
    rows: Taps
    columns: Taps

    @property
    def pooled_shape(self):
        return len(self.image), self.shape[1], self.rows.cells.shape[1], self.columns.cells.shape[1]


class Gather(_Form):
    """One sparse matrix (K bins, N H W) times rows of C channels; its transpose has the same entries sorted by cell."""

    def forward(self, features):
        cells = features.permute(0, 2, 3, 1).reshape(-1, self.shape[1]).contiguous()
        count, channels, height, width = self.pooled_shape
        pooled = [_weighted_rows(cells, *entries[1:]) for entries in self.entries()]
        return torch.cat(pooled or [cells[:0]]).view(count, height, width, channels).permute(0, 3, 1, 2)

    def transpose(self, pooled):
        number, channels, height, width = self.shape
        bins = pooled.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
        total = None
        for first, cells, weights, offsets in self.entries():
            counts = torch.bincount(cells, minlength=number * height * width)
            order = cells.sort(stable=True).indices
            owner = torch.arange(len(offsets) - 1, device=cells.device, dtype=cells.dtype)
            owner = (first + owner).repeat_interleave(offsets.diff())
            part = _weighted_rows(bins, owner[order], weights[order], F.pad(counts.cumsum(0), (1, 0)).to(cells.dtype))
            total = part if total is None else total.add_(part)
        if total is None:
            total = bins.new_zeros(number * height * width, channels)
        return total.view(number, height, width, channels).permute(0, 3, 1, 2)

    def entries(self):
        """The sparse matrix in pieces: its first row, columns and values of all entries, and where each row begins."""
        count, _, height, width = self.pooled_shape
        taps = height * width * self.rows.cells.shape[2] * self.columns.cells.shape[2]
        pixels = self.shape[0] * self.shape[2] * self.shape[3]
        index = torch.int32 if max(pixels, count * height * width) < 2 ** 31 else torch.int64
        for start in range(0, count, max(1, TAPS_AT_ONCE // taps)):
            stop = min(count, start + max(1, TAPS_AT_ONCE // taps))
            rows, columns = self.rows.chunk(start, stop), self.columns.chunk(start, stop)
            y = (self.image[start:stop, None, None] * self.shape[2] + rows.cells).to(index) * self.shape[3]
            cells = y[:, :, None, :, None] + columns.cells.to(index)[:, None, :, None, :]
            weights = rows.weights[:, :, None, :, None] * columns.weights[:, None, :, None, :]
            used = weights != 0
            offsets = F.pad(used.flatten(3).sum(3).flatten().cumsum(0), (1, 0)).to(index)
            yield start * height * width, cells[used], weights[used], offsets


def _weighted_rows(table, indices, weights, offsets):
    """Row r of the result: the sum of weights * table[indices] over the entries from offsets[r] to offsets[r + 1]."""
    return F.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


class Windows(_Form):
    """A_y F A_x^T on the rectangle of cells that a RoI touches, one RoI after the other."""

    def forward(self, features):
        pooled = features.new_zeros(self.pooled_shape)
        for k, (window, a_y, a_x) in self.matrices():
            pooled[k] = a_y @ (features[window] @ a_x.T)
        return pooled

    def transpose(self, pooled):
        features = pooled.new_zeros(self.shape)
        for k, (window, a_y, a_x) in self.matrices():
            features[window] += (a_y.T @ pooled[k]) @ a_x
        return features

    def matrices(self):
        """(k, (window, A_y, A_x)): where RoI k reads its feature map, and its matrices there."""
        a_y, a_x = self.rows.dense(self.shape[2]), self.columns.dense(self.shape[3])
        (top, bottom), (left, right) = self.rows.span(), self.columns.span()
        for k, image in enumerate(self.image.tolist()):
            y, x = slice(top[k], bottom[k]), slice(left[k], right[k])
            yield k, ((image, slice(None), y, x), a_y[k, :, y], a_x[k, :, x])
