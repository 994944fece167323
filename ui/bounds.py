"""Pictures of visitors, looked at before they are decoded: a small file can keep a decoder busy for minutes."""

import io
from pathlib import Path

from model.errors import InputError
from model.files.decode import opened

# of a progressive JPEG; encoders write about ten, and each goes over the whole picture again
MOST_SCANS = 64
# pixels of one: its coefficients are all kept in memory, 6 bytes a pixel
MOST_PROGRESSIVE = 4096 * 4096
# pixels a side of a picture that the page itself made
OWN_SIDE = 512
# the marker before each scan (ITU-T T.81, table B.1)
SCAN = b"\xff\xda"
TOO_MUCH = "This JPEG takes too long to decode: save it again, or send a PNG."


def check_jpeg(data: bytes) -> None:
    """Raises InputError for a JPEG that costs more than its size explains. Other files pass."""
    if not data.startswith(b"\xff\xd8"):
        return
    if data.count(SCAN) > MOST_SCANS:
        raise InputError(TOO_MUCH)
    try:
        with opened(data) as image:
            large = bool(image.info.get("progressive")) and image.width * image.height > MOST_PROGRESSIVE
    except Exception:
        # the decoder says it better
        return
    if large:
        raise InputError(TOO_MUCH)


def check_file(file: str | Path | io.BytesIO | None) -> None:
    """`check_jpeg` of a file's contents; what cannot be read is for the decoder to refuse."""
    if isinstance(file, io.BytesIO):
        check_jpeg(file.getvalue())
    elif file:
        try:
            check_jpeg(Path(file).read_bytes())
        except OSError:
            return


def own(file: io.BytesIO) -> io.BytesIO:
    """The same file, which must be a picture no larger than those the page makes. Raises InputError."""
    try:
        with opened(file.getvalue()) as image:
            large = max(image.size) > OWN_SIDE
    except Exception:
        # the decoder says it better
        large = False
    if large:
        raise InputError(f"A picture of this page has at most {OWN_SIDE} pixels a side.")
    return file
