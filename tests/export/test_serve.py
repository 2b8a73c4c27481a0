"""export/web/serve.py: its mistakes in one line, the files that it serves, and those that it must not."""

import gzip
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

WEB = Path(__file__).parents[2] / "export/web"


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Path:
    """A copy of the page with empty files in place of the npm packages."""
    folder = tmp_path_factory.mktemp("web")
    for path in WEB.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    core, utils = (folder / "node_modules/@litertjs" / name for name in ("core", "wasm-utils"))
    files = [utils / "dist/index.js", core / "dist/index.js"]
    files += [core / f"wasm/litert_wasm_{kind}internal.{end}" for kind in ("", "compat_") for end in ("js", "wasm")]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """Stands for an exported folder."""
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported/generator.tflite").write_bytes(b"model")
    (tmp_path / "exported/export.json").write_text("{}")
    return tmp_path / "exported"


def run(web: Path, *flags: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, web / "serve.py", *flags], capture_output=True, text=True, timeout=60)


@pytest.fixture
def url(web, folder):
    server = subprocess.Popen(
        [sys.executable, web / "serve.py", f"--exported={folder}", "--port=0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield server.stdout.readline().split(" at ")[1].split()[0]
    finally:
        server.kill()
        server.wait(60)
        server.stdout.close()


def status(url: str) -> int:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status
    except HTTPError as error:
        error.close()
        return error.code


def test_the_page_and_the_export_are_served(url):
    with urlopen(url, timeout=10) as answer:
        assert answer.status == 200 and answer.headers["Content-Type"] == "text/html"
        assert answer.headers["Cache-Control"] == "no-cache"
    with urlopen(f"{url}models/generator.tflite", timeout=10) as answer:
        assert answer.read() == b"model" and answer.headers["Content-Type"] == "application/octet-stream"
    assert status(f"{url}models/export.json?x=1") == 200
    assert status(f"{url}models/other.tflite") == status(f"{url}serve.py") == status(f"{url}models/") == 404


def test_an_address_that_is_none_is_not_found(url):
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=10) as line:
        line.sendall(b"GET http://[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert line.makefile("rb").readline().split()[1] == b"404"


def test_files_are_sent_compressed_to_those_who_accept_it(url, folder):
    (folder / "generator.tflite").write_bytes(bytes(1_000_000))
    for accepted, size in (("gzip, br", 2000), ("identity", 1_000_000)):
        request = Request(f"{url}models/generator.tflite", headers={"Accept-Encoding": accepted})
        with urlopen(request, timeout=10) as answer:
            body = answer.read()
            assert answer.headers["Content-Length"] == str(len(body)) and answer.headers["Vary"] == "Accept-Encoding"
            assert (answer.headers["Content-Encoding"] == "gzip") == (accepted != "identity")
        assert len(body) <= size
        assert (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body) == bytes(1_000_000)


def test_a_file_is_sent_again_only_if_it_has_changed(url, folder):
    with urlopen(f"{url}models/generator.tflite", timeout=10) as answer:
        mark = answer.headers["ETag"]
    request = Request(f"{url}models/generator.tflite", headers={"If-None-Match": mark})
    with pytest.raises(HTTPError) as unchanged:
        urlopen(request, timeout=10)
    assert unchanged.value.code == 304
    unchanged.value.close()
    (folder / "generator.tflite").write_bytes(b"other")
    with urlopen(request, timeout=10) as answer:
        assert answer.read() == b"other"


def test_the_page_knows_the_sizes_of_the_large_files(url):
    with urlopen(url, timeout=10) as answer:
        sizes = json.loads(re.search('id="sizes">(.*?)</script>', answer.read().decode())[1])
    assert sizes["models/generator.tflite"] == len(b"model") and "litert/wasm/litert_wasm_internal.wasm" in sizes


def test_the_page_loads_all_its_modules_at_once():
    text = (WEB / "index.html").read_text()
    modules = {path.name for path in WEB.glob("*.js")} - {"sw.js"}
    assert set(re.findall('modulepreload" href="([^"/]+)"', text)) == modules


def test_a_shared_link_shows_the_contact_sheet_if_there_is_one(web, folder, tmp_path):
    assert run(web, f"--exported={folder}", f"--out={tmp_path}/without").returncode == 0
    assert "og:image" not in (tmp_path / "without/index.html").read_text()
    (folder / "contact_sheet.png").write_bytes(b"png")
    assert run(web, f"--exported={folder}", f"--out={tmp_path}/with", "--url=https://example.org/a/").returncode == 0
    image = '<meta property="og:image" content="https://example.org/a/models/contact_sheet.png">'
    assert image in (tmp_path / "with/index.html").read_text()
    assert (tmp_path / "with/models/contact_sheet.png").read_bytes() == b"png"


def test_nothing_outside_the_exported_folder_is_served(url, folder):
    (folder / "x.tflite").symlink_to("/etc/hostname")
    (folder.parent / "secret.tflite").touch()
    (folder / "y.tflite").symlink_to(folder.parent / "secret.tflite")
    (folder / "below").mkdir()
    (folder / "below" / "z.tflite").touch()
    (folder / "folder.tflite").mkdir()
    (folder / "same.tflite").symlink_to("generator.tflite")
    (folder / "export.json").unlink()
    (folder / "export.json").symlink_to("/etc/hostname")
    for name in ("x.tflite", "y.tflite", "below/z.tflite", "folder.tflite", "export.json"):
        assert status(f"{url}models/{name}") == 404, name
    assert status(f"{url}models/same.tflite") == 200
    address = url.removeprefix("http://").strip("/")
    for path in (
        "/../serve.py",
        "/models/../../secret.tflite",
        "/models/%2e%2e/%2e%2e/secret.tflite",
        "//etc/hostname",
    ):
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", path)
        assert connection.getresponse().status == 404, path
        connection.close()


def test_links_out_of_the_exported_folder_are_not_part_of_the_site(web, folder, tmp_path):
    (folder / "x.tflite").symlink_to("/etc/hostname")
    done = run(web, f"--exported={folder}", f"--out={tmp_path}/site")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "site/models").iterdir()) == ["export.json", "generator.tflite"]
    (folder / "generator.tflite").unlink()
    done = run(web, f"--exported={folder}")
    assert done.returncode == 2 and "there is no .tflite file" in done.stderr


