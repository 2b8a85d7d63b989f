"""Tiled prediction equals that of the whole mirrored picture: on the pooling grid, and only there."""

import pytest
import torch
from torch import nn

from seglab.data import mirror_indices, predict_tiled
from seglab.models import UNet
from seglab.ops import receptive_field


class TwoLevels(nn.Module):
    """A valid U-Net of two poolings, written apart from the package: in = 4 b + 20, out = in - 40."""

    def __init__(self):
        super().__init__()
        double = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3), nn.ReLU(), nn.Conv2d(o, o, 3), nn.ReLU())  # noqa: E731
        self.first, self.second, self.third = double(1, 4), double(4, 6), double(6, 8)
        self.up2, self.up1 = nn.ConvTranspose2d(8, 6, 2, 2), nn.ConvTranspose2d(6, 4, 2, 2)
        self.back2, self.back1, self.last = double(12, 6), double(8, 4), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        one = self.first(x)
        two = self.second(nn.functional.max_pool2d(one, 2))
        three = self.third(nn.functional.max_pool2d(two, 2))
        x = self.back2(torch.cat([two[..., 4:-4, 4:-4], self.up2(three)], 1))
        return self.last(self.back1(torch.cat([one[..., 16:-16, 16:-16], self.up1(x)], 1)))


def whole(model, image, margin, multiple):
    """One pass over the mirrored picture, enlarged to a size that pools evenly."""
    height, width = image.shape[-2:]
    legal = {16: 60, 4: 20}[multiple]  # sizes of the two nets: 16 b + 60 and 4 b + 20
    rows, columns = (mirror_indices(-margin, size + (legal - size - 2 * margin) % multiple + margin, size)
                     for size in (height, width))
    with torch.no_grad():
        return model(image[:, rows][:, :, columns][None])[0, :, :height, :width]


@pytest.mark.parametrize("size", [(61, 45), (40, 40), (23, 70), (12, 9), (1, 30)])
def test_three_level_net_on_and_off_phase(size):
    torch.manual_seed(0)
    model, image = TwoLevels().double(), torch.rand(1, *size, dtype=torch.float64)
    expected = whole(model, image, 20, 4)
    for tile in (64, (52, 72)):
        tiled = predict_tiled(model, image, tile, margin=20, multiple=4, batch_size=3)
        worst = (tiled - expected).abs().max().item()
        print(f"picture of {size} px, tiles of {tile} px: max |diff| = {worst:.1e}")
        assert worst < 1e-12


def test_paper_geometry_steps_by_384_not_388():
    """depth 5: output tiles are 4 mod 16, so stepping by the tile leaves the grid (small tiles, same law)."""
    torch.manual_seed(0)
    model = UNet(base_channels=2).eval()
    for dtype, round_off in ((torch.float64, 1e-11), (torch.float32, 1e-3)):
        model, image = model.to(dtype), torch.rand(1, 60, 50, dtype=dtype)
        expected = whole(model, image, 92, 16)
        for tile in (204, 220):  # output 20 and 36: steps 16 and 32
            on = (predict_tiled(model, image, tile=tile) - expected).abs().max().item()
            shifted = predict_tiled(model, image, tile=tile, multiple=1)
            off = (shifted - expected).abs()
            print(f"U-Net of 5 levels, {dtype}, tile {tile}: on phase {on:.1e}, off phase {off.max():.1e}")
            assert on < round_off and off.max() > 0.1
            first = tile - 184  # the first tile starts at 0 and is on phase even then
            assert off[:, :first, :first].max() < round_off


def test_padded_net_needs_a_margin():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)).double()
    image = torch.rand(1, 50, 40, dtype=torch.float64)
    with torch.no_grad():
        inner = (..., slice(4, -4), slice(4, -4))  # the whole picture sees zeros at its own border
        expected = model(image[None])[0][inner]
    kept = (predict_tiled(model, image, tile=24, margin=4, multiple=4)[inner] - expected).abs().max().item()
    seams = (predict_tiled(model, image, tile=24, margin=0, multiple=4)[inner] - expected).abs().max().item()
    print(f"padded net: margin 4 px {kept:.1e}, margin 0 {seams:.1e}")
    assert kept < 1e-12 and seams > 1e-2


@pytest.mark.parametrize(("depth", "field", "stride", "margin", "tile"), [(3, 44, 4, 24, 80), (4, 100, 8, 56, 176)])
def test_numbers_for_a_padded_net_follow_from_its_receptive_field(depth, field, stride, margin, tile):
    """multiple = s, margin = s * ceil(r / 2 s), tile = 2 * margin + k * s, as the docstring says, with k = 8."""
    torch.manual_seed(0)
    model = UNet(base_channels=4, depth=depth, padding="same").eval()
    assert max(receptive_field(model, (1, 192, 192)).size) == field and stride == 2 ** (depth - 1)
    assert margin == stride * -(-field // (2 * stride)) and tile == 2 * margin + 8 * stride
    model, image = model.double(), torch.rand(1, 160, 184, dtype=torch.float64)
    with torch.no_grad():
        expected = model(image[None])[0]
    inner = (..., slice(margin, -margin), slice(margin, -margin))             # at the edge the whole picture sees zeros
    off = [(predict_tiled(model, image, 2 * m + 8 * stride, m, stride) - expected)[inner].abs().max().item()
           for m in (margin, margin // 2 // stride * stride)]
    print(f"padded U-Net of {depth} levels: margin {margin} px {off[0]:.1e}, half of it {off[1]:.1e}")
    assert off[0] < 1e-12 and off[1] > 1e-2
