import json
import os
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_dcgan import cli, generators, sample
from keras_dcgan.datasets.classes import Classes
from keras_dcgan.generators import draw_images, draw_latents, save_network
from keras_dcgan.networks import build_generator, with_labels
from keras_dcgan.tools.draw import make_grid, stretch


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "generator.keras"
    save_network(path, build_generator(2, 16, 3, 5))
    return path


CLASSES = Classes(("cat", "sea/lion", "owl"), (1, 0, 9))


@pytest.fixture(scope="module")
def with_classes(tmp_path_factory):
    """A generator of three classes, in which the label makes a difference that can be seen."""
    path = tmp_path_factory.mktemp("classes") / "generator.keras"
    generator = build_generator(2, 16, 1, 5, classes=3)
    generator.set_weights([20 * weight for weight in generator.get_weights()])
    save_network(path, generator, CLASSES)
    return path


def grid_of(path, latents, labels, columns=None):
    """The grid that `sample` should have drawn."""
    images = draw_images(generators.load_generator(path), with_labels(latents, np.array(labels)))
    return make_grid(images, columns)[..., 0]


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def run(*arguments: str) -> None:
    """The command, in this process."""
    sample.main(cli.parse(sample.define_flags, arguments))


def test_many_pictures_are_drawn_in_parts(tmp_path, monkeypatch):
    generator = build_generator(2, 16, 1, 5)
    chosen = sample.Chosen(draw_latents(7, 5, seed=0))
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    sample.write_pictures(f"{tmp_path}/whole/", generator, chosen, None, 1.0)
    monkeypatch.setattr(sample, "IN_MEMORY", 3)
    sample.write_pictures(f"{tmp_path}/parts/", generator, chosen, None, 1.0)
    for i in range(7):
        whole, part = (cv2.imread(str(tmp_path / name / f"{i:06d}.png")).astype(int) for name in ("whole", "parts"))
        assert np.abs(whole - part).max() <= 1  # the sum's order depends on the batch


def test_a_grid_has_its_limit_and_a_folder_has_none(generator, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "LARGEST_GRID", 6)
    with pytest.raises(cli.UserError, match="--count=7: a grid holds 6 at most"):
        run(f"--generator={generator}", "--count=7", f"--out={tmp_path}/grid.png")
    run(f"--generator={generator}", "--count=7", f"--out={tmp_path}")
    assert len(list(tmp_path.iterdir())) == 7


def test_the_same_seed_gives_the_same_picture(command, generator, tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        done = command(
            "keras_dcgan.sample",
            f"--generator={generator}",
            "--count=6",
            f"--seed={seed}",
            f"--out={tmp_path}/{name}.png",
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"Wrote {tmp_path}/{name}.png\n"  # and no notes of TensorFlow's
    a, b, c = (cv2.imread(str(tmp_path / f"{name}.png")) for name in "abc")
    assert a.shape == (2 * 16, 3 * 16, 3)
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)


def test_a_run_folder_gives_single_pictures_and_an_animation(command, generator, tmp_path):
    out, morph = tmp_path / "new" / "pictures", tmp_path / "morph.gif"
    done = command(
        "keras_dcgan.sample", f"--run_dir={generator.parent}", "--count=3", f"--out={out}/", f"--interpolate={morph}"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    assert cv2.imread(str(out / "000000.png")).shape == (16, 16, 3)
    assert morph.read_bytes().startswith(b"GIF89a")
    with Image.open(morph) as animation:
        assert animation.n_frames > 100 and animation.info["loop"] == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give --out"),
        (["--out=a.png"], "give either --run_dir"),
        (["--generator=missing.keras"], "give --out"),
        (["--generator=missing.keras", "--out=a.png"], "missing.keras: no such file"),
        (["--generator=missing.keras", "--out=a.png", "--label=1", "--each"], "only one of --label"),
        (["--generator=missing.keras", "--interpolate=a.avi"], "must end in .gif, .webp, .mp4"),
        (["--generator=missing.keras", "--count=0", "--out=a.png"], "count"),
        (["--generator=missing.keras", "--out="], "out=: must not be empty"),
        (["--generator=missing.keras", "--interpolate="], "interpolate=: must not be empty"),
        (["--generator=", "--out=a.png"], "generator=: must not be empty"),
        (["--run_dir=", "--out=a.png"], "run_dir=: must not be empty"),
        (["--generator=missing.keras", "--out=a.png", "--aspect=3:0"], "--aspect=3:0: must be width:height, as 3:2"),
        (["--generator=missing.keras", os.fsdecode(b"--interpolate=\xff.gif")], "UTF-8"),
        ([os.fsdecode(b"--generator=\xff.keras"), "--out=a.png"], "UTF-8"),
    ],
)
def test_a_mistake_is_one_line(command, flags, message):
    done = command("keras_dcgan.sample", *flags)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "name, advice",
    [
        ("picture.doc", "use .png"),
        ("picture", "end in / for a folder"),
        ("grid.gif", "an animation is --interpolate="),
    ],
)
def test_a_grid_of_an_unknown_format_is_refused_before_anything_is_drawn(command, tmp_path, name, advice):
    done = command("keras_dcgan.sample", "--generator=missing.keras", f"--out={tmp_path}/{name}")
    assert done.returncode == 2
    assert f"--out={tmp_path}/{name}: " in done.stderr and advice in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", sample.GRIDS)
