"""What the documents ask a reader to run, and where they send a reader."""

import ast
import importlib
import re
import shlex
import shutil
import subprocess

import pytest

from keras_dcgan import cli
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
DOCUMENTS = [
    path for pattern in ("*.md", "docs/*.md", "export/**/*.md", "examples/**/*.md") for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
]  # fmt: skip
documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def test_the_python_example_runs(monkeypatch, tmp_path, digits):
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.setattr("keras_dcgan.datasets.load_images", lambda name: digits)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert int(names["gan"].steps_done) == 2
    assert len((tmp_path / "losses.csv").read_text().splitlines()) == 3
    assert names["samples"].shape == (16, 64, 64, 1)


def test_the_commands_in_the_readme_have_flags_that_exist():
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    commands = re.findall(r"^python -m (\S+)(.*)", blocks, re.MULTILINE)
    assert commands
    for module, flags in commands:
        command = importlib.import_module("export.__main__" if module == "export" else module)
        cli.parse(command.define_flags, shlex.split(flags, comments=True))


def test_the_readme_is_short():
    assert len(README.splitlines()) < 120


def test_the_chinese_readme_has_the_same_code_and_figures():
    def blocks(text, language):
        return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)

    def commands(text):  # without comments, which are translated
        return [[shlex.split(line, comments=True) for line in block.splitlines()] for block in blocks(text, "sh")]

    def program(text):
        [code] = blocks(text, "python")
        return ast.dump(ast.parse(code))

    def figures(text):
        return [re.findall(r"\d[\d.,]*", row) for row in re.findall(r"^\|.*", text, re.MULTILINE)]

    assert commands(CHINESE) == commands(README) != []
    assert program(CHINESE) == program(README)
    assert figures(CHINESE) == figures(README)


@documents
def test_links_point_to_files_and_headings_that_exist(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if re.match(r"https?:", link):
            continue
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings]
            assert heading in slugs, link


@documents
def test_documents_are_in_plain_english(path):
    text = " ".join(path.read_text(encoding="utf-8").split())
    assert not re.findall(r"\btold\b|\bgone? on with\b|\bthe seed(?:'s| document)|\bthe chief alone\b", text)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_export_accepts_folders_with_spaces():
    shown = subprocess.run(
        ["make", "-n", "export", "RUN_DIR=runs/a b", "EXPORTED=c d/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    [command] = [line for line in shown.stdout.splitlines() if "-m export" in line]
    assert {"--run_dir=runs/a b", "--out=c d/"} <= set(shlex.split(command)), shown.stderr
