"""One device, two devices and two workers are one and the same training; a worker that is lost loses nothing."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import scaling
from keras_dcgan import pipeline
from keras_dcgan.config import SettingError, from_preset
from keras_dcgan.training import cluster, distribution
from tests import loaded
from tests.training import soak

LIMIT = 240  # seconds that anything here may take


@contextlib.contextmanager
def two_workers(log, *command: str):
    """Two processes of one command that know of each other; none of them is left when this ends."""
    addresses, processes = scaling.free_addresses(2), []
    try:
        for index in range(2):
            environment = {**scaling.environment(addresses, index), "TF_CPP_MIN_LOG_LEVEL": "3"}
            with log.with_suffix(f".{index}.log").open("a") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", *command], env=environment, cwd=soak.ROOT,
                    stdout=output, stderr=output, start_new_session=True,
                )  # fmt: skip
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(LIMIT)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The tiny run of `replicas` on one device, on two, and by two workers: a folder each."""
    base = tmp_path_factory.mktemp("replicas")
    folders = {mode: base / mode for mode in ("off", "mirrored", "multiworker")}
    for mode, folder in folders.items():
        folder.mkdir()
        if mode != "multiworker":
            done = loaded.run("tests.training.replicas", [mode, str(folder)], soak.ROOT, LIMIT)
            assert done.returncode == 0, done.stderr
            continue
        with two_workers(base / mode, "tests.training.replicas", mode, str(folder)) as workers:
            codes = [worker.wait(LIMIT) for worker in workers]
        assert codes == [0, 0], (base / "multiworker.0.log").read_text()[-3000:]
    return folders


def weights(folder, name: str, index: int = 0) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}-{index}.npz") as file:
        return dict(file)


def losses(folder, name: str) -> np.ndarray:
    """Every value of every step: [steps, columns]."""
    with (folder / name / "history.csv").open() as file:
        return np.array([[float(value) for value in row.values()] for row in csv.DictReader(file)])


