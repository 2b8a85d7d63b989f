"""A list-like set of samples that are made or read when they are asked for."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self, overload

from seglab.data.sample import Sample


class SampleSet:
    """Length, order, slices and iteration over ``items``; a set adds ``_read``.

    ``ds[3]`` and ``ds[-1]`` are Samples, read anew each time; ``ds[:20]`` is a set of the first twenty, of which
    nothing is read yet. An index beyond the end raises IndexError.
    """

    classes: tuple[str, ...] = ("background", "object")
    items: Sequence[Any] = ()

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Sample | Self:
        if isinstance(index, slice):
            part = copy.copy(self)
            part.items = self.items[index]
            return part
        return self._read(self.items[index])

    def __iter__(self) -> Iterator[Sample]:
        return (self._read(item) for item in self.items)

    def _read(self, item: Any) -> Sample:
        raise NotImplementedError
