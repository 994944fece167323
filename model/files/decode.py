"""Pictures that people bring -> pixels: one way in, so that page, API and preparation give the same answer."""

import io
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from model.errors import InputError

# a phone's 50 megapixels, and some more; looked up before anything is decoded
MOST_PIXELS = 65_000_000
# pixels; beyond it a picture is shrunk while it is read, one at a time
LARGE = 4096 * 4096
# pixels, the shorter side of what remains of a large picture at least
ENOUGH = 1024
PNG = b"\x89PNG\r\n\x1a\n"
# The chunks that make a PNG's first picture. Texts, colour profiles and further frames stay out: Pillow refuses whole
# pictures for what is in them. (The profile is read by `_profile_of`.)
PNG_PARTS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")
# bytes of a colour profile, unpacked; a display's has some hundred, a printer's some 500,000
MOST_PROFILE = 2**20
# EXIF 2.32, table 4
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Kinds that people send by mistake, by what they begin with.
OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF or raw file"),
    (b"MM\0*", "a TIFF or raw file"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG"),
    (b"<?xml", "an SVG"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself"),
)
BRANDS = {
    b"hei": "a HEIC",
    b"hev": "a HEIC",
    b"mif": "a HEIC",
    b"msf": "a HEIC",
    b"avi": "an AVIF",
    b"crx": "a raw file",
}
_one_large = threading.Lock()


def read_image(file: str | Path | io.BytesIO | None) -> Image.Image:
    """A PNG, JPEG or WebP file as it is meant to be seen: mode RGB, upright, transparency over white, the first frame.

    :param file: its path or its bytes.

    16 bits become 8, colours are those of sRGB, EXIF tells only the orientation, and what lies behind the picture's end
    is left alone. More than LARGE pixels are shrunk to a shorter side of ENOUGH or more. Raises InputError, one line,
    for all that is no picture.
    """
    data = _contents(file)
    try:
        with opened(data) as image:
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                raise Image.DecompressionBombError
            if pixels <= LARGE:
                return _seen(image, _profile_of(data, image))
            with _one_large:
                # a JPEG is decoded small
                image.draft(None, (ENOUGH, ENOUGH))
                seen = _seen(image, _profile_of(data, image))
                return seen.reduce(max(1, min(seen.size) // ENOUGH))
    except Image.DecompressionBombError:
        raise InputError(f"The image is larger than {MOST_PIXELS // 10**6} megapixels: shrink it first.") from None
    except Exception as error:
        # Pillow raises almost anything for a file made to confuse it.
        raise InputError(_unreadable("its end is missing" if "truncated" in str(error).lower() else "")) from None


def opened(data: bytes) -> Image.Image:
    """A picture of which only the head is read yet, the same that `read_image` decodes. Raises almost anything."""
    return Image.open(io.BytesIO(_first_picture(data)), formats=("PNG", "JPEG", "WEBP"))


def _contents(file: str | Path | io.BytesIO | None) -> bytes:
    """The bytes of a file that begins like a picture. Raises InputError."""
    try:
        with open(file or "", "rb") if isinstance(file, str | Path | None) else file as stream:
            head = stream.read(32)
            # ISO 14496-12: what phones write instead of JPEG, or a film
            if head[4:8] == b"ftyp":
                raise InputError(_unreadable(f"it is {BRANDS.get(head[8:11], 'a film')}"))
            for start, kind in OTHERS:
                if head.startswith(start):
                    raise InputError(_unreadable(f"it is {kind}"))
            if not (head.startswith((PNG, b"\xff\xd8")) or head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
                raise InputError(_unreadable())
            return head + stream.read()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(_unreadable()) from None


def _unreadable(why: str = "") -> str:
    return f"This is not an image that can be read{f' ({why})' if why else ''}: send a PNG, JPEG or WebP file."


def _first_picture(data: bytes) -> bytes:
    """A PNG with PNG_PARTS only (PNG specification, section 5.3); other kinds as they are.

    Raises OSError where the end is missing.
    """
    if not data.startswith(PNG):
        return data
    parts, at = [PNG], len(PNG)
    while at + 12 <= len(data) and parts[-1][4:8] != b"IEND":
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] in PNG_PARTS:
            parts.append(data[at:end])
        at = end
    if parts[-1][4:8] != b"IEND":
        raise OSError("truncated")
    return b"".join(parts)


def _profile_of(data: bytes, image: Image.Image) -> bytes:
    """The ICC profile that a file names its colours by, b"" without one."""
    if not data.startswith(PNG):
        profile = image.info.get("icc_profile") or b""
        return profile if len(profile) <= MOST_PROFILE else b""
    at = len(PNG)
    while at + 12 <= len(data) and data[at + 4 : at + 8] not in (b"iCCP", b"IDAT"):
        at += 12 + int.from_bytes(data[at : at + 4])
    if data[at + 4 : at + 8] != b"iCCP":
        return b""
    _, _, packed = data[at + 8 : at + 8 + int.from_bytes(data[at : at + 4])].partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(packed[1:], MOST_PROFILE)
    except zlib.error:
        return b""
    return profile if unpacking.eof else b""


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Mode RGB, with the colours that its profile (ICC.1:2022) means: Display P3 of phones, Adobe RGB of cameras.

    A profile of another kind (a printer's, of CMYK) or a damaged one says nothing.
    """
    if profile:
        try:
            own: Any = ImageCms.getOpenProfile(io.BytesIO(profile))
            mode = {"RGB ": "RGB", "GRAY": "L"}[own.profile.xcolor_space]
            if mode == "RGB" or image.mode in ("L", "LA"):
                intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
                srgb = ImageCms.createProfile("sRGB")
                return ImageCms.profileToProfile(image.convert(mode), own, srgb, intent, "RGB") or image.convert("RGB")
        except (ImageCms.PyCMSError, KeyError, OSError, ValueError):
            pass
    return image.convert("RGB")


def _seen(image: Image.Image, profile: bytes) -> Image.Image:
    """Decoded, as an eye sees it: mode RGB."""
    # Pillow would take the orientation from XMP too, which no browser does.
    for name in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)
    try:
        turn = image.getexif().get(ORIENTATION)
    except Exception:
        # damaged EXIF says nothing
        turn = None
    image.load()
    # 16 bits of grey, which Pillow would clip at 255
    if image.mode.startswith("I"):
        values, hidden = np.asarray(image), image.info.get("transparency")
        image = Image.fromarray((values.astype(np.float32) * (255 / 65535)).round().astype(np.uint8))
        if hidden is not None:
            image.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    seen = _in_srgb(image, profile)
    if image.has_transparency_data:
        seen = Image.composite(seen, Image.new("RGB", image.size, "white"), image.convert("RGBA").getchannel("A"))
    return seen.transpose(UPRIGHT[turn]) if isinstance(turn, int) and turn in UPRIGHT else seen
