"""Serves the page with the files of an export, or writes both to a folder that any web server can serve.

  python export/web/serve.py --exported=exported/               # http://127.0.0.1:8000/
  python export/web/serve.py --exported=exported/ --out=site/

Needs nothing but Python; `npm ci` in this folder installs the runtime for the browser.
"""

import argparse
import errno
import functools
import gzip
import html
import http.server
import io
import json
import os
import socket
import sys
import tempfile
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

WEB = Path(__file__).parent
CORE, UTILS = WEB / "node_modules/@litertjs/core", WEB / "node_modules/@litertjs/wasm-utils"
PAGE = ["main.css", "manifest.webmanifest", "icon.svg", "icon-192.png", "icon-512.png"]  # and all .js files
TYPES = {
    ".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".json": "application/json",
    ".png": "image/png", ".svg": "image/svg+xml", ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}  # fmt: skip
SHEET = "contact_sheet.png"  # the picture that a shared link shows


@dataclass(frozen=True)
class Content:
    """A file of the site: its bytes, the same compressed (None if that saves little), and its mark for browsers."""

    plain: bytes
    gzipped: bytes | None
    etag: str


def pack(plain: bytes) -> Content:
    """The same bytes always give the same content."""
    gzipped = gzip.compress(plain, 6, mtime=0)
    return Content(
        plain, gzipped if len(gzipped) < 0.95 * len(plain) else None, f'W/"{zlib.crc32(plain):08x}-{len(plain):x}"'
    )


@functools.lru_cache(maxsize=64)  # compressing the runtime takes half a second
def _read(path: Path, changed_ns: int) -> Content:
    return pack(path.read_bytes())


def read(source: Path | bytes) -> Content:
    """The content of a file as it is on the disk now, or of the bytes themselves."""
    return pack(source) if isinstance(source, bytes) else _read(source, source.stat().st_mtime_ns)


def site(exported: Path, url: str = "") -> dict[str, Path | bytes]:
    """The files of the site by their address, which is relative to the page's.

    A link in `exported` that leads out of it is not among them. Raises ValueError if the runtime is not installed, or
    if `exported` holds no `.tflite` file.
    """
    if not (CORE / "wasm").is_dir() or not UTILS.is_dir():
        raise ValueError(f"LiteRT.js is not installed; run: cd {WEB} && npm ci")
    folder = exported.resolve()
    models = [
        path
        for path in [*sorted(exported.glob("*.tflite")), exported / "export.json", exported / SHEET]
        if path.is_file() and path.resolve().parent == folder
    ]
    if not any(path.suffix == ".tflite" for path in models):
        raise ValueError(f"--exported={exported}: there is no .tflite file; python -m export writes them")
    files = {
        **{path.name: path for path in [*(WEB / name for name in PAGE), *sorted(WEB.glob("*.js"))]},
        "litert/core/index.js": CORE / "dist/index.js",
        "litert/wasm-utils/index.js": UTILS / "dist/index.js",
        # The browser takes one of these two; the others need settings that the page does not use.
        **{
            f"litert/wasm/{name}": CORE / "wasm" / name
            for kind in ("", "compat_")
            for name in (f"litert_wasm_{kind}internal.js", f"litert_wasm_{kind}internal.wasm")
        },
        **{f"models/{path.name}": path for path in models},
    }
    return {"index.html": index(files, url), **files}


