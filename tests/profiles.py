"""Colour profiles as displays and cameras have them, made from their published figures (ICC.1:2022)."""

import struct

# What red, green and blue are in XYZ under D50, and the gamma
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)), 2.2
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 2.19921875
GREY = (), 1.0
D50 = (0.9642, 1.0, 0.8249)


def profile(colours: tuple[tuple, float]) -> bytes:
    """An ICC profile, version 2, of three colours (without any: of grey) and a gamma."""
    primaries, gamma = colours
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": name + bytes(-len(name) % 4), b"cprt": b"text" + bytes(4) + b"none\0\0\0\0", b"wtpt": _xyz(D50)}
    tags |= {letter + b"XYZ": _xyz(colour) for letter, colour in zip((b"r", b"g", b"b"), primaries)}
    tags |= {letter + b"TRC": curve for letter in ((b"r", b"g", b"b") if primaries else (b"k",))}
    table, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(value))
        data += value
    kind = b"RGB " if primaries else b"GRAY"
    head = struct.pack(">I4sI4s4s4s", start + len(data), b"\0" * 4, 0x02400000, b"mntr", kind, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + data


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))
