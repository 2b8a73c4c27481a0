"""Makes a folder with a picture of every format and colour mode, and a broken file of every kind."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 96, 64


def picture(name: str, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """An RGB picture whose orientation and colours can be told, with its name on it: red left, blue right."""
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(1, 0.5, height)[:, None, None]
    image = Image.fromarray(np.uint8(255 * y * ((1 - x) * [1, 0.3, 0.1] + x * [0.1, 0.4, 1])))
    ImageDraw.Draw(image).ellipse((width // 2 - 12, height - 28, width // 2 + 12, height - 4), fill=(250, 250, 60))
    ImageDraw.Draw(image).text((width // 2 - 24, 8), name[:12], fill=(255, 255, 255))
    return image


def transparent(name: str) -> Image.Image:
    """The same with a see-through upper left corner, half see-through below it."""
    image = picture(name).convert("RGBA")
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:32, :48], alpha[32:, :48] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    return image


def sixteen_bit(channels: int) -> Image.Image | np.ndarray:
    """uint16, [H, W] or [H, W, 3] BGR: smooth from dark to bright."""
    values = np.linspace(0, 65535, WIDTH).astype(np.uint16)[None].repeat(HEIGHT, 0)
    return values if channels == 1 else np.stack([values, values[:, ::-1], values // 2], -1)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block that tells an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def good_files() -> dict[str, bytes]:
    """Every format and colour mode that is read, by file name."""
    import cv2

    two = {"save_all": True, "append_images": [picture("second").rotate(180)]}
    paletted = picture("png P").quantize(16)
    return {
        "jpeg/rgb.jpg": encode(picture("jpg"), "JPEG", quality=95),
        "jpeg/progressive.JPEG": encode(picture("jpg progr."), "JPEG", progressive=True, quality=90),
        "jpeg/grey.jpg": encode(picture("jpg L").convert("L"), "JPEG", quality=95),
        "jpeg/cmyk.jpg": encode(picture("jpg CMYK").convert("CMYK"), "JPEG", quality=95),
        "jpeg/rotated.jpg": encode(picture("jpg exif").rotate(90, expand=True), "JPEG", exif=exif(6), quality=95),
        "jpeg/large.jpg": encode(picture("large", 1920, 1280), "JPEG", quality=90),
        "png/rgb.png": encode(picture("png"), "PNG"),
        "png/grey.png": encode(picture("png L").convert("L"), "PNG"),
        "png/one bit.png": encode(picture("png 1").convert("1"), "PNG"),
        "png/palette.png": encode(paletted, "PNG"),
        "png/palette transparent.png": encode(paletted, "PNG", transparency=3),
        "png/rgba.png": encode(transparent("png RGBA"), "PNG"),
        "png/grey alpha.png": encode(transparent("png LA").convert("LA"), "PNG"),
        "png/grey 16.png": cv2.imencode(".png", sixteen_bit(1))[1].tobytes(),
        "png/rgb 16.png": cv2.imencode(".png", sixteen_bit(3))[1].tobytes(),
        "png/rotated.png": encode(picture("png exif").rotate(90, expand=True), "PNG", exif=exif(6)),
        "png/wrong profile.png": encode(picture("png icc"), "PNG", icc_profile=b"x" * 200),
        "webp/lossy.webp": encode(picture("webp"), "WEBP", quality=95),
        "webp/lossless.webp": encode(picture("webp ll"), "WEBP", lossless=True),
        "webp/rgba.webp": encode(transparent("webp RGBA"), "WEBP", lossless=True),
        "webp/moving.webp": encode(picture("webp anim"), "WEBP", **two),
        "webp/rotated.webp": encode(picture("webp exif").rotate(90, expand=True), "WEBP", exif=exif(6), quality=95),
        "deeply/nested/folders/rgb.bmp": encode(picture("bmp"), "BMP"),
        "deeply/nested/folders/palette.bmp": encode(picture("bmp P").quantize(16), "BMP"),
        "deeply/nested/grey.BMP": encode(picture("bmp L").convert("L"), "BMP"),
        "gif/palette.gif": encode(picture("gif"), "GIF"),
        "gif/moving.gif": encode(picture("gif anim"), "GIF", **two),
        "gif/transparent.gif": encode(picture("gif tr.").quantize(16), "GIF", transparency=3),
        "größe 数字.png": encode(picture("small", 30, 20), "PNG"),
    }


def bad_files() -> dict[str, tuple[bytes, str]]:
    """A broken file of every kind by name, and a word of the reason."""
    png = encode(picture("damaged"), "PNG")
    bomb = bytearray(encode(picture("bomb"), "PNG"))
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0x55
    return {
        "bad/cut.jpg": (encode(picture("cut"), "JPEG")[:900], "cut"),
        "bad/cut.png": (png[: len(png) // 2], "cut"),
        "bad/damaged.png": (bytes(flipped), "checksum"),
        "bad/cut.webp": (encode(picture("cut"), "WEBP")[:-100], "cut"),
        "bad/cut.bmp": (encode(picture("cut"), "BMP")[:-100], "cut"),
        "bad/cut.gif": (encode(picture("cut"), "GIF")[:-500], "cut"),
        "bad/empty.png": (b"", "empty"),
        "bad/text.jpg": (b"<html>Please log in</html>", "no JPEG"),
        "bad/bomb.png": (bytes(bomb), "60000 x 60000"),
        "bad/tiny.png": (encode(picture("", 40, 7), "PNG"), "too small: 40 x 7"),
        "bad/same.png": (encode(picture("png"), "PNG"), "the same as"),
    }


def make(folder: Path) -> tuple[set[str], dict[str, str]]:
    """Writes all of them, with some files that are no pictures; returns the good names, and the bad with a reason."""
    good, bad = good_files(), bad_files()
    other = {"labels.csv": b"a,b\n", ".hidden.jpg": good["jpeg/rgb.jpg"], ".thumbs/a.png": good["png/rgb.png"]}
    for name, data in {**good, **{name: data for name, (data, _) in bad.items()}, **other}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    names, reasons = set(good), {name: reason for name, (_, reason) in bad.items()}
    reasons["png/rgb.png"] = reasons.pop("bad/same.png")  # sorted by name, so bad/ comes first
    return names - {"png/rgb.png"} | {"bad/same.png"}, reasons
