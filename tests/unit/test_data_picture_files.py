"""Picture files of every kind come out with the right values; a broken one is named."""

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.data import BBBC039, DSB2018, ISBI2012, PennFudan, read_labels, read_mask, read_picture, save_labels
from seglab.data.picture_files import count_pages

Y, X = np.ogrid[:40, :60]
DISC = (Y - 20) ** 2 + (X - 30) ** 2 <= 100                                  # 317 px
GREY = Image.fromarray((DISC * 255).astype(np.uint8))
BLACK = Image.new("L", GREY.size)
UPRIGHT = Image.Exif()
UPRIGHT[274] = 6                                                             # a camera turned by 90 degrees


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def with_alpha(colour):
    """A disc that only the alpha channel shows."""
    rgba = np.full((*DISC.shape, 4), colour, np.uint8)
    rgba[..., 3] = DISC * 255
    return Image.fromarray(rgba)


def palette(colours):
    picture = Image.fromarray(DISC.astype(np.uint8)).convert("P")
    picture.putpalette(colours)
    return picture


MASKS = {
    "0 / 255": GREY,
    "0 / 1": Image.fromarray(DISC.astype(np.uint8)),
    "1 bit": GREY.convert("1"),
    "palette, black first": palette([0, 0, 0, 255, 255, 255]),
    "palette as VOC's": palette([0, 0, 0, 128, 0, 0]),
    "palette, white first": Image.fromarray((~DISC).astype(np.uint8)).convert("P"),
    "quantised": GREY.convert("RGB").quantize(2),
    "green on black": Image.merge("RGB", (BLACK, GREY, BLACK)),
    "white on transparent": with_alpha(255),
    "black on transparent": with_alpha(0),
    "grey and alpha": Image.merge("LA", (GREY, Image.new("L", GREY.size, 255))),
    "opaque RGBA": GREY.convert("RGBA"),
    "CMYK": GREY.convert("RGB").convert("CMYK"),
    "16 bit": Image.fromarray(DISC.astype(np.uint16) * 65535),
    "float": Image.fromarray(DISC.astype(np.float32)),
    "soft outline": GREY.resize((30, 20), Image.Resampling.BILINEAR).resize((60, 40), Image.Resampling.BILINEAR),
}
MASKS["palette, white first"].putpalette([255, 255, 255, 0, 0, 0])            # index 0 is white: inside


@pytest.mark.parametrize("kind", MASKS)
def test_mask_of_every_kind(tmp_path, kind):
    path = save(tmp_path / ("m.tif" if kind in ("CMYK", "float") else "m.png"), MASKS[kind])
    mask = read_mask(path)
    assert mask.dtype == bool
    if kind == "soft outline":
        assert abs(int(mask.sum()) - 317) < 20
    else:
        assert np.array_equal(mask, DISC)


