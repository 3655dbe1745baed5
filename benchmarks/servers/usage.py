"""Read from Linux what a process uses."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"


def listener(port: int) -> int:
    """Return the id of the process that listens on a port of 127.0.0.1."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue  # it is gone, or not ours to see
        if target in sockets:
            return int(descriptor.parts[2])
    raise ProcessLookupError(f"nothing listens on port {port}")


def cpu_seconds(pid: int) -> float:
    """Return the processor's time that a process has used, in and outside the kernel.

    That of its threads is in nanoseconds; that of the whole process counts those that have ended,
    and has but hundredths of a second.
    """
    # The name in parentheses may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    threads = sum(
        int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
    return max((int(fields[11]) + int(fields[12])) / _TICKS, threads / 1e9)


def memory(pid: int) -> int:
    """Return the bytes of a process in memory, of shared pages its share."""
    return _read_kilobytes(pid, "smaps_rollup", "Pss:")


def peak_memory(pid: int) -> int:
    """Return the most bytes that a process has had in memory since `forget_peak`."""
    return _read_kilobytes(pid, "status", "VmHWM:")


def forget_peak(pid: int) -> None:
    """Have the peak begin at what there is now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _read_kilobytes(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def _listening(port: int) -> list[str]:
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING and fields[1].endswith(f":{port:04X}"):
            found.append(fields[9])
    return found
