"""Makes a folder with a picture of every format and colour mode, and a broken file of every kind."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from keras_dcgan.datasets.decode import heif_version

WIDTH, HEIGHT = 96, 64
SIXTEEN = np.linspace(0, 65535, WIDTH).astype(np.uint16)[None].repeat(HEIGHT, 0)  # smooth from dark to bright
LOSSY = ("jpeg", "webp/lossy", "webp/moving", "webp/rotated", "tiff/jpeg", "avif", "heic")  # beginnings of names


def picture(name: str, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """An RGB picture that shows its orientation and colours, with its name on it: red left, blue right."""
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(1, 0.5, height)[:, None, None]
    image = Image.fromarray(np.uint8(255 * y * ((1 - x) * [1, 0.3, 0.1] + x * [0.1, 0.4, 1])))
    ImageDraw.Draw(image).ellipse((width // 2 - 12, height - 28, width // 2 + 12, height - 4), fill=(250, 250, 60))
    ImageDraw.Draw(image).text((width // 2 - 24, 8), name[:12], fill=(255, 255, 255))
    return image


def transparent(name: str) -> Image.Image:
    """The same with a transparent upper left corner, half transparent below it."""
    image = picture(name).convert("RGBA")
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:32, :48], alpha[32:, :48] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    return image


def is_transparent(image: Image.Image) -> bool:
    """Whether some of it is."""
    return bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())


def encode(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block with an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def png(values: np.ndarray, depth: int, key: int | tuple[int, int, int] | None = None) -> bytes:
    """A PNG of values [H, W] or [H, W, 3] of 1 to 16 bits, one of which (tRNS) is transparent; Pillow writes few."""
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        bits = np.unpackbits(values.reshape(len(values), -1, 1).astype(np.uint8), axis=-1)[..., 8 - depth :]
        rows = [np.packbits(row.ravel()).tobytes() for row in bits]
    height, width = values.shape[:2]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0 if values.ndim == 2 else 2, 0, 0, 0))]
    if key is not None:
        chunks.append((b"tRNS", np.array(key, ">u2").tobytes()))
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    body = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def key_files() -> dict[str, tuple[bytes, Image.Image]]:
    """PNGs of every depth in which one value is transparent, and what they show (RGBA)."""
    files = {}
    for depth in (1, 2, 4, 8, 16):
        grey = (SIXTEEN >> (16 - depth)).astype(int)
        key = int(grey[0, WIDTH // 2])
        shown = np.uint8(np.rint(grey * 255 / (2**depth - 1)))
        alpha = np.where(grey == key, 0, 255).astype(np.uint8)
        files[f"png/grey {depth} key.png"] = png(grey, depth, key), Image.fromarray(np.dstack([shown] * 3 + [alpha]))
    for depth in (8, 16):
        colours = np.stack([SIXTEEN, SIXTEEN[:, ::-1], SIXTEEN // 2], -1) >> (16 - depth)
        key = tuple(colours[0, WIDTH // 2].tolist())
        alpha = np.where((colours == key).all(-1), 0, 255).astype(np.uint8)
        shown = np.uint8(colours >> (depth - 8))
        files[f"png/rgb {depth} key.png"] = png(colours, depth, key), Image.fromarray(np.dstack([shown, alpha]))
    return files


def files() -> dict[str, tuple[bytes, Image.Image]]:
    """Every format and colour mode that is read, by file name, and what it shows, upright."""
    paletted = picture("palette").quantize(16)
    moving = {"save_all": True, "append_images": [picture("second").rotate(180)]}
    grey_alpha = transparent("LA").convert("LA")
    key = np.asarray(paletted) == 3
    see_through = Image.fromarray(
        np.dstack([np.asarray(paletted.convert("RGB")), np.where(key, 0, 255)]).astype(np.uint8)
    )
    grey_16 = Image.fromarray(np.uint8(np.rint(SIXTEEN / 257)))
    found = {"größe 数字.png": (encode(small := picture("small", 30, 20), "PNG"), small), **key_files()}

    def add(name: str, image: Image.Image, kind: str, shows: Image.Image | None = None, **options) -> None:
        found[name] = encode(image, kind, **options), shows or image

    def add_rotated(name: str, kind: str, **options) -> None:
        image = picture(name[:8])
        add(name, image.rotate(90, expand=True), kind, image, exif=exif(6), **options)

    add("jpeg/rgb.jpg", picture("jpg"), "JPEG", quality=95)
    add("jpeg/progressive.JPEG", picture("jpg progr."), "JPEG", progressive=True, quality=90)
    add("jpeg/grey.jpg", picture("jpg L").convert("L"), "JPEG", quality=95)
    add("jpeg/cmyk.jpg", picture("jpg CMYK").convert("CMYK"), "JPEG", quality=95)  # inverted, with Adobe's marker
    add("jpeg/large.jpg", picture("large", 1920, 1280), "JPEG", quality=90)
    add("jpeg/two.jpg", picture("MPO"), "MPO", save_all=True, append_images=[picture("second")], quality=95)
    add_rotated("jpeg/rotated.jpg", "JPEG", quality=95)
    add("png/rgb.png", picture("png"), "PNG")
    add("png/grey.png", picture("png L").convert("L"), "PNG")
    add("png/one bit.png", picture("png 1").convert("1"), "PNG")
    add("png/palette.png", paletted, "PNG")
    add("png/palette transparent.png", paletted, "PNG", see_through, transparency=3)
    add("png/rgba.png", transparent("png RGBA"), "PNG")
    add("png/grey alpha.png", grey_alpha, "PNG")
    add("png/grey 16.png", Image.fromarray(SIXTEEN), "PNG", grey_16)
    add_rotated("png/rotated.png", "PNG")
    add("png/wrong profile.png", picture("png icc"), "PNG", icc_profile=b"x" * 200)
    add("webp/lossy.webp", picture("webp"), "WEBP", quality=95)
    add("webp/lossless.webp", picture("webp ll"), "WEBP", lossless=True)
    add("webp/rgba.webp", transparent("webp RGBA"), "WEBP", lossless=True, exact=True)
    add("webp/moving.webp", picture("webp anim"), "WEBP", **moving)
    add_rotated("webp/rotated.webp", "WEBP", quality=95)
    add("deeply/nested/folders/rgb.bmp", picture("bmp"), "BMP")
    add("deeply/nested/folders/palette.bmp", paletted, "BMP")
    add("deeply/nested/grey.BMP", picture("bmp L").convert("L"), "BMP")
    add("gif/palette.gif", picture("gif").quantize(255), "GIF")
    add("gif/moving.gif", picture("gif anim").quantize(255), "GIF", **moving)
    add("gif/transparent.gif", paletted, "GIF", see_through, transparency=3)
    add("tiff/rgb.tif", picture("tif"), "TIFF")
    add("tiff/lzw.tiff", picture("tif lzw"), "TIFF", compression="tiff_lzw")
    add("tiff/jpeg.tif", picture("tif jpg"), "TIFF", compression="jpeg", quality=95)
    add("tiff/fax.tif", picture("tif fax").convert("1"), "TIFF", compression="group4")
    add("tiff/grey 16.tif", Image.fromarray(SIXTEEN), "TIFF", grey_16)
    add("tiff/rgba.tif", transparent("tif RGBA"), "TIFF", compression="tiff_adobe_deflate")
    add("tiff/cmyk.tif", picture("tif CMYK").convert("CMYK"), "TIFF", picture("tif CMYK"))
    add_rotated("tiff/rotated.tif", "TIFF")
    add("avif/rgb.avif", picture("avif"), "AVIF", quality=95)
    add("avif/rgba.avif", transparent("avif RGBA"), "AVIF", quality=100)
    add_rotated("avif/rotated.avif", "AVIF", quality=95)
    add("other/rgb.jp2", picture("jp2"), "JPEG2000")
    add("other/rgb.ppm", picture("ppm"), "PPM")
    add("other/grey.pgm", picture("pgm").convert("L"), "PPM")
    if heif_version():
        add("heic/rgb.HEIC", picture("heic"), "HEIF", quality=95)
        add("heic/rgba.heic", transparent("heic RGBA"), "HEIF", quality=100)
        add_rotated("heic/rotated.heic", "HEIF", quality=95)
    return found


def good_files() -> dict[str, bytes]:
    """The files of `files` without what they show."""
    return {name: data for name, (data, _) in files().items()}


def bad_files() -> dict[str, tuple[bytes, str]]:
    """A broken file of every kind by name, and a word of the reason."""
    whole = encode(picture("damaged"), "PNG")
    claims = {side: bytearray(whole) for side in (12_000, 60_000)}
    for side, data in claims.items():
        data[16:24] = side.to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x55
    lzw = encode(picture("cut"), "TIFF", compression="tiff_lzw")
    found = {
        "bad/cut.jpg": (encode(picture("cut"), "JPEG")[:900], "cut"),
        "bad/cut.png": (whole[: len(whole) // 2], "cut"),
        "bad/damaged.png": (bytes(flipped), "checksum"),
        "bad/cut.webp": (encode(picture("cut"), "WEBP")[:-100], "damaged"),
        "bad/cut.bmp": (encode(picture("cut"), "BMP")[:-100], "cut"),
        "bad/cut.gif": (encode(picture("cut"), "GIF")[:-500], "cut"),
        "bad/cut.tif": (encode(picture("cut"), "TIFF")[:-500], "damaged"),
        "bad/damaged.tif": (lzw[:200] + b"\xff" * 2000 + lzw[2200:], "damaged"),
        "bad/cut.avif": (encode(picture("cut"), "AVIF")[:-500], "damaged"),
        "bad/float.tif": (encode(Image.fromarray(np.float32(SIXTEEN)), "TIFF"), "floating-point"),
        "bad/32 bit.tif": (encode(Image.fromarray(np.int32(SIXTEEN) * 9), "TIFF"), "32-bit"),
        "bad/empty.png": (b"", "empty"),
        "bad/text.jpg": (b"<html>Please log in</html>", "not a picture"),
        "bad/large.png": (bytes(claims[12_000]), "12000 x 12000 pixels, more than 134,217,728"),
        "bad/bomb.png": (bytes(claims[60_000]), "claims more than 134,217,728 pixels"),
        "bad/tiny.png": (encode(picture("", 40, 7), "PNG"), "too small: 40 x 7"),
        "bad/same.png": (encode(picture("png"), "PNG"), "the same as"),
    }
    if heif_version():
        found["bad/cut.heic"] = encode(picture("cut"), "HEIF")[:-300], "damaged"
    return found


def make(folder: Path) -> tuple[set[str], dict[str, str]]:
    """Writes all of them, and some files that are not pictures; returns the good names, and the bad with a reason."""
    good, bad = good_files(), bad_files()
    other = {"labels.csv": b"a,b\n", ".hidden.jpg": good["jpeg/rgb.jpg"], ".thumbs/a.png": good["png/rgb.png"]}
    for name, data in {**good, **{name: data for name, (data, _) in bad.items()}, **other}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    names, reasons = set(good), {name: reason for name, (_, reason) in bad.items()}
    reasons["png/rgb.png"] = reasons.pop("bad/same.png")  # sorted by name, so bad/ comes first
    return names - {"png/rgb.png"} | {"bad/same.png"}, reasons


def classes(folder: Path, side: int = 16, **counts: int) -> Path:
    """A folder with a sub-folder of so many different pictures for each name."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture(f"{name} {i}", side + i, side).save(folder / name / f"{i}.png")
    return folder


def numbered(folder: Path, count: int, side: int = 16) -> Path:
    """A folder of grey PNGs, of which picture i is all of level i."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (side + i, side), (i, i, i)).save(folder / f"{i:03d}.png")
    return folder
