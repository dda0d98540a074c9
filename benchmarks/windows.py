"""What windows cost and what they are worth: the built-in model's DER over window lengths and overlaps.

    python benchmarks/windows.py DATA [--model MODEL]

DATA is the folder that recordings/fetch.py filled. The work is told as the seconds that the model computes for each second of the
recordings; nothing is timed here, because seconds of one window length cost the same wherever they lie.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from measuring import circumstances, load, machine
from report import RESULTS, keep, table
from wavlm_diarizer import Diarizer
from wavlm_diarizer.diarization import Diarization
from wavlm_diarizer.scoring import score, total
from wavlm_diarizer.windows import plan

SETS = ("real", "mix")
WINDOWS = ((6.0, (1.0, 2.0, 3.0)), (8.0, (1.0, 2.0, 3.0, 4.0)), (9.0, (1.0, 2.0, 3.0, 4.5)), (10.0, (1.0, 2.0, 3.0, 4.0, 5.0)))
"""Seconds of a window, and the overlaps that are tried with it."""


def main(arguments: list[str] | None = None) -> int:
    """Measure every length and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with real/ and mix/")
    parser.add_argument("--model", help="default: the built-in one")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    paths = {name: sorted((options.data / name).glob("*.flac")) for name in SETS}
    references = {path: Diarization.load(path.with_suffix(".rttm")) for group in paths.values() for path in group}
    rows = []
    for window, overlaps in WINDOWS:
        for overlap in overlaps:
            diarizer = Diarizer(options.model, window_seconds=window, overlap_seconds=overlap, single_pass_seconds=window)
            row: dict[str, Any] = {"window": window, "overlap": overlap}
            computed = heard = 0.0
            for name, group in paths.items():
                results = {path: diarizer(path) for path in group}
                row[name] = total(score(references[path], result) for path, result in results.items()).as_dict()
                computed += sum(_computed(diarizer, result) for result in results.values())
                heard += sum(result.duration for result in results.values())
            row["work"] = computed / heard
            rows.append(row)
            print(_line(row), file=sys.stderr, flush=True)
    content = {
        "command": "python benchmarks/windows.py DATA",
        "machine": machine(),
        "load_before": load(),
        "note": "Nothing is timed.",
        "rows": rows,
    }
    head = ("window, s", "overlap, s", "seconds computed per second", *_heads())
    text = circumstances(content) + "\n" + table(head, [_line(row) for row in rows])
    keep("windows", content, text, options.output)
    return 0


def _computed(diarizer: Diarizer, result: Diarization) -> float:
    """Seconds of audio that the model sees for one recording."""
    time_base = diarizer.time_base
    samples = round(result.duration * time_base.sample_rate)
    return sum(time_base.seconds(stop - start) for start, stop in plan(samples, diarizer.settings.windows, time_base))


def _heads() -> tuple[str, ...]:
    return tuple(f"`{name}/` {what}" for name in SETS for what in ("DER", "missed / false alarm / confusion", "speakers right"))


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    cells = [f"{row['window']:g}", f"{row['overlap']:g}", f"{row['work']:.2f}"]
    for name in SETS:
        one = row[name]
        parts = " / ".join(f"{100 * one[part]:.1f}" for part in ("missed", "false_alarm", "confusion"))
        cells += [f"{100 * one['der']:.1f} %", parts, f"{one['right_counts']} of {one['recordings']}"]
    return tuple(cells)


if __name__ == "__main__":
    sys.exit(main())
