"""Six ports of one trained network, five of them with a fault, for the detective of notebook 17.

All six hold the same weights, their ``state_dict`` loads strictly, and none of them warns.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.data import Cells
from seglab.models.unet import DoubleConv
from seglab.train import fit

FAULTS = ("healthy", "no skip", "ReLU before the sigmoid", "missing normalisation", "crossed channels",
          "wrong mode at test")


class Join(nn.Module):
    """The skip in front, what comes from below behind it: ``(N, C, h, w)`` twice -> ``(N, 2C, h, w)``."""

    def __init__(self, fault: str):
        super().__init__()
        self.__fault = fault

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        if self.__fault == "no skip":
            skip = torch.zeros_like(skip)
        return torch.cat([below, skip] if self.__fault == "crossed channels" else [skip, below], 1)


class Norm(nn.BatchNorm2d):
    """Batch normalisation, or what a port made of it."""

    def __init__(self, channels: int, fault: str):
        super().__init__(channels)
        self.__fault = fault

    def forward(self, x: Tensor) -> Tensor:
        if self.__fault == "missing normalisation":
            return x * self.weight[:, None, None] + self.bias[:, None, None]
        return super().forward(x)


class Logit(nn.Conv2d):
    """The last convolution, ``(N, C, h, w)`` -> ``(N, 1, h, w)``."""

    def __init__(self, channels: int, fault: str):
        super().__init__(channels, 1, 1)
        self.__fault = fault

    def forward(self, x: Tensor) -> Tensor:
        logit = super().forward(x)
        return logit.relu() if self.__fault == "ReLU before the sigmoid" else logit


class Port(nn.Module):
    """A small padded U-Net with batch normalisation; images ``(N, 1, H, W)`` -> probabilities ``(N, 1, H, W)``.

    Its places to look at, as ``named_modules()`` calls them: ``down.0``, ``down.1``, ``down.2`` (encoder); ``down.k.1``
    and ``down.k.4`` (the normalisations inside), ``ups.k`` (up-convolutions), ``joins.k`` (skip and what comes from
    below, concatenated), ``convs.k`` (decoder), ``head`` (logit), ``sigmoid``.
    """

    def __init__(self, fault: str = "healthy", base: int = 6):
        super().__init__()
        if fault not in FAULTS:
            raise ValueError(f"fault must be one of {FAULTS}, got {fault!r}")

        def double(before: int, after: int) -> DoubleConv:
            block = DoubleConv(before, after, "same", "batch")
            for k, layer in enumerate(block):
                if isinstance(layer, nn.BatchNorm2d):
                    block[k] = Norm(after, fault)
            return block

        widths = [base, 2 * base, 4 * base]
        self.down = nn.ModuleList(map(double, [1, *widths[:-1]], widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.joins = nn.ModuleList(Join(fault) for _ in self.ups)
        self.convs = nn.ModuleList(double(2 * w, w) for w in reversed(widths[:-1]))
        self.head, self.sigmoid = Logit(base, fault), nn.Sigmoid()

    def forward(self, images: Tensor) -> Tensor:
        skips, x = [], images
        for level, conv in enumerate(self.down):
            x = conv(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, join, conv, skip in zip(self.ups, self.joins, self.convs, reversed(skips[:-1]), strict=True):
            x = conv(join(skip, up(x)))
        return self.sigmoid(self.head(x))


@lru_cache(maxsize=1)
def trained_port(seed: int = 0, steps: int = 60) -> dict[str, Tensor]:
    """The weights of a healthy port, trained for some seconds on synthetic cells of 64 px."""
    cells = Cells(size=(64, 64), count=8, radius=(4, 9), length=64, seed=100 + seed)
    samples = [cells[k] for k in range(64)]
    images, targets = (torch.stack(part) for part in zip(*((s.image, s.semantic[None].float()) for s in samples)))

    def batch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(0, 64, (8,), generator=generator)
        return images[chosen], targets[chosen]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Port()
        fit(net, batch, lambda net, x, y: F.binary_cross_entropy(net(x), y), steps=steps, lr=1e-2,
            schedule=lambda done: 1 - done, seed=seed)
    return {name: value.cpu() for name, value in net.state_dict().items()}


def suspects(seed: int = 0) -> dict[str, Port]:
    """Six ports by letter, A to F: each fault once and one without, in an order that the seed decides."""
    order = torch.randperm(len(FAULTS), generator=torch.Generator().manual_seed(seed)).tolist()
    return {letter: port(FAULTS[k]) for letter, k in zip("ABCDEF", order)}


def port(fault: str) -> Port:
    """One trained port with this fault; in eval mode, unless forgetting that is the fault."""
    with torch.random.fork_rng(devices=[]):  # a reader's own draws must not depend on who is looked at
        net = Port(fault)
    net.load_state_dict(trained_port())
    return net.train(fault == "wrong mode at test")


def guilty(seed: int = 0) -> dict[str, str]:
    """The truth about :func:`suspects` of this seed."""
    order = torch.randperm(len(FAULTS), generator=torch.Generator().manual_seed(seed)).tolist()
    return {letter: FAULTS[k] for letter, k in zip("ABCDEF", order)}
