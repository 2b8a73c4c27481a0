"""python -m tests.fuzz --count=100000: feeds damaged files to the readers of IDX files and run folders.

Each input is a sound file with random damage, or random bytes. A reader may refuse it with ValueError or OSError, or
read it; anything else is a finding and ends the program with its seed.
"""

import argparse
import gzip
import json
import random
import resource
import struct
import tempfile
from pathlib import Path

from keras_dcgan.config import FORMAT, TrainConfig, read_config
from keras_dcgan.idx import read_idx
from keras_dcgan.tables import read_rows


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
    for _ in range(chance.choice([0, 0, 1, 2])):
        values.pop(chance.choice(list(values)), None)
    number = chance.choice([FORMAT] * 9 + [0, 1, 99, "1", None, [], 1e9])
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


def damaged(data: bytes, chance: random.Random) -> bytes:
    kind = chance.randrange(5)
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
    """Feeds `count` inputs to each reader and prints what became of them."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))  # a header that lies must not cost memory
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "input"
        for reader, make in ((read_idx, sound_idx), (read_config, sound_config), (read_table, sound_table)):
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
                    print(f"{reader.__name__}: seed {seed}, input {i}: {path.read_bytes()!r}")
                    raise
            print(f"{reader.__name__}: {count} inputs, {read} read, {count - read} refused, no other outcome")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.count, given.seed)