def test_the_exported_folder_may_be_a_link_itself(web, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert run(web, f"--exported={tmp_path}/link", f"--out={tmp_path}/site").returncode == 0
    assert (tmp_path / "site/models/generator.tflite").is_file()


def test_the_site_as_a_folder(web, folder, tmp_path):
    out = tmp_path / "site"
    assert run(web, f"--exported={folder}", f"--out={out}").returncode == 0
    for name in ("index.html", "main.js", "sw.js", "litert/wasm/litert_wasm_internal.wasm", "models/generator.tflite"):
        assert (out / name).is_file(), name
    for name in ("index.html", "main.js"):
        assert gzip.decompress((out / f"{name}.gz").read_bytes()) == (out / name).read_bytes()
    done = run(web, f"--exported={folder}", f"--out={out}")
    assert done.returncode == 2 and "this exists and is not empty" in done.stderr


def test_a_full_disk_leaves_no_half_of_a_site(web, folder, small_disk):
    (folder / "generator.tflite").write_bytes(os.urandom(400_000))
    done = run(web, f"--exported={folder}", f"--out={small_disk}/site")
    assert (done.returncode, done.stderr) == (1, f"error: --out={small_disk}/site: No space left on device\n")
    assert not list((small_disk / "site").iterdir())
    (folder / "generator.tflite").write_bytes(b"model")
    done = run(web, f"--exported={folder}", f"--out={small_disk}/site")
    assert done.returncode == 0 and (small_disk / "site/index.html").is_file(), done.stderr


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--host=nosuchhost"], "--host=nosuchhost: unknown host"),
        (["--host=nosuchhost.invalid"], "--host=nosuchhost.invalid: unknown host"),
        (["--host=a..b"], "--host=a..b: unknown host"),
        (["--host=192.0.2.1", "--port=0"], "--host=192.0.2.1: not an address of this machine"),
        (["--port=70000"], "--port=70000: must be from 0 to 65535"),
        (["--url=example.org"], "--url=example.org: must be an address from http to the last slash"),
        (["--exported=missing"], "--exported=missing: there is no .tflite file; python -m export writes them"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(web, folder, flags, message):
    done = run(web, f"--exported={folder}", *flags)
    assert done.returncode == 2
    assert done.stderr == f"error: {message}\n"


def test_a_taken_port_advises_another_one(web, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(web, f"--exported={folder}", f"--port={port}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --port={port}: another program uses it; give another port")


def test_a_missing_runtime_is_named(tmp_path):
    copy = shutil.copy(WEB / "serve.py", tmp_path)
    done = subprocess.run([sys.executable, copy], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "npm ci" in done.stderr
