"""Pictures as people bring them: the right pixels or one line, the same at every entrance."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from model.errors import InputError
from model.files.decode import ENOUGH, PNG, read_image
from tests.conftest import CASES
from tests.profiles import ADOBE_RGB, DISPLAY_P3, GREY, profile

# a corner and the middle of the pictures in tests/cases
SKY, SKIN = (90, 120, 160), (225, 180, 150)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return io.BytesIO(buffer.getvalue())


def seen(file) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """Size, a corner, the middle."""
    pixels = np.array(read_image(file)).astype(int)
    height, width = pixels.shape[:2]
    return (width, height), pixels[5, 5], pixels[height // 2, width // 2]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    "name, size, corner",
    [
        ("cutout.png", (200, 240), (255, 255, 255)),
        ("cutout_hidden_magenta.png", (200, 240), (255, 255, 255)),
        ("exif_orientation6_make_short.jpg", (240, 200), SKY),
        ("exif_orientation6_rational_zero.jpg", (240, 200), SKY),
        ("exif_orientation6_unit_text.jpg", (240, 200), SKY),
        ("exif_orientation6_width_text.jpg", (240, 200), SKY),
        ("exif_orientation_text.jpg", (200, 240), SKY),
        ("phone_two_pictures.jpg", (200, 240), SKY),
        ("trailing.png", (200, 240), SKY),
    ],
)
def test_what_phones_and_editors_write(name, size, corner):
    seen_size, first, middle = seen(CASES / "pictures" / name)
    assert seen_size == size and np.abs(first - corner).max() < 4 and np.abs(middle - SKIN).max() < 4


@pytest.mark.parametrize("name", ["folder_TypeError_1.webp", "folder_TypeError_4.jpg", "folder_error_2.jpg"])
def test_fuzzed_pictures_have_no_traceback(name):
    assert seen(CASES / "pictures" / name)[0] == (70, 60)


def test_sixteen_bits_of_grey_keep_their_shades():
    _, corner, middle = seen(CASES / "pictures" / "grey16.png")
    assert list(corner) == [116] * 3 and list(middle) == [190] * 3
    assert list(seen(CASES / "pictures" / "la.png")[2]) == [190] * 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(orientation):
    """What EXIF says is undone: 8 cameras, held 8 ways, took the same picture."""
    from model.files.decode import UPRIGHT

    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    held = upright if orientation == 1 else upright.transpose(back.get(orientation, UPRIGHT.get(orientation)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read_image(encoded(held, exif=exif)), upright)


def test_a_film_behind_the_picture_is_left_alone():
    """A motion photo: a JPEG, then an MP4, in which a JPEG's end may stand again."""
    jpeg = encoded(Image.new("RGB", (90, 60), SKIN), "JPEG").getvalue()
    film = b"\0\0\0\x18ftypmp42" + bytes(100_000) + b"\xff\xd9" + bytes(100_000)
    assert np.array_equal(read_image(io.BytesIO(jpeg + film)), read_image(io.BytesIO(jpeg)))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame(kind):
    first, second = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "blue")
    moving = encoded(first, kind, save_all=True, append_images=[second], duration=100, lossless=True)
    assert list(seen(moving)[2]) == [255, 0, 0]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA"])
def test_every_mode_keeps_its_colour(mode):
    kind = {"CMYK": "JPEG"}.get(mode, "PNG")
    assert list(seen(encoded(Image.new("RGB", (32, 32), "white").convert(mode), kind))[2]) == [255] * 3


def test_a_palette_with_a_transparent_colour():
    image = Image.new("P", (32, 32), 0)
    image.putpalette([255, 0, 255, 0, 0, 255])
    assert list(seen(encoded(image, transparency=0))[2]) == [255] * 3
    assert list(seen(encoded(image))[2]) == [255, 0, 255]


def test_a_shade_of_sixteen_bits_that_is_transparent():
    header = struct.pack(">IIBBBBB", 2, 1, 16, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">2H", 500, 40_000))) + chunk(b"IEND", b"")
    clear = PNG + chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", 500)) + data
    seen_clear = read_image(io.BytesIO(clear))
    assert [seen_clear.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (156, 156, 156)]
    assert read_image(io.BytesIO(PNG + chunk(b"IHDR", header) + data)).getpixel((0, 0)) == (2, 2, 2)