def index(files: dict[str, Path], url: str) -> bytes:
    """index.html with what only the server knows: the sizes of the large files, and the address for shared links."""
    text = (WEB / "index.html").read_text(encoding="utf-8")
    sizes = {name: path.stat().st_size for name, path in files.items() if path.suffix in (".wasm", ".tflite")}
    text = text.replace('id="sizes">{}', f'id="sizes">{json.dumps(sizes)}')
    text = text.replace('content="models/', f'content="{html.escape(url)}models/')
    if f"models/{SHEET}" not in files:
        text = "".join(line for line in text.splitlines(keepends=True) if SHEET not in line)
    return text.encode()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers with the files of `site`, and with no other file on the disk."""

    protocol_version = "HTTP/1.1"  # one connection carries many files
    timeout = 60  # seconds for the next request of a connection

    def __init__(self, *arguments, exported: Path, url: str, **options):
        self.exported, self.url = exported, url
        super().__init__(*arguments, **options)

    def send_head(self) -> io.BytesIO | None:
        try:
            name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
            content = read(site(self.exported, self.url)[name])  # read anew, so a new export is seen at once
        except (ValueError, KeyError, OSError):
            self.send_error(404)
            return None
        if self.headers.get("If-None-Match") == content.etag:
            self.send_response(304)
            self.send_header("ETag", content.etag)
            self.end_headers()
            return None
        body = content.plain
        self.send_response(200)
        if content.gzipped and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = content.gzipped
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", TYPES.get(Path(name).suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", content.etag)
        self.end_headers()
        return io.BytesIO(body)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # ask whether the file has changed; a new export is seen at once
        self.send_header("Vary", "Accept-Encoding")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_request(self, code="-", size="-") -> None:
        pass  # errors are logged

    def log_error(self, text: str, *values) -> None:
        if not text.startswith("Request timed out"):  # a connection that nobody uses any more
            super().log_error(text, *values)


def serve(exported: Path, url: str, host: str, port: int) -> None:
    """Serves until interrupted. Raises ValueError as `site` does and for a bad address, OSError if it cannot listen."""
    files = site(exported)
    handler = functools.partial(Handler, exported=exported, url=url)
    try:
        server = http.server.ThreadingHTTPServer((host, port), handler)
    except (socket.gaierror, UnicodeError):
        raise ValueError(f"--host={host}: unknown host") from None
    except OverflowError:
        raise ValueError(f"--port={port}: must be from 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ValueError(f"--host={host}: not an address of this machine") from None
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"--port={port}: another program uses it; give another port, or 0 for a free one") from None
        raise
    # The first visitor should not wait for the compression; the models may be many and large.
    runtime = [source for name, source in files.items() if not name.startswith("models/")]
    threading.Thread(target=lambda: [read(source) for source in runtime], daemon=True).start()
    with server:
        print(f"Serving {exported} at http://{host}:{server.server_port}/ until Ctrl-C", flush=True)
        server.serve_forever()


def write(exported: Path, out: Path, url: str) -> None:
    """Writes the site to a new folder, and each file once more as `.gz` for servers that send such files.

    Raises ValueError as `site` does, and if `out` is not empty.
    """
    files = site(exported, url)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out={out}: this exists and is not empty; give a new folder")
    contents = {name: read(source) for name, source in files.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".site-", dir=out) as work:  # all of it or nothing
            for name, content in contents.items():
                path = Path(work) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.plain)
                if content.gzipped:
                    path.with_name(f"{path.name}.gz").write_bytes(content.gzipped)
            for path in Path(work).iterdir():
                path.rename(out / path.name)
    except OSError as error:
        raise OSError(f"--out={out}: {error.strerror}") from error
    size = sum(len(content.plain) for content in contents.values())
    compressed = sum(len(content.gzipped or content.plain) for content in contents.values())
    print(
        f"Wrote {out}: {len(files)} files, {size / 1e6:.1f} MB, compressed {compressed / 1e6:.1f} MB. "
        "It works without a network only at an https address"
    )


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 done, 1 a fault of the machine, 2 a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="serve.py", description="Serves the page that draws with an exported generator in the browser."
    )
    parser.add_argument(
        "--exported", type=_path, default=Path("exported"), help="folder of python -m export [exported]"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen at; 0.0.0.0 for other devices too [127.0.0.1]"
    )
    parser.add_argument("--port", type=int, default=8000, help="the port; 0 takes a free one [8000]")
    parser.add_argument("--out", type=_path, help="write the site to this new folder instead of serving it")
    parser.add_argument(
        "--url", default="", help="the page's public address, https://…/; shared links then show a picture everywhere"
    )
    given = parser.parse_args(arguments)
    try:
        if given.url and not (given.url.startswith(("http://", "https://")) and given.url.endswith("/")):
            raise ValueError(f"--url={given.url}: must be an address from http to the last slash")
        if given.out:
            write(given.exported, given.out, given.url)
        else:
            serve(given.exported, given.url, given.host, given.port)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
