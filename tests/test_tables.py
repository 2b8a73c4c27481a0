import pytest

from keras_dcgan import tables
from keras_dcgan.files import DamagedFile


def test_a_table_continues_with_the_same_bytes(tmp_path):
    whole, part = (tables.Table(tmp_path / name, ["loss", "share"]) for name in ("whole.csv", "part.csv"))
    rows = [{"step": step, "loss": 0.1 * step + 1e-9, "share": 1 / (step + 3)} for step in range(1, 6)]
    for row in rows:
        whole.add(dict(row))
    for row in rows[:4]:
        part.add(dict(row))
    with (tmp_path / "part.csv").open("a") as file:
        file.write("5,0.5")  # cut by a kill
    resumed = tables.Table(tmp_path / "part.csv", ["share", "loss"], up_to_step=3)
    assert [row["step"] for row in resumed.rows] == [1, 2, 3]
    for row in rows[3:]:
        resumed.add(dict(row))
    assert (tmp_path / "part.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


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
    with pytest.raises(DamagedFile, match=rf"history\.csv, line {line}: damaged"):
        tables.Table(path, ["loss", "share"], up_to_step=20)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"step,lo", SOUND[:16], SOUND[:20], SOUND + b"40,x,y\n", b"\0" * 50])
def test_what_a_kill_leaves_is_no_damage(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    rows = tables.Table(tmp_path / "a.csv", ["loss", "share"], up_to_step=20).rows
    assert [row["step"] for row in rows] == ([10, 20] if len(content) > 55 else [])
