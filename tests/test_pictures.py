"""Pictures of a corpus: what is read comes out upright, on white and in RGB; what is not is refused in a few words."""

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from autointerp import pictures
from autointerp.pictures import RefusedPictureError, png, read

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
ORIENTATION, GPS = 0x0112, 0x8825


def smooth(width: int = 24, height: int = 16) -> Image.Image:
    """A picture whose four corners differ and which every format keeps nearly as it is."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - (x + y) / 2], axis=2).astype(np.uint8))


def filed(picture: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def levels(picture: Image.Image) -> NDArray[np.int64]:
    return np.asarray(picture).astype(np.int64)


def colour(data: bytes) -> tuple[int, ...]:
    """Of the middle of a picture."""
    picture, _ = read(data)
    found = picture.getpixel((picture.width // 2, picture.height // 2))
    assert isinstance(found, tuple)
    return found


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG file, with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def raw_png(width: int, height: int, depth: int, sort: int, pixels: bytes) -> bytes:
    """A PNG file by hand; `sort` 0 is grey and 2 is RGB."""
    header = struct.pack(">IIBBBBB", width, height, depth, sort, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


# ---- what is read


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_as_rgb(kind: str) -> None:
    picture, done = read(filed(smooth(), kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {})))
    assert picture.mode == "RGB"
    assert picture.size == (24, 16)
    assert done == ()
    tolerance = 0 if kind in ("PNG", "BMP", "TIFF") else 24
    assert np.abs(levels(picture) - levels(smooth())).max() <= tolerance


def test_no_other_format_is_opened() -> None:
    assert pictures.FORMATS == FORMATS  # each decoder is a door for damaged files
    for kind in ("PPM", "ICO", "TGA", "PDF", "EPS"):
        with pytest.raises(RefusedPictureError, match="no picture in a known format"):
            read(filed(smooth(), kind))


@pytest.mark.parametrize("sort", ["1", "L", "LA", "P", "RGBA", "YCbCr"])
def test_other_kinds_of_pixels_are_converted(sort: str) -> None:
    kind = "JPEG" if sort == "YCbCr" else "PNG"
    picture, _ = read(filed(Image.new("RGB", (8, 8), "white").convert(sort), kind))
    assert picture.mode == "RGB"
    assert levels(picture).min() >= 254


def test_the_colours_of_a_cmyk_jpeg_are_right() -> None:
    for name, expected in {"red": (255, 0, 0), "white": (255, 255, 255), "navy": (0, 0, 128)}.items():
        data = filed(Image.new("RGB", (16, 16), name).convert("CMYK"), "JPEG", quality=95)
        assert np.abs(np.subtract(colour(data), expected)).max() <= 4, name
        assert read(data)[1] == ("CMYK converted",)


def test_sixteen_bits_of_grey_are_scaled_to_eight() -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    picture = Image.fromarray(values)
    other = Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes())
    wide = Image.fromarray(values.astype(np.int32))
    for data in (filed(picture, "PNG"), filed(picture, "TIFF"), filed(other, "TIFF"), filed(wide, "TIFF")):
        found, done = read(data)
        assert done == ("16 bits scaled to 8",)
        assert np.abs(levels(found) - (values / 257)[:, :, None]).max() <= 1
        assert (levels(found)[0, 0] == 0).all()
        assert (levels(found)[-1, -1] == 255).all()


def test_sixteen_bits_of_colour_are_scaled_to_eight() -> None:
    values = np.linspace(0, 65535, 4 * 4 * 3).astype(">u2").reshape(4, 4, 3)
    data = raw_png(4, 4, 16, 2, b"".join(b"\0" + row.tobytes() for row in values))
    found, _ = read(data)
    assert np.abs(levels(found) - values / 257).max() <= 1


@pytest.mark.parametrize(
    "values",
    [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 70_000, np.int32), np.full((4, 4), -1, np.int32)],
    ids=["floats", "more than 16 bits", "below 0"],
)
def test_levels_without_a_known_scale_are_refused(values: NDArray[Any]) -> None:
    with pytest.raises(RefusedPictureError, match="more than 16 bits a channel"):
        read(filed(Image.fromarray(values), "TIFF"))


def test_what_is_transparent_becomes_white() -> None:
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert colour(filed(picture, "PNG")) == (255, 255, 255)
    picture.putalpha(128)
    assert np.abs(np.subtract(colour(filed(picture, "PNG")), (255, 127, 127))).max() <= 1
    for kind in ("PNG", "WEBP", "TIFF"):
        assert read(filed(picture, kind))[1] == ("put on white",)
    picture.putalpha(255)
    assert read(filed(picture, "PNG"))[1] == ()
    assert colour(filed(picture, "PNG")) == (255, 0, 0)
    grey = Image.new("LA", (8, 8), (0, 0))
    assert colour(filed(grey, "PNG")) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_becomes_white(kind: str) -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 255, 255, 0, 0])
    picture.putpixel((0, 0), 0)
    picture.info["transparency"] = 1
    data = filed(picture, kind, transparency=1)
    found, done = read(data)
    assert colour(data) == (255, 255, 255)
    assert found.getpixel((0, 0)) == (0, 0, 255)
    assert done == ("put on white",)


def test_a_transparent_colour_of_an_rgb_png_becomes_white() -> None:
    found, done = read(filed(Image.new("RGB", (8, 8), (9, 8, 7)), "PNG", transparency=(9, 8, 7)))
    assert found.getpixel((3, 3)) == (255, 255, 255)
    assert done == ("put on white",)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), name) for name in ("lime", "red", "blue")]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = filed(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    assert read(data)[1] == ("animated, first frame",)
    assert np.abs(np.subtract(colour(data), (0, 255, 0))).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation: int, kind: str) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = smooth()
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    quality = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    found, done = read(filed(stored, kind, exif=exif, **quality))
    assert found.size == upright.size
    assert np.abs(levels(found) - levels(upright)).max() <= (24 if kind == "JPEG" else 0)
    assert done == (() if orientation == 1 else ("turned upright",))


def test_an_orientation_that_nobody_defined_turns_nothing_and_says_nothing() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    found, done = read(filed(smooth(), "PNG", exif=exif))
    assert (levels(found) == levels(smooth())).all()
    assert done == ()


def test_all_that_was_done_is_said() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    clear = Image.new("RGBA", (8, 4), (0, 0, 0, 0))
    data = filed(clear, "PNG", exif=exif, save_all=True, append_images=[Image.new("RGBA", (8, 4), "red")])
    found, done = read(data)
    assert done == ("animated, first frame", "turned upright", "put on white")
    assert found.size == (4, 8)


# ---- what is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just a text that somebody called picture.png", "no picture in a known format"),
        (b"\0", "no picture in a known format"),
        (b"%PDF-1.7\n%%EOF", "no picture in a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture in a known format"),
        (b"P6 1 1 255 abc", "no picture in a known format"),
        (b"\x89PNG\r\n\x1a\n", "no picture in a known format|truncated or damaged"),
        (filed(smooth(), "PNG")[:-40], "truncated or damaged"),
        (filed(smooth(), "JPEG")[:-40], "truncated or damaged"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(RefusedPictureError, match=rf"^({reason})$"):
        read(data)


def test_a_file_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    with pytest.raises(RefusedPictureError, match=r"^file too large$"):
        read(filed(smooth(), "PNG"))


def test_more_pixels_than_are_safe_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 24 * 16)
    assert read(filed(smooth(), "PNG"))[0].size == (24, 16)
    with pytest.raises(RefusedPictureError, match=r"^more than 384 pixels$"):
        read(filed(smooth(25, 16), "PNG"))


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_by_its_header(side: int) -> None:
    data = raw_png(side, side, 8, 0, bytes(2_000_000))
    assert len(data) < 4_000
    tracemalloc.start()
    try:
        with pytest.raises(RefusedPictureError, match=r"^more than 50,000,000 pixels$"):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_frame_that_is_larger_than_its_animation_is_refused_before_it_is_made() -> None:
    """A GIF whose screen is small and whose frame declares 65,535 x 65,535 pixels."""
    data = bytearray(filed(Image.new("P", (8, 8)), "GIF"))
    frame = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(RefusedPictureError, match=r"^more than 50,000,000 pixels$"):
        read(bytes(data))


# ---- damage: refused or read, and nothing else


@cache
def valid() -> dict[str, bytes]:
    """A file of every format and of the odder kinds, small enough to be damaged often."""
    exif = Image.Exif()
    exif[ORIENTATION] = 5
    exif.get_ifd(GPS)[1] = "N"
    frames = [Image.new("RGB", (8, 8), name) for name in ("red", "blue")]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8))
    deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    return {
        **{kind: filed(noise, kind) for kind in FORMATS},
        "JPEG with EXIF": filed(noise, "JPEG", exif=exif),
        "progressive JPEG": filed(noise, "JPEG", progressive=True),
        "CMYK JPEG": filed(noise.convert("CMYK"), "JPEG"),
        "PNG with a palette": filed(noise.quantize(8), "PNG", transparency=1, exif=exif),
        "deep PNG": filed(deep, "PNG"),
        "deep TIFF": filed(deep, "TIFF"),
        "packed TIFF": filed(noise, "TIFF", compression="tiff_lzw"),
        "TIFF as JPEG": filed(noise, "TIFF", compression="jpeg"),
        "lossless WEBP": filed(noise, "WEBP", lossless=True, exif=exif),
        **{
            f"moving {kind}": filed(frames[0], kind, save_all=True, append_images=frames[1:])
            for kind in ("GIF", "PNG", "WEBP")
        },
    }


def refused_or_read(data: bytes) -> None:
    with suppress(RefusedPictureError):
        picture, done = read(data)
        assert picture.mode == "RGB"
        assert picture.width * picture.height <= pictures.MOST_PIXELS
        assert all(done)
        assert png(picture)


many = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize("name", valid())
def test_a_truncated_file_is_refused_or_read(name: str) -> None:
    whole = valid()[name]
    assert read(whole)

    @many
    @given(st.integers(0, len(whole) - 1))
    def check(stop: int) -> None:
        refused_or_read(whole[:stop])

    check()


@pytest.mark.parametrize("name", valid())
def test_a_damaged_file_is_refused_or_read(name: str) -> None:
    whole = valid()[name]
    # Headers are where damage does most harm.
    place = st.integers(0, min(len(whole), 120) - 1) | st.integers(0, len(whole) - 1)

    @many
    @given(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=6))
    def check(damage: list[tuple[int, int]]) -> None:
        data = bytearray(whole)
        for at, value in damage:
            data[at] = value
        refused_or_read(bytes(data))

    check()


MAGIC = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF\x40\0\0\0WEBPVP8 ",
)


@many
@given(st.sampled_from(MAGIC), st.binary(max_size=300))
def test_random_bytes_are_refused_or_read(magic: bytes, rest: bytes) -> None:
    refused_or_read(magic + rest)


@many
@given(st.sampled_from(sorted(valid())), st.randoms(use_true_random=False))
def test_pieces_of_valid_files_in_another_order_are_refused_or_read(name: str, rng: random.Random) -> None:
    whole = valid()[name]
    cuts = sorted({0, len(whole), *(rng.randrange(len(whole)) for _ in range(4))})
    pieces = [whole[start:stop] for start, stop in pairwise(cuts)]
    head, tail = pieces[0], pieces[1:]
    rng.shuffle(tail)
    refused_or_read(head + b"".join(tail))


# ---- what is kept


def test_the_kept_file_holds_the_same_pixels() -> None:
    picture, _ = read(filed(smooth(), "WEBP"))
    again, done = read(png(picture))
    assert (levels(again) == levels(picture)).all()
    assert done == ()


def test_the_kept_file_follows_from_the_pixels_alone_and_holds_nothing_else() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    exif[0x010E] = "taken at home"
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 51.0, 29.0)})
    plain = filed(smooth(), "PNG")
    told = filed(smooth(), "PNG", exif=exif, dpi=(300, 300), icc_profile=b"a profile")
    assert b"taken at home" in told
    kept = [png(read(data)[0]) for data in (plain, told, filed(smooth(), "BMP"))]
    assert len(set(kept)) == 1
    chunks = []
    at = 8
    while at < len(kept[0]):
        (length,) = struct.unpack(">I", kept[0][at : at + 4])
        chunks.append(kept[0][at + 4 : at + 8])
        at += length + 12
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}
    turned = Image.open(io.BytesIO(told))
    assert png(turned) == kept[0]
    assert not ImageOps.exif_transpose(Image.open(io.BytesIO(kept[0]))).getexif()


@pytest.mark.parametrize("change", [lambda p: p, lambda p: p.convert("RGBA"), lambda p: p.copy()])
def test_pictures_in_other_modes_are_kept_as_rgb(change: Callable[[Image.Image], Image.Image]) -> None:
    assert png(change(smooth())) == png(smooth())
