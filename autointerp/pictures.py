"""Pictures of a corpus: opened with care, turned upright, put on white, in RGB with 8 bits.

What cannot be read with safety or sense is refused with a reason in a few words, which is counted and named.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 50_000_000  # a larger picture may be a file that unpacks to more than the memory holds
MOST_BYTES = 256 * 2**20  # of a file
THUMBNAIL = 128  # pixels of the longer side on a feature page
ORIENTATION, TURNED = 0x0112, range(2, 9)  # where EXIF says how a picture has to be turned, and what asks for it


class RefusedPictureError(Exception):
    """A picture that is not looked at. The message says why, in words that many pictures can share."""


def read(data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture in RGB, and what was done to it on the way that a reader should know of. Raises RefusedPictureError.

    Of an animation the first frame is read; an orientation in EXIF is applied; what is transparent becomes white; 16
    bits are scaled to 8; CMYK, palettes and grey are converted.
    """
    if not data:
        raise RefusedPictureError("empty")
    if len(data) > MOST_BYTES:
        raise RefusedPictureError("file too large")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs at sizes that are fine here
            with Image.open(io.BytesIO(data), formats=FORMATS) as file:
                if file.width * file.height > MOST_PIXELS:
                    raise RefusedPictureError(f"more than {MOST_PIXELS:,} pixels")
                done = ["animated, first frame"] if getattr(file, "is_animated", False) else []
                file.seek(0)
                if file.getexif().get(ORIENTATION) in TURNED:  # asked before loading, which turns a TIFF by itself
                    done.append("turned upright")
                file.load()
                upright = ImageOps.exif_transpose(file)
                return rgb(upright, done), tuple(done)
    except RefusedPictureError:
        raise
    except UnidentifiedImageError:
        raise RefusedPictureError("no picture in a known format") from None
    except Image.DecompressionBombError:
        raise RefusedPictureError(f"more than {MOST_PIXELS:,} pixels") from None
    except Exception:  # Pillow's decoders raise whatever befalls them in a damaged file, struct.error among it
        raise RefusedPictureError("truncated or damaged") from None


def rgb(picture: Image.Image, done: list[str]) -> Image.Image:
    """In RGB with 8 bits on white; what was done is added to `done`."""
    if picture.mode.startswith("I"):  # 16 bits of grey, or 32 that hold them
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise RefusedPictureError("more than 16 bits a channel")
        done.append("16 bits scaled to 8")
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise RefusedPictureError("more than 16 bits a channel")
    if picture.mode == "CMYK":
        done.append("CMYK converted")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        if np.asarray(layered)[..., 3].min() < 255:
            done.append("put on white")
            white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, layered).convert("RGB")
    return picture.convert("RGB")


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file: the same bytes for the same pixels, and nothing of what the original said beside."""
    target = io.BytesIO()
    Image.fromarray(np.asarray(picture.convert("RGB"))).save(target, "PNG", optimize=False, compress_level=6)
    return target.getvalue()


def thumbnail(data: bytes) -> bytes:
    """A picture that we wrote ourselves as a small WebP file, THUMBNAIL pixels on the longer side at most."""
    with Image.open(io.BytesIO(data)) as file:
        small = file.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    target = io.BytesIO()
    small.save(target, "WEBP", quality=85)
    return target.getvalue()
