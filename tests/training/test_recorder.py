"""Rows that survive a kill."""

import errno
import os

import numpy as np
import pytest
import tensorflow as tf

from keras_dcgan.tools.files import BadFile
from keras_dcgan.training.recorder import Recorder, TensorBoard, read_rows


def recorder(path, step=0, **options) -> Recorder:
    made = Recorder(path, **options)
    made.start(["share", "loss"], step)
    return made


def test_a_continued_file_has_the_same_bytes(tmp_path):
    whole, part = (recorder(tmp_path / name) for name in ("whole.csv", "part.csv"))
    rows = {step: {"loss": 0.1 * step + 1e-9, "share": 1 / (step + 3)} for step in range(1, 6)}
    for step, row in rows.items():
        whole.add(step, row)
        if step < 5:
            part.add(step, row)
    with (tmp_path / "part.csv").open("a") as file:
        file.write("5,0.5")  # cut by a kill
    resumed = recorder(tmp_path / "part.csv", step=3)
    assert [row["step"] for row in resumed.rows] == [1, 2, 3]
    for step in (4, 5):
        resumed.add(step, rows[step])
    assert (tmp_path / "part.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_figure_gets_the_steps_and_the_columns(tmp_path):
    seen = []
    rows = recorder(tmp_path / "a.csv", draw=lambda steps, values: seen.append((steps, values)))
    rows.draw()
    assert not seen
    rows.add(3, {"loss": 0.5, "share": 0.1})
    rows.add(6, {"loss": 0.4, "share": 0.2})
    rows.draw()
    assert seen == [([3, 6], {"loss": [0.5, 0.4], "share": [0.1, 0.2]})]


def test_a_figure_that_shows_all_rows_is_not_drawn_again_but_in_another_process(tmp_path):
    seen = []
    rows = recorder(tmp_path / "a.csv", draw=lambda steps, values: seen.append(steps))
    rows.add(3, {"loss": 0.5, "share": 0.1})
    rows.draw()
    rows.draw()
    assert seen == [[3]]
    rows.add(6, {"loss": 0.4, "share": 0.2})
    rows.draw()
    rows.start(["loss", "share"], step=6)
    rows.draw()
    assert seen == [[3], [3, 6], [3, 6]]


def test_tensorboard_gets_scalars_with_a_prefix_and_images(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = TensorBoard(tmp_path / "events")
    recorder(tmp_path / "a.csv", tensorboard=events, prefix="quality/").add(1, {"loss": 0.5, "share": 0.1})
    events.add_image(1, "samples", np.zeros((4, 4, 1), np.uint8))
    found = EventAccumulator(str(tmp_path / "events")).Reload().Tags()
    assert {"quality/loss", "quality/share", "samples"} <= set(found["tensors"])


def test_without_tensorboard_installed_a_run_records(tmp_path, monkeypatch):
    """TensorBoard is not in requirements.txt, and without it the functions of `tf.summary` raise."""

    def missing(*_, **__):
        raise ImportError("TensorBoard is not installed")

    monkeypatch.setattr(tf.summary, "scalar", missing)
    monkeypatch.setattr(tf.summary, "image", missing)
    recorder(tmp_path / "a.csv").add(1, {"loss": 0.5, "share": 0.1})
    events = TensorBoard(None)
    events.add_image(1, "samples", np.zeros((4, 4, 1), np.uint8))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_names_the_file(tmp_path):
    (tmp_path / "history.csv").symlink_to("/dev/full")
    rows = Recorder(tmp_path / "history.csv")
    with pytest.raises(OSError) as raised:
        rows.add(1, {"loss": 0.5})
    assert raised.value.errno == errno.ENOSPC and "history.csv" in str(raised.value)


SOUND = b"step,loss,share\n10,0.5,0.1\n20,0.4,0.2\n30,0.3,0.3\n"


@pytest.mark.parametrize(
    "content, line",
    [
        (SOUND.replace(b"0.4", b"abc"), 3),
        (SOUND.replace(b"step", b"steps"), 1),
        (SOUND.replace(b"loss", b"losses"), 1),
        (SOUND.replace(b"0.4", b"0.4,7"), 3),
        (SOUND.replace(b"20,0.4", b"20"), 3),
        (SOUND.replace(b"0.4", b"\xff"), 3),
        (SOUND.replace(b"20,", b"2x,"), 3),
        (SOUND.replace(b"20,", b"10,"), 3),
        (SOUND.replace(b"20,", b"9" * 5000 + b"x,"), 3),
        (SOUND.replace(b"10,", b"\n10,"), 2),
    ],
)
def test_a_damaged_row_is_refused_by_file_and_line_and_left_as_it_is(tmp_path, content, line):
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=rf"history\.csv, line {line}: damaged"):
        recorder(path, step=20)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"step,lo", SOUND[:16], SOUND[:20], SOUND + b"40,x,y\n", b"\0" * 50])
def test_what_a_kill_leaves_is_not_damage(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    rows = read_rows(tmp_path / "a.csv", ["loss", "share"], 20)
    assert [row["step"] for row in rows] == ([10, 20] if len(content) > 55 else [])


def test_a_full_disk_is_not_taken_for_too_little_memory(small_disk):
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "large").write_bytes(bytes(400_000))
    with pytest.raises(OSError, match=r"No space left on device: '.*/tensorboard'"):
        TensorBoard(small_disk / "tensorboard")
