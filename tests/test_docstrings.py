"""The examples in the docstrings: they run and print what they show, and the names in the documents have one."""

import ast
import doctest
import importlib
import inspect
import re

import pytest

from keras_dcgan import datasets, metrics
from keras_dcgan.gan import DCGAN
from tests.conftest import ROOT


def examples():
    """Each docstring with an example, from the source: doctest's own search misses decorated functions."""
    for path in sorted([*ROOT.glob("keras_dcgan/**/*.py"), *ROOT.glob("export/*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ">>> " in (text := ast.get_docstring(node) or ""):
                yield pytest.param(module, text, id=f"{module}.{node.name}")


@pytest.mark.parametrize(("module", "text"), list(examples()))
def test_an_example_prints_what_it_shows(module, text, request, monkeypatch, tmp_path):
    if module == "keras_dcgan.datasets.named":
        request.getfixturevalue("mnist")  # skips the test if no source has it
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)  # where examples may write
    names = dict(vars(importlib.import_module(module)))
    example = doctest.DocTestParser().get_doctest(text, names, request.node.name, module, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def documented():
    """What the README and the tutorial import from the package, what its rooms export, and how a GAN is trained."""
    for document in ("README.md", "docs/tutorial.md"):
        code = "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE))
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_dcgan"):
                yield from (getattr(importlib.import_module(node.module), alias.name) for alias in node.names)
    for room in (datasets, metrics):
        yield from (getattr(room, name) for name in room.__all__)
    yield from (DCGAN.compile, DCGAN.adversarial_step)


def test_what_the_documents_name_has_an_example():
    found = {thing for thing in documented() if not (isinstance(thing, type) and issubclass(thing, Exception))}
    assert len(found) > 15
    assert not [thing.__qualname__ for thing in found if "\nExamples:\n  >>> " not in (inspect.getdoc(thing) or "")]
