"""The files of one model in several precisions in, the one that is fastest on this machine out: measured once, then remembered.

int8 is faster than fp32 on most CPUs, and slower on some; which one this is cannot be told from its name.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.cache import cache_folder
from wavlm_diarizer.errors import ModelFormatError, OutputError
from wavlm_diarizer.machine import cpu, usable_cores
from wavlm_diarizer.writing import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WINDOW = 80_000
"""Five seconds at 16 kHz: long enough for the products to weigh what they do in longer windows, short enough to be measured in passing."""
RUNS = 3
"""Of each precision, in turns; the fastest counts, because whatever else the machine does can only make a run slower."""


def faster(files: Mapping[str, Path], *, threads: int | None = None, low_memory: bool = False) -> str:
    """The precision, a key of ``files``, whose file answers soonest here.

    The answer is kept in the user's cache, by the files, the CPU, the threads and onnxruntime's version, so that it is measured once and
    does not change from run to run. A cache that cannot be read or written is done without.
    """
    key = _key(files, threads or usable_cores(), low_memory=low_memory)
    path = cache_folder() / f"precision-{key}.json"
    if (known := _remembered(path)) in files:
        return known
    seconds = measured(files, threads=threads, low_memory=low_memory)
    chosen = min(seconds, key=seconds.__getitem__)
    content = {"precision": chosen, "seconds": seconds, "files": {name: str(file) for name, file in files.items()}, "cpu": asdict(cpu())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(content, indent=2).encode())
    except (OSError, OutputError):
        pass  # it will be measured again next time
    return chosen


def measured(files: Mapping[str, Path], *, threads: int | None = None, low_memory: bool = False) -> dict[str, float]:
    """Seconds of the fastest of :data:`RUNS` runs of each file on a window of noise. Raises :class:`ModelFormatError`."""
    from wavlm_diarizer.model_file import INPUT, OUTPUT, check_interface
    from wavlm_diarizer.sessions import open_session

    sessions = {name: open_session(file, threads=threads, low_memory=low_memory) for name, file in files.items()}
    for name, session in sessions.items():
        check_interface(session, str(files[name]))
    window = (0.1 * np.random.default_rng(0).standard_normal((1, WINDOW))).astype(np.float32)
    seconds = dict.fromkeys(files, float("inf"))
    for run in range(RUNS + 1):
        for name, session in sessions.items():
            began = time.perf_counter()
            try:
                session.run([OUTPUT], {INPUT: window})
            except Exception as error:  # onnxruntime's exceptions have no common base but this
                raise ModelFormatError(f"{files[name]} failed on five seconds of noise: {' '.join(str(error).split())[:300]}") from error
            if run:  # the first finds its memory
                seconds[name] = min(seconds[name], time.perf_counter() - began)
    return seconds


def _key(files: Mapping[str, Path], threads: int, *, low_memory: bool) -> str:
    """A digest of all that the answer depends on; files by place, size and time of change, because reading them takes longer."""
    from wavlm_diarizer.sessions import load_onnxruntime

    found: list[Any] = [load_onnxruntime().__version__, platform.processor() or platform.machine(), asdict(cpu()), threads, low_memory]
    for name, file in sorted(files.items()):
        status = file.stat()
        found.append([name, str(file.resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _remembered(path: Path) -> str:
    """The precision that was chosen before, empty if there is none to be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("precision", "")) if isinstance(content, dict) else ""
