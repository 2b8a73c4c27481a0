"""python -m tests.fuzz --count=100000: feeds damaged files to the readers of pictures, IDX, run folders and .tflite.

Each input is a sound file with random damage, or random bytes. A reader may refuse it with ValueError or OSError, or
read it; anything else is a finding and ends the program with its seed.
"""

import argparse
import gzip
import io
import json
import random
import resource
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.sampler import read_metadata
from keras_dcgan.config import TrainConfig
from keras_dcgan.datasets.decode import inspect
from keras_dcgan.datasets.idx import read_idx
from keras_dcgan.runs import FORMAT, read_config
from keras_dcgan.training.recorder import read_rows
from tests.datasets import zoo

PICTURES = [data for name, data in zoo.good_files().items() if name != "jpeg/large.jpg"]


def sound_picture(chance: random.Random) -> bytes:
    return chance.choice(PICTURES)


def read_picture(path: Path) -> tuple[int, int, bool]:
    return inspect(path.read_bytes())


def sound_idx(chance: random.Random) -> bytes:
    sizes = [chance.randint(0, 5) for _ in range(chance.randint(1, 4))]
    count = 1
    for size in sizes:
        count *= size
    data = bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + chance.randbytes(count)
    return gzip.compress(data, 1) if chance.random() < 0.4 else data


def sound_config(chance: random.Random) -> bytes:
    values = TrainConfig(width=chance.randint(1, 99)).to_dict()
    for _ in range(chance.randint(0, 3)):
        name = chance.choice([*values, "unknown"])
        values[name] = chance.choice([None, -1, 1e308, float("nan"), True, "x", [], {}, 2**70, "../..", [[[]]] * 3])
    for _ in range(chance.choice([0] * 8 + [1, 2])):
        values.pop(chance.choice(list(values)), None)
    number = chance.choice([FORMAT] * 60 + [0, 1, 99, "1", None, [], 1e9])
    return json.dumps({"format": number, "config": chance.choice([values, values, values, [], None, 3])}).encode()


def sound_table(chance: random.Random) -> bytes:
    rows = [f"{10 * step},{chance.random()},{chance.random()}\n" for step in range(1, chance.randint(1, 9))]
    return "".join(["step,loss,share\n", *rows]).encode()


def read_table(path: Path) -> list[dict[str, float]]:
    rows = read_rows(path, ["loss", "share"], up_to_step=50)
    assert all(
        row["step"] <= 50 and list(row) in (["step", "loss", "share"], ["step", "share", "loss"]) for row in rows
    )
    return rows


def sound_tflite(chance: random.Random) -> bytes:
    """A file as the sampler sees it before the runtime does: a model's first bytes, some weights, and the archive."""
    model = b"\x1c\0\0\0TFL3" + chance.randbytes(chance.randint(0, 60))
    metadata: Any = {
        "name": "keras-dcgan-generator", "format": 1, "model_bytes": len(model), "model_crc32": zlib.crc32(model),
    }  # fmt: skip
    for _ in range(chance.randint(0, 1)):
        metadata[chance.choice([*metadata])] = chance.choice(
            [None, -1, 0, 1.0, "1", True, float("nan"), [], {}, 2**62, 10**300, 1e308, len(model) + 1, "a\nb" * 25000]
        )
    text = json.dumps(chance.choice([metadata] * 20 + [[], None, 3])).encode()
    text = chance.choice([text] * 40 + [b"[" * 50000, b'{"name":' * 20000, b"\xff\xfe", b"9" * 9999])
    archive = io.BytesIO(model)
    with zipfile.ZipFile(archive, "a") as opened:
        entry = zipfile.ZipInfo(chance.choice(["metadata.json"] * 20 + ["../metadata.json"]))
        entry.compress_type = chance.choice([zipfile.ZIP_STORED] * 40 + [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
        opened.writestr(entry, text)
    content = archive.getvalue()
    if chance.random() < 0.05:  # the bit that says "encrypted", in the directory at the end
        place = content.rfind(b"PK\x01\x02") + 8
        content = content[:place] + b"\x01" + content[place + 1 :]
    return content


def damaged(data: bytes, chance: random.Random) -> bytes:
    kind = chance.randrange(5)  # 4: none
    changed = bytearray(data)
    if kind == 0:
        return chance.randbytes(chance.randint(0, 60))
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        if kind == 1 and changed:
            changed[place % len(changed)] = chance.randrange(256)
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            changed[place:place] = chance.randbytes(chance.randint(1, 9))
    return bytes(changed)


def main(count: int, seed: int) -> None:
    """Feeds `count` inputs to each reader and prints how many it read and refused."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))  # a header that lies must not cost memory
    readers = (
        (read_idx, sound_idx),
        (read_config, sound_config),
        (read_table, sound_table),
        (read_picture, sound_picture),
    )
    with in_memory() as folder:
        for reader, make in (*readers, (read_metadata, sound_tflite)):
            read = feed(reader, make, count, seed, Path(folder) / "input")
            print(f"{reader.__name__}: {count} inputs, {read} read, {count - read} refused, no other outcome")


def in_memory() -> tempfile.TemporaryDirectory:
    """A folder in memory, if the system has one, so that no disk slows this down."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def feed(
    reader: Callable[[Path], Any], make: Callable[[random.Random], bytes], count: int, seed: int, path: Path
) -> int:
    """How many of `count` inputs a reader reads. It refuses the others, or this raises what it raised."""
    read = 0
    for i in range(count):
        chance = random.Random(f"{seed} {i}")
        path.write_bytes(damaged(make(chance), chance))
        try:
            reader(path)
            read += 1
        except (ValueError, OSError):
            pass
        except BaseException:
            print(f"{reader.__name__}: seed {seed}, input {i}: {path.read_bytes()[:2000]!r}")
            raise
    return read


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.count, given.seed)
