"""Tables of numbers that grow with a run and are continued after a kill: `history.csv`, `metrics.csv`."""

from collections.abc import Collection
from pathlib import Path

from keras_dcgan.files import DamagedFile, write_text


class Table:
    """A CSV file of numbers that grows by a row now and then and can be continued after a kill.

    `rows` holds what is in the file. Floats are written in full, so that a continued file has the very bytes of one
    that was never interrupted.

    Args:
      path: the file.
      columns: the names of its columns, in any order, but for the first, `step`.
      up_to_step: the checkpoint's; later rows are cut off, and with 0 all are.

    Raises DamagedFile, naming the file and the line, where a row up to that step is not as it was written.
    """

    def __init__(self, path: Path, columns: Collection[str], up_to_step: int = 0):
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []
        if up_to_step and self.path.exists():
            self.rows = read_rows(self.path, columns, up_to_step)
        lines = [",".join(self.rows[0])] if self.rows else []
        lines += [",".join(map(str, row.values())) for row in self.rows]
        write_text(self.path, "".join(line + "\n" for line in lines))

    def add(self, row: dict[str, float]) -> None:
        """Adds a row, whose first value is the step."""
        with self.path.open("a", encoding="utf-8") as file:
            if not self.rows:
                file.write(",".join(row) + "\n")
            file.write(",".join(map(str, row.values())) + "\n")
        self.rows.append(row)

    def columns(self) -> dict[str, list[float]]:
        """The values of each column."""
        return {name: [row[name] for row in self.rows] for name in self.rows[0]} if self.rows else {}


def read_rows(path: Path, columns: Collection[str], up_to_step: int) -> list[dict[str, float]]:
    """The rows of a table up to a step. Raises DamagedFile for anything that `Table` does not write."""
    *lines, _ = path.read_bytes().split(b"\n")  # what no line end follows was cut by a kill
    rows: list[dict[str, float]] = []
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            values = line.decode("utf-8").split(",")
            if not names:
                if values[0] != "step" or sorted(values[1:]) != sorted(columns):
                    raise ValueError(f"the columns are not step, {', '.join(columns)}")
                names = values
                continue
            if len(values) != len(names):
                raise ValueError(f"{len(values)} values for {len(names)} columns")
            step = int(values[0])
            if step > up_to_step:
                break  # written after the checkpoint, and about to be written again
            if step <= (rows[-1]["step"] if rows else 0):
                raise ValueError("the steps do not rise")
            rows.append({"step": step, **dict(zip(names[1:], map(float, values[1:]), strict=True))})
        except ValueError as error:
            raise DamagedFile(
                f"{path}, line {number}: damaged ({error}); put the file back as the run wrote it, or move it away to "
                "go on without its rows"
            ) from error
    return rows
