"""Run a command until stdin closes, then end its whole process group and remove its folder.

A test session that is killed cannot clean up after itself, but the kernel closes its pipes. So
each server runs under this script, which notices and leaves no orphan behind. It is run by itself,
without site-packages, and takes one argument: JSON with `command`, `credentials` (keywords of
Popen), `stop_signal`, `grace` (seconds), `folder` and `inherit` (numbers of open files).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any


def supervise(spec: dict[str, Any]) -> int:
    """Run the command and return its exit code, negative for a signal."""
    child = subprocess.Popen(
        spec["command"],
        cwd=spec["folder"],
        stdin=subprocess.DEVNULL,
        process_group=0,
        pass_fds=spec["inherit"],
        **spec["credentials"],
    )
    threading.Thread(target=_stop_at_end_of_input, args=(child, spec), daemon=True).start()
    code = child.wait()
    # What the child itself started must not outlive it.
    _signal_group(child, signal.SIGKILL)
    return code


def _stop_at_end_of_input(child: subprocess.Popen[bytes], spec: dict[str, Any]) -> None:
    # Not by sys.stdin: its lock, held here, would be in the way of the interpreter's end.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    # Set before the child can end: the main thread returns as soon as it does.
    spec["stopping"] = True
    _signal_group(child, spec["stop_signal"])
    try:
        child.wait(spec["grace"])
    except subprocess.TimeoutExpired:
        _signal_group(child, signal.SIGKILL)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    # The session that started us decides when to stop, also when it was interrupted itself.
    # A handler, where SIG_IGN would be handed down to the server.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    given = json.loads(sys.argv[1])
    exit_code = supervise(given)
    # After a crash the folder stays for its log to be read; the starter removes it.
    if given.get("stopping"):
        shutil.rmtree(given["folder"], ignore_errors=True)
    sys.exit(exit_code if exit_code >= 0 else 128 - exit_code)