def test_a_grid_is_written_in_every_format_that_is_offered(generator, tmp_path, suffix):
    run(f"--generator={generator}", "--count=4", f"--out={tmp_path}/grid{suffix}")
    with Image.open(tmp_path / f"grid{suffix}") as picture:
        assert picture.size == (32, 32) and picture.mode == "RGB"


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--out=a.png", "--which=best"], "--which=best: goes with --run_dir"),
        (["--out={file}/a.png"], "--out={file}/a.png: {file}: is not a folder"),
        (["--out={file}/"], "--out={file}/: {file}: is not a folder"),
        (["--interpolate={file}/new/a.gif"], "--interpolate={file}/new/a.gif: {file}/new: is not a folder"),
    ],
)
def test_an_impossible_place_or_choice_is_the_users_mistake(generator, tmp_path, flags, message):
    (tmp_path / "file").write_text("in the way")
    fill = lambda text: text.replace("{file}", str(tmp_path / "file"))  # noqa: E731
    with pytest.raises(cli.UserError, match=re.escape(fill(message))):
        run(f"--generator={generator}", "--count=1", *map(fill, flags))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_tilde_is_the_home_folder(generator, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run(f"--generator={generator}", "--count=1", "--out=~/new/a.png", "--interpolate=~/morph.gif")
    assert (tmp_path / "new" / "a.png").exists() and (tmp_path / "morph.gif").exists()


def test_a_generator_that_draws_nan_gives_no_picture(tmp_path):
    broken = build_generator(2, 16, 1, 5)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * np.nan)
    save_network(tmp_path / "broken.keras", broken)
    with pytest.raises(FloatingPointError, match="not finite"):
        run(f"--generator={tmp_path}/broken.keras", f"--out={tmp_path}/a.png", "--count=4")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    "flag, name", [("interpolate", "morph.gif"), ("interpolate", "morph.mp4"), ("out", "grid.png")]
)
def test_a_full_disk_keeps_the_old_file_and_is_an_error_that_names_it(command, generator, small_disk, flag, name):
    file, flags = small_disk / name, (f"--generator={generator}", "--count=400")
    done = command("keras_dcgan.sample", *flags, f"--{flag}={file}")
    assert done.returncode == 0, done.stderr
    before = file.read_bytes()
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(max(0, free - len(before) // 2)))  # room for half of a file
    done = command("keras_dcgan.sample", *flags, f"--{flag}={file}")
    assert done.returncode == 1
    assert str(file) in done.stderr.splitlines()[-1] and "disk" in done.stderr.splitlines()[-1].replace(
        "device", "disk"
    )
    assert "Wrote" not in done.stderr and "Traceback" not in done.stderr
    assert file.read_bytes() == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", name]


def test_without_a_wish_random_pictures_have_the_mix_of_the_data(with_classes, tmp_path):
    run(f"--generator={with_classes}", "--count=16", "--seed=3", f"--out={tmp_path}/a.png")
    labels = CLASSES.draw(16, 3)
    assert set(labels) == {0, 2}  # none of the class without an image
    np.testing.assert_array_equal(read(tmp_path / "a.png"), grid_of(with_classes, draw_latents(16, 5, 3), labels))


@pytest.mark.parametrize("label", ["owl", "2"])
def test_a_label_gives_pictures_of_one_class_by_name_or_number(with_classes, tmp_path, label):
    run(f"--generator={with_classes}", "--count=4", f"--label={label}", f"--out={tmp_path}/a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), grid_of(with_classes, draw_latents(4, 5, 0), [2] * 4))


def test_labels_give_a_row_of_one_picture_each_and_count_more_rows(with_classes, tmp_path):
    flags = [f"--generator={with_classes}", "--labels=2, cat,sea/lion,2", f"--out={tmp_path}/a.png"]
    run(*flags)
    expected = grid_of(with_classes, draw_latents(4, 5, 0), [2, 0, 1, 2], columns=4)
    assert expected.shape == (16, 4 * 16)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), expected)
    run(*flags, "--count=2")
    expected = grid_of(with_classes, draw_latents(8, 5, 0), [2, 0, 1, 2] * 2, columns=4)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), expected)