def test_texts_and_profiles_never_spoil_a_picture():
    """A megabyte of zeros packed small is refused by Pillow, and so is a colour profile that is none."""
    plain = encoded(Image.new("RGB", (20, 20), SKIN)).getvalue()
    head = len(PNG) + 25
    for extra in (
        chunk(b"zTXt", b"notes\0\0" + zlib.compress(bytes(2**21))),
        chunk(b"iTXt", b"notes\0\1\0\0\0" + zlib.compress(bytes(2**21))),
        chunk(b"iCCP", b"profile\0\0" + b"not packed"),
        chunk(b"tEXt", b"no end of the key"),
    ):
        assert np.array_equal(
            read_image(io.BytesIO(plain[:head] + extra + plain[head:])), Image.new("RGB", (20, 20), SKIN)
        )
    # of the library: still as it was
    assert PngImagePlugin.MAX_TEXT_CHUNK == 2**20


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "colours, levels, expected",
    [
        # by the matrices of CSS Color 4, section 18
        (DISPLAY_P3, (200, 100, 50), (214, 94, 27)),
        (ADOBE_RGB, (200, 100, 50), (230, 100, 41)),
        (DISPLAY_P3, (128, 128, 128), (128, 128, 128)),
    ],
)
def test_colours_of_wide_profiles_become_those_of_srgb(kind, colours, levels, expected):
    for image in (Image.new("RGB", (16, 16), levels), Image.new("RGBA", (16, 16), (*levels, 255))):
        plain = image.convert("RGB") if kind == "JPEG" else image
        picture = read_image(encoded(plain, kind, icc_profile=profile(colours), quality=100))
        assert np.abs(np.array(picture)[8, 8].astype(int) - expected).max() <= 4


def test_a_grey_profile_says_how_light_its_shades_are():
    linear = encoded(Image.new("L", (16, 16), 55), icc_profile=profile(GREY))
    assert 125 <= read_image(linear).getpixel((8, 8))[0] <= 132
    clear = Image.new("LA", (16, 16), (55, 0))
    assert read_image(encoded(clear, icc_profile=profile(GREY))).getpixel((8, 8)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_profiles_that_are_none_change_nothing(kind):
    """Of a printer, damaged, cut off, packed without end: the picture is as its numbers say."""
    good = profile(DISPLAY_P3)
    for bad in (
        b"x",
        good[:200],
        good.replace(b"RGB ", b"CMYK"),
        good.replace(b"acsp", b"ACSP"),
        good[:128] + b"\xff" * 4 + good[132:],
        good + bytes(2**21) if kind != "JPEG" else good[:140],
    ):
        picture = read_image(encoded(Image.new("RGB", (16, 16), SKIN), kind, icc_profile=bad, quality=100))
        assert np.abs(np.array(picture)[8, 8].astype(int) - SKIN).max() <= 3


def test_an_orientation_in_xmp_counts_nothing():
    """As in browsers; Pillow would take it."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    for kind in ("JPEG", "WEBP"):
        assert read_image(encoded(Image.new("RGB", (30, 20)), kind, xmp=xmp)).size == (30, 20)


def test_fifty_megapixels_are_shrunk():
    with Image.new("L", (8160, 6120), 90) as photo:
        for kind in ("JPEG", "PNG"):
            small = read_image(encoded(photo, kind, **({"compress_level": 1} if kind == "PNG" else {})))
            assert ENOUGH <= min(small.size) < 2 * ENOUGH and abs(small.width / small.height - 4 / 3) < 0.01
            assert small.getpixel((500, 500)) == (90, 90, 90)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not an image"),
        (b"GIF89a" + bytes(40), "a GIF"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC"),
        (b"\0\0\0\x18ftypmif1" + bytes(40), "a HEIC"),
        (b"\0\0\0\x1cftypavif" + bytes(40), "an AVIF"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "a film"),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "a raw file"),
        (b"II*\0" + bytes(40), "a TIFF"),
        (PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""), "not an image"),
        (PNG + struct.pack(">I", 2**31 - 1) + b"IHDR" + bytes(30), "end is missing"),
        (b"%PDF-1.7" + bytes(40), "a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"<!DOCTYPE html><title>404</title>", "not an image"),
        (encoded(Image.effect_noise((64, 64), 50)).getvalue()[:-20], "end is missing"),
        (encoded(Image.effect_noise((200, 200), 90), "JPEG").getvalue()[:-900], "end is missing"),
        (
            PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""),
            "larger than",
        ),
        (
            PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 9_000, 9_000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""),
            "larger than",
        ),
    ],
)
def test_what_is_no_picture_is_one_line(data, words):
    with pytest.raises(InputError, match=words) as error:
        read_image(io.BytesIO(data))
    assert "\n" not in str(error.value)


def test_a_path_that_is_no_file(tmp_path):
    for path in (None, "", tmp_path, tmp_path / "nothing.png", "a\0b", "x" * 5000):
        with pytest.raises(InputError, match="not an image"):
            read_image(path)
