"""A model and a recording in, how fast and how large each way of running it is on this machine out.

Every variant runs in processes of its own, in turns, so that neither memory nor a machine that gets slower meanwhile tilts the comparison.
``python -m wavlm_diarizer.benchmark`` is one such process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer import model_file
from wavlm_diarizer.agreement import CERTAIN, Limits
from wavlm_diarizer.errors import DiarizerError, ModelNotFoundError
from wavlm_diarizer.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROUNDS = 3
GAP_SECONDS = 0.2
"""Between two processes, so that one does not run on a core that the last one keeps warm or busy."""
LABELS_EQUAL = Limits().labels_equal
"""A variant that gives other labels than fp32 in more of the certain frames than this leaves is never recommended."""
STATUS = Path("/proc/self/status")
TIE = 1.05
"""Differences in time below this factor are ties, which the smaller memory decides."""


@dataclass(frozen=True)
class Variant:
    """One way to run a model."""

    precision: str
    model: str
    threads: int
    low_memory: bool

    @property
    def name(self) -> str:
        """How it is called in the table."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.precision}, {threads}" + (", low memory" if self.low_memory else "")


@dataclass
class Measured:
    """What was measured of a variant."""

    variant: Variant
    file_bytes: int
    load_seconds: list[float] = field(default_factory=list)
    first_seconds: list[float] = field(default_factory=list)
    """From the start of Python's work to the first window's answer, the load included."""
    seconds_per_second: list[float] = field(default_factory=list)
    """Seconds of work per second of audio, in each round."""
    peak_bytes: int | None = None
    labels_equal: float | None = None
    """Share of frames with the labels of fp32, ``None`` without an fp32 file to compare with. Frames whose fp32 probability is nearly 0.5
    are not counted, as in an export's guard."""
    probability_difference: float | None = None
    """Mean absolute difference from the probabilities of fp32."""

    @property
    def speed(self) -> float:
        """The median of :attr:`seconds_per_second`."""
        return statistics.median(self.seconds_per_second)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"name": self.variant.name, **asdict(self), "median_seconds_per_second": self.speed}


def variants(model: str | os.PathLike[str] | None) -> list[Variant]:
    """The variants worth comparing: every precision that the model comes in, on all cores and on one, and with less memory."""
    files = {}
    for precision in ("fp32", "int8"):
        try:
            file = model_file.find(model, precision=precision)
        except ModelNotFoundError:
            continue
        files[str(file.path)] = precision
    cores = usable_cores()
    found = []
    for path, precision in files.items():
        named = precision if len(files) > 1 else "the file"
        found.append(Variant(named, path, cores, low_memory=False))
        if cores > 1:
            found.append(Variant(named, path, 1, low_memory=False))
        found.append(Variant(named, path, cores, low_memory=True))
    return found


def compare(
    chosen: list[Variant], audio: str | os.PathLike[str], *, rounds: int = ROUNDS, progress: Callable[[str], None] = lambda _: None
) -> list[Measured]:
    """Measure the variants on a recording, in turns. Raises :class:`DiarizerError` if one of them fails."""
    results = [Measured(variant, Path(variant.model).stat().st_size) for variant in chosen]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for index, result in enumerate(results):
                progress(f"round {number + 1} of {rounds}: {result.variant.name}")
                one = _measure_in_a_process(result.variant, audio, Path(folder) / f"{index}.npy")
                result.load_seconds.append(one["load_seconds"])
                result.first_seconds.append(one["first_seconds"])
                result.seconds_per_second.append(one["seconds_per_second"])
                if one["peak_bytes"] is not None:
                    result.peak_bytes = max(result.peak_bytes or 0, one["peak_bytes"])
                time.sleep(GAP_SECONDS)
        answers: list[NDArray[np.float32]] = [np.load(Path(folder) / f"{index}.npy") for index in range(len(results))]
    reference = next((answer for result, answer in zip(results, answers, strict=True) if result.variant.precision == "fp32"), None)
    if reference is not None and len(reference):
        for result, answer in zip(results, answers, strict=True):
            certain = np.abs(np.subtract(reference, 0.5)) > CERTAIN
            same = (answer > 0.5) == (reference > 0.5)
            result.labels_equal = float(np.mean(same[certain])) if certain.any() else 1.0
            result.probability_difference = float(np.mean(np.abs(np.subtract(answer, reference))))
    return results


def recommended(results: list[Measured]) -> Measured:
    """The fastest variant that gives fp32's labels; among ties the one with the least memory."""
    right = [result for result in results if result.labels_equal is None or result.labels_equal >= LABELS_EQUAL]
    fastest = min(result.speed for result in right)
    ties = [result for result in right if result.speed <= fastest * TIE]
    return min(ties, key=lambda result: (result.peak_bytes or 0, result.speed))


def _measure_in_a_process(variant: Variant, audio: str | os.PathLike[str], answer: Path) -> dict[str, Any]:
    """Run one variant once, in a new process."""
    request = json.dumps({**asdict(variant), "audio": os.fspath(audio), "answer": str(answer)})
    done = subprocess.run([sys.executable, "-m", "wavlm_diarizer.benchmark"], input=request, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise DiarizerError(f"{variant.name} failed: {reason[0]}")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def _peak_bytes() -> int | None:
    """The most memory that this process has held, ``None`` where the system does not tell (Windows).

    Linux's ``VmHWM`` counts this program alone; ``ru_maxrss`` begins with what held the process that started it.
    """
    if STATUS.exists():
        for line in STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _main() -> int:
    """One measurement: the request comes on standard input, the answer goes to standard output."""
    began = time.perf_counter()
    request = json.loads(sys.stdin.read())
    from wavlm_diarizer.diarizer import Diarizer

    diarizer = Diarizer(request["model"], threads=request["threads"], low_memory=request["low_memory"])
    loaded = time.perf_counter()
    window = diarizer.settings.windows.window
    diarizer.logits(0.1 * np.random.default_rng(0).standard_normal(window))
    first = time.perf_counter()
    try:
        activity = diarizer.activity(request["audio"])
    except DiarizerError as error:
        print(error, file=sys.stderr)  # noqa: T201 - read by the process that started this one
        return 1
    done = time.perf_counter()
    np.save(request["answer"], activity.channels[0].probabilities)
    seconds = max(diarizer.time_base.seconds(activity.samples), 1e-9)
    report = {
        "load_seconds": loaded - began,
        "first_seconds": first - began,
        "seconds_per_second": (done - first) / seconds,
        "peak_bytes": _peak_bytes(),
    }
    sys.stdout.write(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