def test_one_latent_vector_writes_a_whole_row_and_the_next_row_has_another(with_classes, tmp_path):
    flags = [f"--generator={with_classes}", "--labels=2,0,2", "--same_latents", f"--out={tmp_path}/a.png"]
    run(*flags, "--count=2")
    expected = grid_of(with_classes, draw_latents(2, 5, 0).repeat(3, axis=0), [2, 0, 2] * 2, columns=3)
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture, expected)
    np.testing.assert_array_equal(picture[:, :16], picture[:, 32:])  # the same class in the same handwriting
    assert np.any(picture[:16] != picture[16:])


@pytest.mark.parametrize("flags, columns", [([], sample.COLUMNS), (["--count=7"], 2), (["--count=1"], 1)])
def test_each_class_has_a_row(with_classes, tmp_path, flags, columns):
    run(f"--generator={with_classes}", "--each", f"--out={tmp_path}/a.png", *flags)
    labels = np.arange(3).repeat(columns)
    expected = grid_of(with_classes, draw_latents(3 * columns, 5, 0), labels, columns)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), expected)
    run(f"--generator={with_classes}", "--each", "--same_latents", f"--out={tmp_path}/b.png", *flags)
    expected = grid_of(with_classes, np.tile(draw_latents(columns, 5, 0), (3, 1)), labels, columns)
    np.testing.assert_array_equal(read(tmp_path / "b.png"), expected)


@pytest.mark.parametrize("flag", ["--label=owl", "--labels=owl"])
def test_a_single_class_moves_through_the_latents(with_classes, tmp_path, flag):
    run(f"--generator={with_classes}", flag, f"--interpolate={tmp_path}/a.gif")
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames > sample.INTERPOLATED  # frames that are alike are one


def test_files_of_a_folder_are_named_by_number_and_class(with_classes, tmp_path):
    run(f"--generator={with_classes}", "--labels=owl,sea/lion", f"--out={tmp_path}/new/")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["000000_owl.png", "000001_sea-lion.png"]


@pytest.mark.parametrize("name", ["../..", "a b:c*?", "\u732b", "\udcff", "x" * 300, "\u732b" * 300, "\n"])
def test_every_class_name_can_stand_in_the_name_of_a_file(tmp_path, name):
    safe = sample.safe_name(name)
    assert safe and not set(safe) & set("/\\:*?\n ")
    (tmp_path / f"000000_{safe}.png").write_bytes(b"")
    assert [path.name for path in tmp_path.iterdir()] == [f"000000_{safe}.png"]


def frames_of(monkeypatch, *flags):
    """The frames of --interpolate, which a .gif would not keep all of."""
    kept = []
    monkeypatch.setattr(sample.draw, "write_animation", lambda path, frames: kept.extend(frames))
    run(*flags, "--interpolate=morph.gif")
    return np.array(kept)


@pytest.mark.parametrize("same", [True, False])
def test_a_morph_passes_through_the_classes_asked_for_in_their_order(with_classes, monkeypatch, same):
    frames = frames_of(monkeypatch, f"--generator={with_classes}", "--labels=2,0,1", *["--same_latents"] * same)
    latents = np.tile(draw_latents(1, 5, 0), (3, 1)) if same else draw_latents(3, 5, 0)
    expected = draw_images(generators.load_generator(with_classes), with_labels(latents, np.array([2, 0, 1])))
    assert len(frames) == 3 * generators.STEPS_BETWEEN
    assert np.abs(frames[:: generators.STEPS_BETWEEN].astype(int) - expected).max() <= 1
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean() < np.abs(np.diff(expected.astype(int), axis=0)).mean()


