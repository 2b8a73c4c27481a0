"""The page of export/web/ in a headless Chromium: its server, and the scripts that say what they saw."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

WEB = Path(__file__).parents[2] / "export/web"
LIMIT = 400  # seconds for a script, on a busy machine


def serve(exported: Path) -> tuple[subprocess.Popen, str]:
    """The server of an exported folder, and its address."""
    server = subprocess.Popen(
        [sys.executable, WEB / "serve.py", f"--exported={exported}", "--port=0"], stdout=subprocess.PIPE, text=True
    )
    return server, server.stdout.readline().split(" at ")[1].split()[0]


def look(script: str, chromium: str, exported: Path, *arguments: object) -> SimpleNamespace:
    """What a script in export/web/ saw of the page for an exported folder."""
    server, url = serve(exported)
    try:
        done = subprocess.run(
            ["node", WEB / script, url, chromium, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT
        )
    finally:
        server.kill()
        server.wait(60)
        server.stdout.close()
    assert done.returncode == 0, done.stderr[-2000:]
    return SimpleNamespace(**json.loads(done.stdout))
