"""A page opened in a real browser, without a window: what it complained of, and what it asked for.

Needs Chromium; `.ci/run` installs it. A machine without one fails the tests that come here: none is passed over.
"""

import http.server
import json
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-sandbox",  # which root cannot have; the page is our own
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    # Whatever asks for another host, page or browser, is told that there is none.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_SECONDS = 120  # a net for a browser that hangs, not a measure


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of opening a page.

    Attributes:
        dom: the page as the browser has it.
        console: the lines on its console: errors, warnings, and refusals of the content security policy.
        requests: the addresses that the page asked for, itself aside.
    """

    dom: str
    console: tuple[str, ...]
    requests: tuple[str, ...]


def visit(page: str, workspace: Path, *, width: int = 1100, dark: bool = False) -> Visit:
    """Open a page that a server on this machine hands out.

    Args:
        workspace: an existing directory, for the browser's profile and log.
        width: of the window, in pixels.
    """
    log = workspace / "net.json"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _serving(page.encode()))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        options = [f"--user-data-dir={workspace / 'profile'}", f"--log-net-log={log}", f"--window-size={width},2000"]
        if dark:
            options.append("--blink-settings=preferredColorScheme=0")
        ran = subprocess.run(
            [browser(), *_FLAGS, *options, "--dump-dom", f"{address}/report.html"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    console = tuple(line.partition("CONSOLE")[2] for line in ran.stderr.splitlines() if "CONSOLE" in line)
    return Visit(ran.stdout, console, _asked_for(json.loads(log.read_text()), address))


def browser() -> str:
    """Where Chromium is."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    assert found, f"none of {', '.join(_NAMES)} is installed: apt-get install chromium"
    return found


def _asked_for(net_log: Any, origin: str) -> tuple[str, ...]:
    """The addresses that a page of `origin` asked for; the browser's own requests come from no origin."""
    starts = (event.get("params", {}) for event in net_log["events"])
    return tuple(dict.fromkeys(start["url"] for start in starts if start.get("initiator") == origin))


def _serving(page: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/report.html"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page if found else b"")

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Handler