@pytest.mark.parametrize(
    "flags, labels",
    [
        ([], CLASSES.draw(sample.INTERPOLATED, 0)),
        (["--label=owl"], [2] * sample.INTERPOLATED),
        (["--each"], [0, 1, 2]),
    ],
)
def test_a_morph_walks_through_random_classes_one_class_or_all(with_classes, monkeypatch, flags, labels):
    frames = frames_of(monkeypatch, f"--generator={with_classes}", *flags)
    inputs = with_labels(draw_latents(len(labels), 5, 0), np.array(labels))
    expected = draw_images(generators.load_generator(with_classes), inputs)
    assert len(frames) == len(labels) * generators.STEPS_BETWEEN
    assert np.abs(frames[:: generators.STEPS_BETWEEN].astype(int) - expected).max() <= 1


def test_pictures_have_the_shape_that_is_asked_for(generator, with_classes, tmp_path, monkeypatch):
    run(f"--generator={generator}", "--count=4", "--aspect=3:2", f"--out={tmp_path}/a.png")
    squares = draw_images(generators.load_generator(generator), draw_latents(4, 5, 0))
    np.testing.assert_array_equal(read(tmp_path / "a.png")[..., ::-1], make_grid(stretch(squares, 1.5)))
    run(f"--generator={with_classes}", "--each", "--count=6", "--aspect=0.5", f"--out={tmp_path}/b.png")
    assert read(tmp_path / "b.png").shape == (3 * 32, 2 * 16)
    run(f"--generator={with_classes}", "--labels=2,0", "--aspect=0.5", f"--out={tmp_path}/new/")
    assert {read(path).shape for path in (tmp_path / "new").iterdir()} == {(32, 16)}
    frames = frames_of(monkeypatch, f"--generator={with_classes}", "--labels=2,0", "--aspect=1.25")
    assert frames.shape == (2 * generators.STEPS_BETWEEN, 16, 20, 1)


def test_pictures_have_the_shape_of_the_runs_data_unless_another_is_asked_for(generator, tmp_path):
    (tmp_path / "generator.keras").write_bytes(generator.read_bytes())
    (tmp_path / "dataset.json").write_text(json.dumps({"resize_mode": "stretch", "aspect": 1.5}))
    for flags, width in (([], 24), (["--aspect=1"], 16), (["--aspect=2"], 32)):
        for place in (f"--run_dir={tmp_path}", f"--generator={tmp_path}/generator.keras"):
            run(place, "--count=1", f"--out={tmp_path}/a.png", *flags)
            assert read(tmp_path / "a.png").shape == (16, width, 3)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--label=dog"], "--label=dog: 'dog' is not a class; they are cat, sea/lion, owl"),
        (["--labels=0,3"], "--labels=0,3: '3' is not a class"),
        (["--labels="], "--labels=: '' is not a class"),
        (["--label="], "--label=: '' is not a class"),
        (["--labels=0,,1"], "--labels=0,,1: '' is not a class"),
        (["--label=0", "--each"], "give only one of --label, --labels and --each"),
        (["--same_latents"], "--same_latents: goes with --labels or --each"),
        (["--label=0", "--same_latents"], "--same_latents: goes with --labels or --each"),
        (["--labels=0,1", "--count=5001"], "a.png: holds 10000 pictures at most; these are 5001 rows of 2"),
        (["--labels=" + "0," * 100 + "1", "--interpolate={folder}/a.gif"], "holds 100 classes at most, not 101"),
    ],
)
def test_a_wish_that_cannot_be_met_is_the_users_mistake(with_classes, tmp_path, flags, message):
    flags = [flag.replace("{folder}", str(tmp_path)) for flag in flags]
    with pytest.raises(cli.UserError, match=re.escape(message)) as caught:
        run(f"--generator={with_classes}", f"--out={tmp_path}/new/a.png", *flags)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags, name",
    [(["--label=7"], "--label=7"), (["--labels=1,2", "--same_latents"], "--labels=1,2"), (["--each"], "--each")],
)
def test_a_generator_without_classes_refuses_them_by_name(generator, tmp_path, flags, name):
    with pytest.raises(cli.UserError, match=f"^{name}: this generator was trained without classes$"):
        run(f"--generator={generator}", f"--out={tmp_path}/a.png", *flags)
    assert not list(tmp_path.iterdir())


def test_a_file_that_names_no_classes_has_numbers(tmp_path):
    save_network(tmp_path / "a.keras", build_generator(2, 16, 1, 5, classes=3))
    run(f"--generator={tmp_path}/a.keras", "--labels=2,0", f"--out={tmp_path}/new/")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["000000_2.png", "000001_0.png"]
    with pytest.raises(cli.UserError, match="'3' is not a class; they are 0, 1, 2"):
        run(f"--generator={tmp_path}/a.keras", "--label=3", f"--out={tmp_path}/a.png")
