"""Serves the page with the files of an export, or writes both to a folder that any web server can serve.

  python export/web/serve.py --exported=exported/               # http://127.0.0.1:8000/
  python export/web/serve.py --exported=exported/ --out=site/

Needs nothing but Python; `npm ci` in this folder installs the runtime for the browser.
"""

import argparse
import errno
import functools
import http.server
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

WEB = Path(__file__).parent
PAGE = ["index.html", "main.css", "main.js", "sw.js"]
CORE, UTILS = WEB / "node_modules/@litertjs/core", WEB / "node_modules/@litertjs/wasm-utils"


def site(exported: Path) -> dict[str, Path]:
    """The files of the site by their address, which is relative to the page's.

    A link in `exported` that leads out of it is not among them. Raises ValueError if the runtime is not installed, or
    if `exported` holds no `.tflite` file.
    """
    if not (CORE / "wasm").is_dir() or not UTILS.is_dir():
        raise ValueError(f"LiteRT.js is not installed; run: cd {WEB} && npm ci")
    folder = exported.resolve()
    models = [
        path
        for path in [*sorted(exported.glob("*.tflite")), exported / "export.json"]
        if path.is_file() and path.resolve().parent == folder
    ]
    if not any(path.suffix == ".tflite" for path in models):
        raise ValueError(f"--exported={exported}: there is no .tflite file; python -m export writes them")
    return {
        **{name: WEB / name for name in PAGE},
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


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers with the files of `site`, and with no other file on the disk."""

    extensions_map = {  # noqa: RUF012 (as the base class has it); the machine's own table may say text/plain
        ".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".json": "application/json",
        ".wasm": "application/wasm", "": "application/octet-stream",
    }  # fmt: skip

    def __init__(self, *arguments, exported: Path, **options):
        self.exported = exported
        super().__init__(*arguments, **options)

    def translate_path(self, path: str) -> str:
        name = unquote(urlsplit(path).path).removeprefix("/") or "index.html"
        try:
            files = site(self.exported)  # looked up for each request, so a new export is seen at once
        except ValueError:
            files = {}
        return str(files.get(name, WEB / "no such file"))

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # ask whether the file has changed; a new export is seen at once
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_request(self, code="-", size="-") -> None:
        pass  # errors are logged


def serve(exported: Path, host: str, port: int) -> None:
    """Serves until interrupted. Raises ValueError as `site` does and for a bad address, OSError if it cannot listen."""
    site(exported)
    handler = functools.partial(Handler, exported=exported)
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
    with server:
        print(f"Serving {exported} at http://{host}:{server.server_port}/ until Ctrl-C", flush=True)
        server.serve_forever()


def write(exported: Path, out: Path) -> None:
    """Writes the site to a new folder. Raises ValueError as `site` does, and if `out` is not empty."""
    files = site(exported)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out={out}: this exists and is not empty; give a new folder")
    for name, path in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / name)
    size = sum(path.stat().st_size for path in files.values())
    print(f"Wrote {out}: {len(files)} files, {size / 1e6:.1f} MB. It works without a network only at an https address")


def _path(text: str) -> Path:
    return Path(text).expanduser()


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
    given = parser.parse_args(arguments)
    try:
        if given.out:
            write(given.exported, given.out)
        else:
            serve(given.exported, given.host, given.port)
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