def test_mask_that_is_empty_or_full_and_what_is_no_mask(tmp_path):
    for mode in ("L", "RGB", "RGBA", "P", "1"):
        assert not read_mask(save(tmp_path / "empty.png", BLACK.convert(mode))).any(), mode
        assert read_mask(save(tmp_path / "full.png", Image.new("L", (4, 3), 255).convert(mode))).all(), mode
    ids = save(tmp_path / "ids.png", Image.fromarray((X // 20 * np.ones_like(Y)).astype(np.uint8)))
    with pytest.raises(ValueError, match=r"ids.png must be a mask of two values, got 3 values in 0\.\.2"):
        read_mask(ids)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_labels_are_the_ids_as_stored(tmp_path, dtype):
    ids = (np.arange(12).reshape(3, 4) * 20).astype(dtype)
    ids[0, 0] = 255 if dtype == np.uint8 else 60_000
    path = save(tmp_path / "ids.tif", Image.fromarray(ids))
    assert np.array_equal(read_labels(path), ids) and read_labels(path).dtype == np.int64


def test_labels_of_palettes_bits_colours_and_fractions(tmp_path):
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colours = Image.fromarray(ids).convert("P")
    colours.putpalette(list(np.random.default_rng(0).integers(0, 255, 768)))
    assert np.array_equal(read_labels(save(tmp_path / "p.png", colours)), ids)
    assert np.array_equal(read_labels(save(tmp_path / "1.png", GREY.convert("1"))), DISC)
    assert np.array_equal(read_labels(save(tmp_path / "g.png", Image.fromarray(ids).convert("RGBA"))), ids)
    odd = np.dstack([ids, 0 * ids, 0 * ids])
    path = save(tmp_path / "rgb.png", Image.fromarray(odd))
    assert np.array_equal(read_labels(path, channel=0), ids)
    with pytest.raises(ValueError, match="rgb.png must hold one id a pixel, got a colour picture"):
        read_labels(path)
    with pytest.raises(ValueError, match="f.tif must hold whole numbers"):
        read_labels(save(tmp_path / "f.tif", Image.fromarray(np.float32([[0.5]]))))


RAMP = np.linspace(0, 255, 12).round().astype(np.uint8).reshape(3, 4)


@pytest.mark.parametrize("kind", ["L", "RGB", "RGBA", "LA", "P", "inverted palette", "1", "uint16", "float"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_picture_of_every_kind(tmp_path, kind, mode):
    expected = RAMP / 255
    picture = Image.fromarray(RAMP)
    if kind == "P":
        picture = picture.convert("P")
    elif kind == "inverted palette":
        picture = Image.fromarray(255 - RAMP).convert("P")
        picture.putpalette([v for k in range(256) for v in [255 - k] * 3])
    elif kind == "1":
        picture, expected = Image.fromarray(RAMP > 127), RAMP > 127
    elif kind == "uint16":
        picture = Image.fromarray(RAMP.astype(np.uint16) * 257)
    elif kind == "float":
        picture = Image.fromarray((RAMP / 255).astype(np.float32))
    elif kind != "L":
        picture = picture.convert(kind)
    image = read_picture(save(tmp_path / "a.tif", picture), mode)
    assert image.shape == (len(mode), 3, 4) and image.dtype == torch.float32 and image.is_contiguous()
    assert np.allclose(image.numpy(), np.broadcast_to(expected, image.shape), atol=1e-6)


def test_cmyk_and_sixteen_bit_png(tmp_path):
    red = Image.new("RGB", (4, 3), (255, 0, 0)).convert("CMYK")
    assert read_picture(save(tmp_path / "c.jpg", red, quality=100), "RGB")[:, 1, 1].tolist() == pytest.approx(
        [1, 0, 0], abs=0.02)
    deep = read_picture(save(tmp_path / "d.png", Image.fromarray(RAMP.astype(np.uint16) * 257)), "L")
    assert np.allclose(deep[0], RAMP / 255, atol=1e-6)


def test_one_scale_for_a_set_and_never_a_pictures_own_maximum(tmp_path):
    dark = np.full((3, 4), 400, np.uint16)
    speck = dark.copy()
    speck[0, 0] = 4000
    for name, values in (("dark", dark), ("speck", speck)):
        path = save(tmp_path / f"{name}.png", Image.fromarray(values))
        assert read_picture(path, "L", scale=4095)[0, 1, 1].item() == pytest.approx(400 / 4095)
        assert read_picture(path, "L")[0, 1, 1].item() == pytest.approx(400 / 65535)
    with pytest.raises(ValueError, match=r"speck.png must hold values in 0\.\.1000 at this scale, got 400\.\.4000"):
        read_picture(tmp_path / "speck.png", "L", scale=1000)
    for bad in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="scale"):
            read_picture(tmp_path / "speck.png", "L", scale=bad)
    whole = save(tmp_path / "i.tif", Image.fromarray(dark.astype(np.int32)))
    with pytest.raises(ValueError, match="scale must be given for the integers of .*i.tif"):
        read_picture(whole, "L")
    assert read_picture(whole, "L", 800).unique().tolist() == [0.5]
    for value in (np.nan, np.inf, -0.5, 1.5):
        with pytest.raises(ValueError, match="f.tif must hold values in 0..1"):
            read_picture(save(tmp_path / "f.tif", Image.fromarray(np.float32([[0.5, value]]))), "L")


def test_bbbc039_has_the_same_grey_for_the_same_light(tmp_path):
    """A picture without nuclei stays dark; by its own maximum its background came out at 0.75."""
    light = np.random.default_rng(0).integers(280, 320, (40, 60)).astype(np.uint16)
    full = light.copy()
    full[DISC] = 2500
    for name, values in (("none", light), ("full", full)):
        save(tmp_path / "images" / f"{name}.tif", Image.fromarray(values))
        save(tmp_path / "masks" / f"{name}.png", Image.fromarray((DISC * (name == "full")).astype(np.uint8)))
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "training.txt").write_text("none.png\nfull.png\n")
    none, some = BBBC039("training", tmp_path)
    assert none.image.max() < 0.1 and abs(none.image.median() - some.image.median()) < 0.01
    assert some.image[0, 20, 30].item() == pytest.approx(2500 / 4095) and len(none) == 0 and len(some) == 1
    assert BBBC039("training", tmp_path, scale=65535)[1].image.max().item() == pytest.approx(2500 / 65535)
    full[0, 0] = 5000
    save(tmp_path / "images" / "full.tif", Image.fromarray(full))
    with pytest.raises(ValueError, match=r"full.tif must hold values in 0\.\.4095"):
        BBBC039("training", tmp_path)[1]


def test_orientation_is_applied_to_pictures_and_to_masks(tmp_path):
    lying = np.zeros((64, 48), np.uint8)
    lying[8:24, 4:12] = 255
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[274] = turn
        upright = lying if turn < 5 else lying.T                              # the eight codes of the EXIF standard
        upright = upright[::-1] if turn in (3, 4, 7, 8) else upright
        upright = upright[:, ::-1] if turn in (2, 3, 6, 7) else upright
        for ending, how in (("png", {}), ("jpg", {}), ("tif", {}), ("tif", {"compression": "tiff_lzw"})):
            path = save(tmp_path / f"a.{ending}", Image.fromarray(lying), exif=exif, **how)
            assert np.abs(read_picture(path, "L")[0].numpy() - upright / 255).max() < 0.05, (turn, ending, how)
            if ending != "jpg":
                assert np.array_equal(read_mask(path), upright > 0)
                assert np.array_equal(read_labels(path), upright)


def test_penn_fudan_mask_lies_on_the_upright_picture(tmp_path):
    lying = np.zeros((64, 64, 3), np.uint8)
    lying[8:24, 8:24] = 255
    save(tmp_path / "PNGImages" / "a.png", Image.fromarray(lying), exif=UPRIGHT)
    shown = np.rot90(lying[..., 0], -1) > 0                                   # what the annotator saw
    save(tmp_path / "PedMasks" / "a_mask.png", Image.fromarray(shown.astype(np.uint8)))
    sample = PennFudan(tmp_path)[0]
    assert sample.image[0][sample.instances > 0].mean() == 1


@pytest.mark.parametrize("kind", MASKS)
def test_sets_of_masks_read_every_kind(tmp_path, kind):
    if kind in ("CMYK", "float"):
        pytest.skip("no PNG holds it")
    folder = tmp_path / "stage1_train" / "x"
    save(folder / "images" / "x.png", Image.new("RGB", GREY.size))
    save(folder / "masks" / "m.png", MASKS[kind])
    save(tmp_path / "train" / "image" / "0.PNG", GREY, format="PNG")
    save(tmp_path / "train" / "label" / "0.png", MASKS[kind])
    inside = [int((DSB2018(tmp_path)[0].semantic == 1).sum()), int(ISBI2012(tmp_path)[0].semantic.sum())]
    assert inside == [317, 317] or kind == "soft outline" and inside[0] == inside[1]


def test_stacks(tmp_path):
    pages = [Image.fromarray(np.full((3, 4), value, np.uint16)) for value in (0, 100, 65535)]
    path = tmp_path / "stack.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert count_pages(path) == 3
    assert [read_picture(path, "L", page=k)[0, 0, 0].item() for k in range(3)] == pytest.approx([0, 100 / 65535, 1])
    assert read_labels(path, page=1).max() == 100 and read_mask(path, page=2).all()
    for page in (-1, 3):
        with pytest.raises(ValueError, match=rf"page must be in 0\.\.2 for .*stack.tif, got {page}"):
            read_picture(path, "L", page=page)
    ramp = np.linspace(0, 65535, 2400).reshape(40, 60).astype(np.uint16)      # ISBI 2012 as a 16-bit volume
    Image.fromarray(ramp).save(tmp_path / "train-volume.tif")
    GREY.save(tmp_path / "train-labels.tif")
    image = ISBI2012(tmp_path)[0].image
    assert image.mean().item() == pytest.approx(0.5, abs=1e-3) and len(image.unique()) > 200


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "header"])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_broken_file_is_named(tmp_path, damage, ending):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"broken.{ending}", Image.fromarray(noise))
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:len(whole) // 2], "empty": b"", "text": b"no picture",
                      "header": whole[:10]}[damage])
    for read in (lambda p: read_picture(p, "RGB"), read_labels, read_mask):
        with pytest.raises(ValueError, match=rf"broken.{ending} must be a picture that can be read, got: "):
            read(path)


def test_absent_file_and_wrong_mode(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        read_picture(tmp_path / "nowhere.png", "RGB")
    with pytest.raises(ValueError, match="mode must be 'RGB' or 'L', got 'rgb'"):
        read_picture(save(tmp_path / "a.png", GREY), "rgb")


@pytest.mark.parametrize("most", [1, 255, 256, 65535])
def test_saved_labels_come_back(tmp_path, most):
    labels = np.random.default_rng(0).integers(0, most + 1, (7, 5))
    labels[0, 0] = most
    path = tmp_path / "labels.png"
    for form in (labels, torch.from_numpy(labels), np.asfortranarray(labels.astype(np.uint16))):
        save_labels(path, form)
        assert np.array_equal(read_labels(path), labels)
    save_labels(path, DISC)
    assert np.array_equal(read_mask(path), DISC)
    for bad, error, name in ((labels * 70_000 + 65536, ValueError, "labels"), (labels - most - 1, ValueError, "labels"),
                             (labels / 2, TypeError, "labels")):
        with pytest.raises(error, match=name):
            save_labels(path, bad)
    with pytest.raises(ValueError, match="path must end in .png"):
        save_labels(tmp_path / "labels.jpg", labels)
