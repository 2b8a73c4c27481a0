"""python -m benchmarks.networks: the time of a step against the network between workers. Needs root.

  sudo python -m benchmarks.networks --workers=2,4

Every worker is on this machine, in a network namespace of its own. Its only way to the others is a TUN device, whose
packets this program forwards as a `Link` says: so late, so many bits a second, so many of them lost. (In Linux `tc
netem` does that, but many virtual machines have a kernel without it.) Packets have up to 9,000 bytes. Cables can be
cut: `tests.training.worker_faults` does.
"""

import contextlib
import dataclasses
import fcntl
import heapq
import itertools
import math
import os
import random
import select
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags

from benchmarks import scaling

FLAGS = flags.FLAGS
MTU = 9000  # bytes of a packet
PORT = 8888
TUNSETIFF, IFF_TUN_NO_PI = 0x400454CA, 0x1001  # linux/if_tun.h


@dataclasses.dataclass(frozen=True)
class Link:
    """One direction of every worker's cable: bits a second, seconds until a packet arrives, share of packets lost."""

    rate: float = math.inf
    delay: float = 0.0
    loss: float = 0.0


LINKS = {
    "no limit": Link(),
    "1 Gbit/s": Link(rate=1e9),
    "100 Mbit/s": Link(rate=1e8),
    "1 ms": Link(delay=1e-3),
    "5 ms": Link(delay=5e-3),
    "1 Gbit/s, 1 ms": Link(rate=1e9, delay=1e-3),
    "1 Gbit/s, 1 ms, 1 % lost": Link(rate=1e9, delay=1e-3, loss=0.01),
}


