"""The sampler on arm64, the processor of phones, under emulation: Debian's Python and the aarch64 wheels, in qemu."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from export import sampler
from tests.export.helpers import TFLITE

ROOT = Path(__file__).parents[2]
VERSION = "{}.{}".format(*sys.version_info)
PACKAGES = [
    f"python{VERSION}-minimal", f"libpython{VERSION}-minimal", f"libpython{VERSION}-stdlib", "libc6", "libgcc-s1",
    "libstdc++6", "libexpat1", "libffi8", "zlib1g", "qemu-user-static:amd64",
]  # fmt: skip
# What qemu itself does not translate: the runtime reads here which instructions it may use, and crashes on an x86 list.
CPUINFO = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""


def fetch(*command, cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]}: no answer in a minute")
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, command[:3]))}: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """A function that runs arm64's Python on a Cortex-A72; `-cpu max` drew wrong int8 pictures, by a fault of qemu."""
    if not all(map(shutil.which, ("apt-get", "dpkg"))) or os.uname().machine != "x86_64":
        pytest.skip("not Debian on x86-64")
    work = tmp_path_factory.mktemp("arm64")
    root, debs, lists = work / "root", work / "debs", work / "lists/partial"
    for folder in (root / "proc", debs, lists):
        folder.mkdir(parents=True)
    arm = ["apt-get", "-qq", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64,amd64"]
    arm += ["-o", f"Dir::State::lists={lists.parent}", "-o", f"Dir::Cache={work}"]
    fetch(*arm, "update", cwd=debs)
    fetch(*arm, "download", *PACKAGES, cwd=debs)
    for deb in debs.glob("*_arm64.deb"):
        subprocess.run(["dpkg", "-x", deb, root], check=True, timeout=60)
    [deb] = debs.glob("qemu-user-static*")
    with subprocess.Popen(["dpkg", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as content:
        subprocess.run(["tar", "-x", "./usr/bin/qemu-aarch64-static"], stdin=content.stdout, cwd=work, check=True)
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 27, 28)]
    wanted = ["-r", ROOT / "requirements-device.txt", "--no-deps", "--only-binary=:all:", f"--python-version={VERSION}"]
    fetch(sys.executable, "-m", "pip", "download", *wanted, *platforms, "--dest", work / "wheels", cwd=work)
    for wheel in (work / "wheels").iterdir():
        zipfile.ZipFile(wheel).extractall(root / "site")
    (root / "proc/cpuinfo").write_text(CPUINFO)
    environment = {"PYTHONPATH": str(root / "site"), "PYTHONHOME": str(root / "usr"), "PATH": os.environ["PATH"]}
    qemu = [work / "usr/bin/qemu-aarch64-static", "-cpu", "cortex-a72", "-L", root, root / f"usr/bin/python{VERSION}"]

    def run(*arguments) -> str:
        command = [*qemu, *arguments]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


# Grey levels, largest and mean, as in test_web.py. Seen: 0 in int8, at most 1 in float32.
@pytest.mark.parametrize("kind, largest, mean", [("int8", 32, 0.5), ("float32", 1, 0.01)])
def test_a_seed_gives_the_same_pictures_on_arm64(emulated, exported_with_classes, tmp_path, kind, largest, mean):
    assert emulated("-c", "import platform; print(platform.machine())") == "aarch64\n"
    flags = [str(exported_with_classes / TFLITE[kind]), "--seed=7", "--count=4"]
    emulated(ROOT / "export/sampler.py", *flags, f"--out={tmp_path}/there.png")
    assert sampler.main([*flags, f"--out={tmp_path}/here.png"]) == 0
    there, here = (cv2.imread(f"{tmp_path}/{name}.png", cv2.IMREAD_UNCHANGED) for name in ("there", "here"))
    difference = np.abs(there.astype(int) - here)
    assert here.std() > 20 and difference.max() <= largest and difference.mean() <= mean