def apart(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The largest difference between two sets of weights."""
    assert set(a) == set(b)
    return max(float(np.max(np.abs(a[key].astype("f8") - b[key]))) for key in a)


def distance(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The root of the summed squares of all differences between two sets of weights."""
    return float(np.sqrt(sum(np.sum(np.square(a[key].astype("f8") - b[key])) for key in a)))


# Plain gradient descent shows that the gradients are the same. Adam, at first, makes a whole step (8e-4) of the sign of
# a gradient, however small, so that rounding shows in single weights.
@pytest.mark.parametrize("name, of_losses, of_weights", [("sgd", 1e-6, 1e-7), ("adam", 2e-4, 8e-4)])
@pytest.mark.parametrize("mode", ["mirrored", "multiworker"])
def test_two_devices_train_as_one_does(runs, mode, name, of_losses, of_weights):
    assert len(losses(runs["off"], name)) == 8
    assert weights(runs["off"], name)["discriminator/d3/kernel"].shape[-1] == 10  # it learns the classes
    np.testing.assert_allclose(losses(runs[mode], name), losses(runs["off"], name), rtol=0, atol=of_losses)
    assert apart(weights(runs[mode], name), weights(runs["off"], name)) < of_weights


@pytest.mark.parametrize("mode", ["mirrored", "multiworker"])
def test_in_bfloat16_two_devices_differ_from_one_by_its_rounding(runs, mode):
    here, one, exact = weights(runs[mode], "bfloat16"), weights(runs["off"], "bfloat16"), weights(runs["off"], "sgd")
    np.testing.assert_allclose(losses(runs[mode], "bfloat16"), losses(runs["off"], "bfloat16"), rtol=0, atol=1e-2)
    assert apart(here, one) < 1e-2
    # Both differ from float32 by as much, and from each other by no more than two independent roundings do.
    of_one, of_two = distance(one, exact), distance(here, exact)
    assert of_two < 1.2 * of_one
    assert 0 < distance(here, one) < np.hypot(of_one, of_two)


@pytest.mark.parametrize("name", ["sgd", "adam", "bfloat16"])
def test_all_replicas_hold_the_same_numbers(runs, name):
    first = weights(runs["multiworker"], name)
    assert any("averaged" in key for key in first)
    assert apart(first, weights(runs["multiworker"], name, 1)) == 0
    assert apart(first, weights(runs["mirrored"], name)) == 0


def test_without_synchronisation_only_the_moving_statistics_differ_between_replicas(runs):
    first, second = (weights(runs["multiworker"], "own", index) for index in range(2))
    differ = {key for key in first if np.any(first[key] != second[key])}
    assert differ and all("moving" in key and "averaged" not in key for key in differ)
    assert apart(first, weights(runs["mirrored"], "own")) == 0
    assert apart(first, weights(runs["multiworker"], "sgd")) > 1e-4  # another recipe


def test_only_the_chief_writes_and_the_files_are_those_of_one_device(runs):
    def names(mode: str) -> set[str]:
        return {str(path.relative_to(runs[mode])) for path in (runs[mode] / "adam").rglob("*")}

    assert names("mirrored") == names("multiworker") == names("off") - {"adam/.lock"}


FIT = [
    "keras_dcgan.fit", *soak.FLAGS, "--measure_every=0", "--steps=60", "--checkpoint_every=20", "--sample_every=20",
    "--r1_every=1", "--distribute=multiworker",
]  # fmt: skip


def test_a_killed_worker_and_a_stopped_one_lose_nothing(mnist, tmp_path):
    whole, hit = tmp_path / "whole", tmp_path / "hit"
    with two_workers(whole, *FIT, f"--run_dir={whole}") as workers:
        assert [worker.wait(LIMIT) for worker in workers] == [0, 0], whole.with_suffix(".0.log").read_text()
    log = hit.with_suffix(".0.log")

    def wait_for(path, workers):
        deadline = time.monotonic() + LIMIT
        while not path.exists():
            assert all(worker.poll() is None for worker in workers), log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)

    with two_workers(hit, *FIT, f"--run_dir={hit}") as workers:
        wait_for(hit / "checkpoints" / "step-20.json", workers)
        workers[1].kill()
        assert workers[0].wait(60) == 1, log.read_text()
    last = log.read_text().splitlines()[-1]
    assert (
        "another worker ended or cannot be reached; see that worker's log" in last
        and "Traceback" not in log.read_text()
    )

    with two_workers(hit, *FIT, f"--run_dir={hit}", "--resume") as workers:
        wait_for(hit / "checkpoints" / "step-40.json", workers)
        workers[1].send_signal(signal.SIGTERM)
        assert [worker.wait(60) for worker in workers] == [143, 143], log.read_text()
    for index in range(2):
        assert "SIGTERM: stopped at step" in hit.with_suffix(f".{index}.log").read_text()

    with two_workers(hit, *FIT, f"--run_dir={hit}", "--resume") as workers:
        assert [worker.wait(LIMIT) for worker in workers] == [0, 0], log.read_text()
    for name in ("history.csv", "generator.keras", "discriminator.keras", "samples/latest.png"):
        assert soak.digest(whole / name) == soak.digest(hit / name), name


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_parts_of_a_batch_make_the_batch(digits, shuffle):
    def batches(part: tuple[int, int]):
        dataset = pipeline.make_dataset(digits, 12, 32, 1, shuffle=shuffle, first_step=2, shard=part)
        return list(dataset.take(4).as_numpy_iterator())

    for whole, *parts in zip(batches((0, 1)), *(batches((i, 3)) for i in range(3)), strict=True):
        assert parts[0].shape == (4, 32, 32, 1)
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_batch_that_cannot_be_split_is_refused():
    def check(devices: int) -> None:
        distribution.Workers(strategy=SimpleNamespace(num_replicas_in_sync=devices)).check_batch(64)

    check(4)
    with pytest.raises(SettingError, match=r"batch_size=64: 3 devices share each batch, so it must be a multiple of 3"):
        check(3)


def test_workers_need_the_same_settings_but_have_disks_of_their_own(digits):
    workers, seen = distribution.Workers(cluster.Member(0, 2)), []
    workers.gather = lambda values: seen.append(values) or np.array([seen[0], values])

    def start(**settings) -> None:
        workers.require_agreement(from_preset("quick", settings), 0, SimpleNamespace(images=digits, report={}))

    start(cache_dir="/disk0", data_dir="/data0")
    start(cache_dir="/disk1", data_dir="/data1")
    with pytest.raises(SettingError, match="the workers' settings differ; start all of them with the same"):
        start(seed=1)


def tf_config(kind: str, index: int, **jobs) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


TWO = ["a:1", "b:1"]


