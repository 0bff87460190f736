"""What processes of this machine take: memory and CPU time of one, and of all its descendants, as Linux tells."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One process.

    Attributes:
        pid: its number.
        title: its command line; Ray's workers say there what they are.
        rss_mib: resident memory, shared pages included.
        own_mib: resident memory of its own: heap, no file and no shared page.
        cpu_s: CPU time so far.
    """

    pid: int
    title: str
    rss_mib: float
    own_mib: float
    cpu_s: float


def usage(pid: int) -> Usage | None:
    """Look at a process; None where it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    if "VmRSS" not in status:  # it has ended, and waits for its parent
        return None
    rss, own = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    return Usage(pid, title, rss, own, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S)


def descendants(pid: int) -> list[Usage]:
    """Look at all processes below one."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], list(parents.get(pid, []))
    while waiting:
        child = waiting.pop()
        waiting += parents.get(child, [])
        found.append(usage(child))
    return [it for it in found if it is not None]


def resident_memory_mib() -> float:
    """Resident memory of this process."""
    found = usage(os.getpid())
    return 0.0 if found is None else found.rss_mib


def forget_peak() -> None:
    """Have the kernel begin anew with the peak of this process, at what it has now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib() -> float:
    """Most resident memory this process had since :func:`forget_peak`, or ever."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
