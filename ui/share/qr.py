"""A link as a QR code, for the phones of a classroom."""

from typing import Any

import gradio as gr
import segno

from model.errors import InputError
from ui.status import refusing, status

# bytes of a link: beyond, the squares are too small for a phone that looks at a screen
LONGEST = 1200
TOO_LONG = "This link is too long for a QR code: use fewer words, or copy the link."
# modules of white around it, as ISO/IEC 18004 asks for
QUIET = 4


@refusing(outputs=2)
def draw(event: gr.EventData) -> tuple[Any, dict[str, str]]:
    """A link that the browser sent, {link} -> {link, image} for the page, status."""
    sent = event._data if isinstance(event._data, dict) else {}
    link = sent.get("link")
    return {"link": link, "image": code(link)}, status()


def code(link: Any) -> str:
    """A web address -> its QR code, an SVG as a data URI. Raises InputError."""
    if not isinstance(link, str) or not link.startswith(("http://", "https://")):
        raise InputError("Only a web address can be a QR code here.")
    if len(link.encode(errors="replace")) > LONGEST:
        raise InputError(TOO_LONG)
    made = segno.make(link, error="l", boost_error=True, micro=False)
    return made.svg_data_uri(border=QUIET, dark="#000", light="#fff", xmldecl=False, omitsize=True)
