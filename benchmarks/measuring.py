"""How the benchmarks measure: programs of their own, taken in turns with a gap, and the machine told by what it can do.

Two things that are compared are always run alternately in one run, so that what the machine does meanwhile hits both alike.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GAP_SECONDS = 0.2
"""Between two measurements: threads that wait busily for more work have given up by then."""
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm")
"""CPU features that decide how fast matrix products are."""

LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
program = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
first = program.stdout.readline()
first_seconds = time.perf_counter() - start
program.stdout.read()
code = program.wait()
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "first_line_seconds": first_seconds if first else None, "peak_bytes": peak, "code": code}))
"""
"""Runs a program from a process that holds nothing, for a program's peak memory begins with what its parent held."""


@dataclass(frozen=True)
class Run:
    """One run of a program."""

    seconds: float
    """From its start to its end."""
    first_line_seconds: float | None
    """From its start to its first line of output; None if it printed nothing."""
    peak_bytes: int
    """The most memory it held at once (resident set)."""


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> Run:
    """Run a program and measure it. Raises :class:`RuntimeError` if it fails."""
    words = [str(word) for word in command]
    launched = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *words], text=True, stdout=subprocess.PIPE, env=environment, check=True
    )
    answer = json.loads(launched.stdout)
    if answer.pop("code"):
        raise RuntimeError(f"{' '.join(words)} failed")
    return Run(**answer)


def gap() -> None:
    """Wait until the last measurement has no effect on the next one."""
    time.sleep(GAP_SECONDS)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The median, the least and the most of repeated measurements, and how many there were."""
    return {"median": median(values), "least": min(values), "most": max(values), "count": len(values)}


def machine() -> dict[str, Any]:
    """What matters of this machine: its cores and what its CPU can do, not whose it is."""
    from wavlm_diarizer.machine import CPU_INFO, usable_cores

    facts: dict[str, str] = {}
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    flags = set((facts.get("flags") or facts.get("Features", "")).split())
    model = ", ".join(f"{name} {facts[name]}" for name in ("cpu family", "model") if name in facts)
    return {
        "cores": usable_cores(),
        "cpu": facts.get("model name", "unknown CPU") + (f" ({model})" if model else ""),
        "architecture": platform.machine(),
        "cpu_features": [flag for flag in FLAGS if flag in flags],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def load() -> float | None:
    """How many programs want to run, averaged over a minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def circumstances(content: dict[str, Any]) -> str:
    """The first sentence of a report: its command, the machine, and what else it was doing."""
    facts = content["machine"]
    features = ", ".join(facts["cpu_features"]) or "no feature that is known here"
    cores = f"{facts['cores']} cores of {facts['cpu']} ({facts['architecture']}: {features})"
    return (
        f"`{content['command']}`, on {cores}, {facts['memory_gib']} GiB of memory, {facts['system']}, Python {facts['python']}; "
        f"load average before it {content['load_before']}. {content['note']}\n"
    )