@pytest.mark.parametrize(
    "variables, expected",
    [
        (tf_config("worker", 0, worker=TWO), (0, 2, True)),
        (tf_config("worker", 1, worker=TWO), (1, 2, False)),
        (tf_config("chief", 0, chief=["c:1"], worker=TWO), (0, 3, True)),
        (tf_config("worker", 0, chief=["c:1"], worker=TWO), (1, 3, False)),
        (dict(zip(cluster.SLURM, ["3", "4", "node[1-2]", "2(x2)"], strict=True)), (3, 4, False)),
    ],
)
def test_the_environment_names_this_worker(variables, expected):
    found = cluster.member(variables)
    assert (found.index, found.count, found.chief) == expected


@pytest.mark.parametrize(
    "variables, message",
    [
        ({}, "neither TF_CONFIG nor a Slurm job step"),
        ({"SLURM_PROCID": "0"}, "neither TF_CONFIG nor a Slurm job step"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG cannot be read"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG cannot be read"),
        (tf_config("worker", 2, worker=TWO), "no address for its own task, worker 2"),
        (tf_config("ps", 0, ps=["c:1"], worker=TWO), "only the jobs 'chief' and 'worker'"),
        (dict(zip(cluster.SLURM, ["x", "4", "node[1-2]", "2(x2)"], strict=True)), "is not a number"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(variables, message):
    with pytest.raises(SettingError, match=f"distribute=multiworker: .*{message}"):
        cluster.member(variables)


def test_without_other_workers_the_command_says_so_in_a_line(command, tmp_path):
    done = command("keras_dcgan.fit", "--distribute=multiworker", f"--run_dir={tmp_path}/run")
    assert done.returncode == 2
    assert "docs/scaling.md" in done.stderr and len(done.stderr.splitlines()) == 1


def test_slurms_variables_become_addresses_also_without_gpus(monkeypatch):
    for name, value in zip(cluster.SLURM, ["3", "4", "node[1-2]", "2(x2)"], strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(distribution.shutil, "which", lambda _: None)
    resolver = distribution._slurm_resolver()
    assert resolver.cluster_spec().as_dict() == {"worker": ["node1:8888", "node1:8889", "node2:8888", "node2:8889"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 3)
    assert resolver.num_accelerators() == {"GPU": 0}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert distribution._slurm_resolver().num_accelerators() == {"GPU": 1}


def test_all_workers_stop_at_the_step_at_which_one_of_them_gets_a_signal():
    others: list[list[int]] = []  # whether the other worker has finished, and its signal, check by check
    model = SimpleNamespace(steps_done=SimpleNamespace(numpy=lambda: 0), stop_training=False, finished=False)
    stop = distribution.StopTogether(100, lambda own: np.array([own, others.pop(0)]), every=10)
    stop.set_model(model)
    stop.on_train_begin()
    try:
        others += [[0, 0], [0, signal.SIGTERM]]
        for batch in range(20):
            assert not model.stop_training
            stop.on_train_batch_end(batch)
        assert model.stop_training and stop.received == signal.SIGTERM and not others
    finally:
        stop.on_train_end()


def test_a_signal_that_comes_while_the_workers_meet_is_not_lost():
    model = SimpleNamespace(steps_done=SimpleNamespace(numpy=lambda: 0), stop_training=False, finished=False)

    def meet(own: list[int]) -> np.ndarray:
        if not stop.received:
            stop._stop(signal.SIGTERM, None)
        return np.array([own, [0, 0]])

    stop = distribution.StopTogether(100, meet, every=10)
    stop.set_model(model)
    stop.on_train_begin()
    for batch in range(20):
        stop.on_train_batch_end(batch)
        assert model.stop_training == (batch >= 19)
    assert stop.received == signal.SIGTERM


def test_all_workers_stop_at_the_step_at_which_the_chief_has_finished():
    model = SimpleNamespace(steps_done=SimpleNamespace(numpy=lambda: 0), stop_training=False, finished=False)
    stop = distribution.StopTogether(100, lambda own: np.array([own, [1, 0]]), every=10)
    stop.set_model(model)
    stop.on_train_begin()
    try:
        for batch in range(10):
            assert not model.stop_training
            stop.on_train_batch_end(batch)
        assert model.stop_training and model.finished and stop.received is None
    finally:
        stop.on_train_end()
