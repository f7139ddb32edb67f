"""Small ICC profiles, made by hand: Pillow brings none but sRGB, and none may be copied."""

import struct

IDENTITY = bytes(range(256))


def _tag_table(tags: dict[bytes, bytes]) -> bytes:
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for signature, data in tags.items():
        table += struct.pack(">4sII", signature, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return table + body


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    content = _tag_table(tags)
    head = struct.pack(">I4sI4s4s4s", 128 + len(content), b"lcms", 0x02400000, kind, space, pcs)
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)  # D50
    return head.ljust(128, b"\0") + content


def _text(name: str) -> dict[bytes, bytes]:
    line = name.encode() + b"\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", len(line)) + line + bytes(12 + 67)
    return {b"desc": desc, b"cprt": b"text" + bytes(4) + b"none\0"}


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))


def rgb_profile(name: str, columns: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """An RGB profile of three primaries (XYZ under D50) and one gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    tags = {**_text(name), b"wtpt": _xyz(0.9642, 1.0, 0.8249)}
    tags |= {b"rXYZ": _xyz(*columns[0]), b"gXYZ": _xyz(*columns[1]), b"bXYZ": _xyz(*columns[2])}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def display_p3() -> bytes:
    """Apple's wide colour space, but for its tone curve (plain 2.2)."""
    columns = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
    return rgb_profile("Display P3", columns, 2.2)


def cmyk_blue_ink() -> bytes:
    """A press whose every ink prints the same strong blue; paper is white."""
    grid = []
    for index in range(16):  # two points an axis: no ink, full ink
        lab = (255, 128, 128) if index == 0 else (82, 207, 20)
        grid += lab
    lut = b"mft1" + bytes(4) + struct.pack(">4B", 4, 3, 2, 0)
    lut += struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut += IDENTITY * 4 + bytes(grid) + IDENTITY * 3
    tags = {**_text("Blue press"), b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"A2B0": lut}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)
