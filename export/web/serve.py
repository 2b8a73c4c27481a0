"""Serves the page with the files of an export, or writes both to a folder that any web server can serve.

  python export/web/serve.py --exported=exported/               # http://127.0.0.1:8000/
  python export/web/serve.py --exported=exported/ --out=site/

Needs nothing but Python; the runtime in the browser comes from `npm ci` in this folder.
"""

import argparse
import functools
import http.server
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

WEB = Path(__file__).parent
PAGE = ["index.html", "main.css", "main.js", "sw.js"]
CORE, UTILS = WEB / "node_modules/@litertjs/core", WEB / "node_modules/@litertjs/wasm-utils"


def site(exported: Path) -> dict[str, Path]:
    """The files of the site by their address, which is relative to the page's.

    Raises ValueError where the runtime is not installed, or `exported` holds no `.tflite` file.
    """
    if not (CORE / "wasm").is_dir() or not UTILS.is_dir():
        raise ValueError(f"LiteRT.js is not installed; run: cd {WEB} && npm ci")
    models = sorted(exported.glob("*.tflite"))
    if not models:
        raise ValueError(f"--exported={exported}: no .tflite file there; python -m export writes them")
    record = exported / "export.json"
    return {
        **{name: WEB / name for name in PAGE},
        "litert/core/index.js": CORE / "dist/index.js",
        "litert/wasm-utils/index.js": UTILS / "dist/index.js",
        # The browser takes one of the two; the others need settings that the page does not use.
        **{
            f"litert/wasm/{name}": CORE / "wasm" / name
            for kind in ("", "compat_")
            for name in (f"litert_wasm_{kind}internal.js", f"litert_wasm_{kind}internal.wasm")
        },
        **{f"models/{path.name}": path for path in [*models, *([record] if record.is_file() else [])]},
    }


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers from `site`, and from nothing else on the disk."""

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
            files = site(self.exported)  # looked up each time: a new export is seen at once
        except ValueError:
            files = {}
        return str(files.get(name, WEB / "no such file"))

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # ask whether it has changed; a new export is seen at once
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_request(self, code="-", size="-") -> None:
        pass  # errors are logged


def serve(exported: Path, host: str, port: int) -> None:
    """Serves until interrupted. Raises ValueError as `site` does, and OSError where the port is taken."""
    site(exported)
    handler = functools.partial(Handler, exported=exported)
    with http.server.ThreadingHTTPServer((host, port), handler) as server:
        print(f"Serving {exported} at http://{host}:{server.server_port}/ until Ctrl-C", flush=True)
        server.serve_forever()


def write(exported: Path, out: Path) -> None:
    """Writes the site to a new folder. Raises ValueError as `site` does, and where `out` holds something."""
    files = site(exported)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out={out}: is there already; give a new folder")
    for name, path in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / name)
    size = sum(path.stat().st_size for path in files.values())
    print(f"Wrote {out}: {len(files)} files, {size / 1e6:.1f} MB; the address must be https for use without a network")


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 done, 1 a fault of the machine, 2 a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="serve.py", description="Serves the page that draws with an exported generator in the browser."
    )
    parser.add_argument("--exported", type=Path, default=Path("exported"), help="folder of python -m export [exported]")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets a phone on the same network in [127.0.0.1]")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one [8000]")
    parser.add_argument("--out", type=Path, help="write the site to this new folder instead of serving it")
    given = parser.parse_args(arguments)
    try:
        if given.out:
            write(given.exported, given.out)
        else:
            serve(given.exported, given.host, given.port)
    except (ValueError, OverflowError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}; another --port, perhaps", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
