"""What this machine has: the cores that this process may use and the integer arithmetic of its CPU.

Every probe has a fallback, because each operating system answers another way and containers hide things.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROCESS_CGROUP = Path("/proc/self/cgroup")
CPU_INFO = Path("/proc/cpuinfo")

X86_NAMES = frozenset({"x86_64", "amd64", "i386", "i686", "x86"})
ARM_NAMES = frozenset({"aarch64", "arm64"})


@dataclass(frozen=True)
class Cpu:
    """What matters for int8 arithmetic. ``None``: could not be found out."""

    kind: str
    """``x86`` or ``arm``, else what the system calls it."""
    avx2: bool | None
    avx512: bool | None
    vnni: bool | None
    """AVX-VNNI or AVX512-VNNI: products of unsigned and signed bytes that cannot saturate."""

    @property
    def may_saturate(self) -> bool:
        """Whether u8 x s8 products may overflow 16 bits: x86 that is not known to have VNNI."""
        return self.kind == "x86" and self.vnni is not True


def usable_cores() -> int:
    """Cores that this process may use: by its CPU affinity and by the cgroup's quota, whichever is less; at least 1."""
    quota = cgroup_quota()
    cores = affinity_cores()
    # A quota of 1.5 cores runs two threads half throttled: rounding down is never slower by more than it saves.
    return max(1, cores if quota is None else min(cores, int(quota)))


def affinity_cores() -> int:
    """Cores of this process's CPU affinity; where the system has none (macOS, Windows), all cores."""
    if hasattr(os, "sched_getaffinity"):
        try:
            return max(1, len(os.sched_getaffinity(0)))
        except OSError:
            return os.cpu_count() or 1
    return os.cpu_count() or 1


def cgroup_quota(root: Path = CGROUP_ROOT, process: Path = PROCESS_CGROUP) -> float | None:
    """Cores that the cgroup (version 2 or 1) of this process grants, ``None`` without a limit or without cgroups.

    A parent's limit holds for its children too, so every level from the process's own group up to the root is read.
    """
    limits = [limit for folder in _cgroup_folders(root, process) if (limit := _quota_in(folder)) is not None]
    return min(limits) if limits else None


def _cgroup_folders(root: Path, process: Path) -> list[Path]:
    """The folders of this process's CPU controller, from its own up to the root's."""
    try:
        lines = process.read_text().splitlines()
    except OSError:
        lines = []
    folders = []
    for line in [*lines, "0::/"]:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        base = root if not controllers else root / controllers if "cpu" in controllers.split(",") else None
        if base is None:
            continue
        group = Path(path.lstrip("/"))
        candidates = [base / group, *(base / parent for parent in group.parents)]
        if controllers:
            candidates += [root / "cpu" / group, root / "cpu"]
        folders += [folder for folder in candidates if folder not in folders]
    return folders


def _quota_in(folder: Path) -> float | None:
    """The quota that one cgroup folder states, in cores."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()[:2]
        elif (folder / "cpu.cfs_quota_us").exists():
            quota, period = (folder / "cpu.cfs_quota_us").read_text().strip(), (folder / "cpu.cfs_period_us").read_text().strip()
        else:
            return None
        return None if quota in {"max", "-1"} or int(period) <= 0 else int(quota) / int(period)
    except (OSError, ValueError):
        return None


@cache
def cpu() -> Cpu:
    """This machine's CPU, looked at once."""
    machine = platform.machine().lower()
    if machine in ARM_NAMES:
        return Cpu("arm", avx2=False, avx512=False, vnni=False)
    if machine not in X86_NAMES:
        return Cpu(machine or "unknown", avx2=None, avx512=None, vnni=None)
    flags = _linux_flags() or _mac_flags()
    if flags:
        return Cpu("x86", avx2="avx2" in flags, avx512="avx512f" in flags, vnni=bool(flags & {"avx_vnni", "avx512_vnni", "avx512vnni"}))
    return _numpy_cpu()


def _linux_flags() -> frozenset[str]:
    """CPU flags by Linux's cpuinfo; empty elsewhere."""
    try:
        with CPU_INFO.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        return frozenset()
    return frozenset()


def _mac_flags() -> frozenset[str]:
    """CPU flags by sysctl on an Intel Mac; empty elsewhere."""
    if sys.platform != "darwin":
        return frozenset()
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(answer.lower().replace("_", "").replace("avx512vnni", "avx512_vnni").split())


def _numpy_cpu() -> Cpu:
    """What NumPy found out for its own kernels: enough on Windows, where no file tells. It does not know AVX-VNNI."""
    import numpy as np

    try:
        config: Any = np.show_config(mode="dicts")
    except TypeError:
        config = None
    simd = config.get("SIMD Extensions", {}) if isinstance(config, dict) else {}
    found = {str(name).upper() for part in ("baseline", "found") for name in simd.get(part, [])}
    if not found:
        return Cpu("x86", avx2=None, avx512=None, vnni=None)
    avx512 = bool(found & {"AVX512F", "AVX512_SKX", "X86_V4", "AVX512_ICL", "AVX512_SPR"})
    vnni = True if found & {"AVX512_ICL", "AVX512_SPR"} else None
    return Cpu("x86", avx2=avx512 or bool(found & {"AVX2", "X86_V3"}), avx512=avx512, vnni=vnni)