class Network:
    """The network namespaces of `count` workers and the switch between them, within a `with`.

    `link` holds for all cables, and `cut` has the indices of the workers whose cable is cut; both may change at any
    time. Raises PermissionError without root.
    """

    def __init__(self, count: int, link: Link = LINKS["no limit"]):
        self.count, self.link, self.cut = count, link, set[int]()

    def __enter__(self) -> "Network":
        self._left = threading.Event()
        with contextlib.ExitStack() as plugged:
            self._ends = [self._plug_in(index, plugged) for index in range(self.count)]
            self._plugged = plugged.pop_all()
        self._switch = threading.Thread(target=self._forward, daemon=True)
        self._switch.start()
        return self

    def __exit__(self, *_) -> None:
        self._left.set()
        self._switch.join()
        self._plugged.close()

    def start(self, index: int, command: list[str], **options) -> subprocess.Popen:
        """Starts a command as worker `index`; `options` are those of `Popen`."""
        environment = scaling.environment([f"{_address(each)}:{PORT}" for each in range(self.count)], index)
        return subprocess.Popen(["ip", "netns", "exec", _namespace(index), *command], env=environment, **options)

    def _plug_in(self, index: int, plugged: contextlib.ExitStack) -> int:
        """Makes a namespace with a TUN device, which goes with `plugged`; returns the other end of its cable."""
        name = _namespace(index)
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)  # left by a run that was killed
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        plugged.callback(os.close, end)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_NO_PI))
        _ip("netns", "add", name)
        plugged.callback(_ip, "netns", "del", name)
        _ip("link", "set", name, "netns", name)
        _ip("-n", name, "address", "add", f"{_address(index)}/24", "dev", name)
        _ip("-n", name, "link", "set", name, "mtu", str(MTU), "txqueuelen", "10000", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        return end

    def _forward(self) -> None:
        """The switch: reads packets from all cables and writes each to its own when it is due."""
        free = [0.0] * self.count  # when the line of a worker has sent what it was given
        waiting: list[tuple[float, int, int, bytes]] = []  # when it is due, its number, the receiver, the packet
        number = 0
        while not self._left.is_set():
            wait = waiting[0][0] - time.monotonic() if waiting else 0.05
            ready, _, _ = select.select(self._ends, [], [], max(0.0, min(wait, 0.05)))
            link, now = self.link, time.monotonic()
            for end in ready:
                sender = self._ends.index(end)
                for packet in _packets(end):
                    receiver = packet[19] - 1  # the last byte of the address in an IPv4 header
                    if packet[0] >> 4 != 4 or receiver not in range(self.count):
                        continue
                    if {sender, receiver} & self.cut or random.random() < link.loss:
                        continue
                    free[sender] = max(now, free[sender]) + 8 * len(packet) / link.rate
                    number += 1
                    heapq.heappush(waiting, (free[sender] + link.delay, number, receiver, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, receiver, packet = heapq.heappop(waiting)
                with contextlib.suppress(BlockingIOError):  # a full queue drops, as in any switch
                    os.write(self._ends[receiver], packet)


def _namespace(index: int) -> str:
    return f"dcgan{index}"


def _address(index: int) -> str:
    return f"10.77.0.{index + 1}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _packets(end: int, most: int = 64) -> Iterator[bytes]:
    for _ in range(most):
        try:
            yield os.read(end, 2 * MTU)
        except BlockingIOError:
            return


def work() -> None:
    """A worker: trains for ever, and the chief prints the time after each step."""
    workers = scaling.joined("multiworker")
    gan = scaling.built("multiworker", workers, r1_weight=0.0, synchronized=FLAGS.synchronized)
    gan.make_train_function()
    iterator = iter(scaling.fed(workers))
    while True:
        gan.train_function(iterator)["d_loss"].numpy()
        if workers.chief:
            print(time.monotonic(), flush=True)


def measure_steps(count: int) -> None:
    """Prints the time of a step of `count` workers over each of `LINKS`, beside what is computed for it."""
    from keras_dcgan.networks import build_discriminator, build_generator

    networks = build_generator(FLAGS.width, channels=1), build_discriminator(FLAGS.width, channels=1)
    messages = scaling.messages_of_a_step(*networks, FLAGS.synchronized)
    weights = sum(network.count_params() for network in networks)
    command = [sys.executable, "-m", "benchmarks.networks", "--work"]
    command += [f"--{name}={FLAGS[name].value}" for name in ("width", "batch_size", "synchronized")]
    with Network(count) as network, contextlib.ExitStack() as stack:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        workers = [network.start(index, command, **pipes) for index in range(count)]
        for worker in workers:
            if FLAGS.share:
                stack.enter_context(limited(worker.pid, FLAGS.share))
            stack.callback(worker.wait)
            stack.callback(worker.kill)
        chief = workers[0].stdout
        assert chief

        def median_step() -> float:
            times = [float(chief.readline()) for _ in range(FLAGS.rounds + 3)][2:]  # the first ones are of before
            return statistics.median(after - before for before, after in itertools.pairwise(times))

        free = math.nan
        for name, link in LINKS.items():
            network.link = link
            seconds = median_step()
            free = seconds if name == "no limit" else free
            computed = scaling.exchanging(count, weights, messages, link.rate / 8, link.delay)
            cells = [f"{count}", name, f"{1e3 * seconds:.0f} ms", f"{1e3 * (seconds - free):.0f} ms"]
            print(f"| {' | '.join([*cells, f'{1e3 * computed:.0f} ms'])} |", flush=True)


@contextlib.contextmanager
def limited(process: int, share: float) -> Iterator[None]:
    """Gives a process, and what it starts, this share of one core. The process has ended when this ends."""
    group = Path(f"/sys/fs/cgroup/cpu/keras_dcgan-{process}")
    try:
        group.mkdir()
    except OSError as error:
        sys.exit(f"error: --share needs control groups of version 1: {error}")
    (group / "cpu.cfs_period_us").write_text("10000")  # short, or who has used up its share is late for the others
    (group / "cpu.cfs_quota_us").write_text(f"{10000 * share:.0f}")
    (group / "cgroup.procs").write_text(f"{process}")
    try:
        yield
    finally:
        group.rmdir()


def need_root() -> None:
    """Ends the program if it may make no namespaces."""
    if os.geteuid() != 0:
        sys.exit("error: only root may make network namespaces; start this with sudo")


def main(_) -> None:
    """One worker, or the table."""
    if FLAGS.work:
        return work()
    need_root()
    print("| workers | network | a step | more than without limit | computed |\n|---|---|---|---|---|", flush=True)
    for count in map(int, FLAGS.workers):
        measure_steps(count)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    flags.DEFINE_boolean("work", False, "be a worker (used by the program itself)")
    flags.DEFINE_list("workers", ["2", "4"], "numbers of workers")
    flags.DEFINE_integer("width", 32, "filters beside the image")
    flags.DEFINE_integer(
        "batch_size", 16, "images a step, shared by all workers: few, for the network is to be measured"
    )
    flags.DEFINE_boolean("synchronized", True, "batch normalisation over the global batch: 23 messages a step, not 3")
    flags.DEFINE_float("share", 0.0, "the share of one core that each worker gets; 0: no limit", 0.0, 1.0)
    flags.DEFINE_integer("rounds", 15, "steps that are timed over each network")
    app.run(main)
