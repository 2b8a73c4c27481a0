"""What a picture file says of itself: its format and its size, read before anything is decoded or allocated."""

import struct
import zlib

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that give the size


def read_header(data: bytes) -> tuple[str, int, int]:
    """The format ("jpeg", "png", "webp", "bmp" or "gif"), width and height that a file's first bytes claim.

    The size is the stored one: an EXIF rotation is not applied. Raises ValueError for another format and for a header
    that is cut or claims no pixels.
    """
    for signature, kind, sizes in (
        (b"\xff\xd8\xff", "jpeg", _jpeg_size),
        (PNG_SIGNATURE, "png", lambda data: struct.unpack_from(">II", data, 16)),
        (b"RIFF", "webp", _webp_size),
        (b"BM", "bmp", _bmp_size),
        (b"GIF8", "gif", lambda data: struct.unpack_from("<HH", data, 6)),
    ):
        if data.startswith(signature):
            try:
                width, height = sizes(data)
            except (struct.error, IndexError):
                raise ValueError(f"{kind}: cut within its header") from None
            if width < 1 or height < 1:
                raise ValueError(f"{kind}: its header claims {width} x {height} pixels")
            return kind, width, height
    raise ValueError("empty" if not data else "no JPEG, PNG, WebP, BMP or GIF")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("jpeg: damaged before its size")
        while data[at] == 0xFF:  # any number of fill bytes may stand before a marker
            at += 1
        marker = data[at]
        at += 1
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
        if marker in (0xD9, 0xDA):  # the end, or the pixels
            raise ValueError("jpeg: has no size")
        if marker not in _STANDALONE:
            at += struct.unpack_from(">H", data, at)[0]


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if data[8:12] != b"WEBP" or chunk not in (b"VP8 ", b"VP8L", b"VP8X"):
        raise ValueError("no JPEG, PNG, WebP, BMP or GIF")
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    low, high, lower, higher = struct.unpack_from("<HBHB", data, 24)
    return (low | high << 16) + 1, (lower | higher << 16) + 1


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the header of OS/2
        return struct.unpack_from("<HH", data, 18)
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # a negative one means that the first row is the top


def essential_png(data: bytes, verify: bool = False) -> bytes:
    """A PNG with only the chunks that decide its pixels and its orientation.

    The others, above all wrong colour profiles, make libpng write a warning to the terminal at every decoding.
    With `verify` every checksum is checked too. Raises ValueError for a file that is cut or damaged.
    """
    kept, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise ValueError("png: cut")
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            raise ValueError("png: cut")
        if verify and zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"png: damaged, wrong checksum in {name.decode('latin-1')}")
        if name[0] & 0x20 == 0 or name in (b"tRNS", b"eXIf"):  # capital: decoders must know it
            kept.append(data[at:end])
        if name == b"IEND":
            return b"".join(kept)
        at = end


def exif_orientation(block: bytes) -> int:
    """The orientation, 1 ... 8, that an EXIF block tells; 1, upright, where it tells none or is damaged."""
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    try:
        if order:
            (first,) = struct.unpack_from(order + "I", block, 4)
            (entries,) = struct.unpack_from(order + "H", block, first)
            for entry in range(entries):
                tag, _, _, value = struct.unpack_from(order + "HHIH", block, first + 2 + 12 * entry)
                if tag == 0x0112:
                    return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
