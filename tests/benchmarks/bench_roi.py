"""RoIAlign against torchvision's C++ operator: 512 RoIs, 256 channels, 7 x 7 bins, 2 x 2 samples, three map sizes;
and once with two threads while another process keeps a core busy, as on a laptop that does something else too."""

import statistics
import subprocess
import sys
import time

import torch
from torchvision import ops

from seglab.ops import roi_align


def boxes(height, width, count=512):
    """Boxes (K, 5) of sides 16 to 512 px, evenly on a logarithmic scale, anywhere on a picture."""
    g = torch.Generator().manual_seed(0)
    side = 16 * 32 ** torch.rand(count, 2, generator=g)
    extent = torch.tensor([width, height])
    centre = torch.rand(count, 2, generator=g) * extent
    low, high = (centre - side / 2).clamp(min=0), torch.minimum(centre + side / 2, extent)
    return torch.cat([torch.zeros(count, 1), low, high], 1)


def against_torchvision(height, width, stride, backward, repeats=9):
    """A row: both sides by turns, so that a busy moment of the machine meets both."""
    features = torch.randn(1, 256, height, width, generator=torch.Generator().manual_seed(1)).requires_grad_(backward)
    rois, arguments = boxes(height * stride, width * stride), (7, 1 / stride, 2)
    cotangent = torch.randn(len(rois), 256, 7, 7, generator=torch.Generator().manual_seed(2))
    times, results = ([], []), [None, None]
    for _ in range(repeats + 1):
        for side, operator in enumerate((roi_align, ops.roi_align)):
            begun = time.perf_counter()
            pooled = operator(features, rois, *arguments)
            grad = torch.autograd.grad(pooled, features, cotangent)[0] if backward else pooled
            times[side].append(time.perf_counter() - begun)
            results[side] = grad
    ours, theirs = (statistics.median(side[1:]) for side in times)                  # the first round warms up
    return dict(name=f"RoIAlign {'forward + backward' if backward else 'forward'}, {height}x{width}",
                rival="torchvision C++", ours=ours, theirs=theirs, limit=1.0,
                difference=float((results[0] - results[1]).abs().max()), tolerance=1e-4 if backward else 1e-5)


def training_on_25():
    return against_torchvision(25, 25, 32, backward=True)


def training_on_50():
    return against_torchvision(50, 50, 16, backward=True)


def training_on_200():
    return against_torchvision(200, 272, 4, backward=True)


def forward_on_25():
    return against_torchvision(25, 25, 32, backward=False)


def forward_on_50():
    return against_torchvision(50, 50, 16, backward=False)


def forward_on_200():
    return against_torchvision(200, 272, 4, backward=False)


def training_beside_a_busy_process():
    """Two threads that have to wait for one another, on two cores of which another process takes one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        row = training_on_50()
    finally:
        busy.kill()
        busy.wait()
        torch.set_num_threads(threads)
    return row | dict(name=row["name"] + ", two threads beside a busy process")


ROWS = [training_on_25, training_on_50, training_on_200, forward_on_25, forward_on_50, forward_on_200,
        training_beside_a_busy_process]
