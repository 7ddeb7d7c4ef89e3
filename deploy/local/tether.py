"""Runs a module as a process that ends with the one that started it.

`python -m deploy.local.tether MODULE [ARGUMENT ...]`: standard input is the tether. The parent keeps its other end
open; when the parent dies, even by SIGKILL, the pipe closes and this process asks itself to stop. Without it, a
killed `scribefleet local` would leave an emulator and workers behind.
"""

import os
import runpy
import signal
import sys
import threading


def _watch() -> None:
    # The descriptor, not sys.stdin: its lock, held by a thread that waits, would block the interpreter's end.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Tether this process, then run the module named on the command line as `__main__`."""
    threading.Thread(target=_watch, name="tether", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
