"""One very long recording: flat memory, as good as its parts, exact times at its end, and nothing left behind by Ctrl-C.

    python benchmarks/long.py WORK --voices DATA/single

simulates a meeting of 10 hours and 6 unseen voices in WORK (streamed; left alone if it is there), each of whom says nothing for an hour,
diarizes it in a process of its own, and scores the whole and 10-minute excerpts of it, diarized apart, against the exact turns.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from measuring import circumstances, load, machine
from programs import CONTENDERS
from report import RESULTS, keep, megabytes, table
from simulation import clips, scene
from simulation.simulate import chosen
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.machine import usable_cores
from wavlm_diarizer.scoring import Score, score, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SEED = (1, 6)
INTERRUPTED_AFTER = 5.0
"""Seconds of work after which Ctrl-C is tried."""
STEP = 0.01
"""Seconds of the grid on which delays are found."""
COARSE = 0.1
"""Seconds of the grid on which people and names are compared."""
FARTHEST = 0.5
"""The longest delay in seconds that is looked for."""


def make(work: Path, voices: Path, only: Sequence[str], hours: float, speakers: int) -> Path:
    """The recording, simulated unless it is there."""
    name = f"meeting{speakers}_{hours:g}h"
    path = work / f"{name}.flac"
    # The turns are written last.
    if not path.with_suffix(".rttm").exists():
        folders = clips.folders(voices)
        made = scene.Scene(speakers, hours * 3600, away=True)
        scene.write(work, name, made, folders, chosen(list(folders), list(only)), SEED, clips.read)
    return path


def diarize(command: Sequence[str]) -> dict[str, Any]:
    """Run ``contenders/run_long.py`` and look at its memory: ``memory`` holds pairs of seconds of the recording done and bytes."""
    found: dict[str, Any] = {"memory": [], "excerpts": []}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        latest = 0.0
        for line in process.stdout or ():
            said = json.loads(line)
            if "done" in said:
                # Looking after every window would be measuring itself.
                if said["done"] >= latest + 60:
                    latest = said["done"]
                    found["memory"].append((latest, resident(process.pid)))
            elif "excerpt" in said:
                found["excerpts"].append(said)
            else:
                found |= said
                found["peak_bytes"] = resident(process.pid, "VmHWM")
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed; run it alone to see why")
    return found


def resident(pid: int, which: str = "VmRSS") -> int:
    """Bytes of memory that a process holds now, or (``VmHWM``) held at most. Linux."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024
    return 0


def interrupted(recording: Path, out: Path, model: Sequence[str] = (), after: float = INTERRUPTED_AFTER) -> dict[str, Any]:
    """Start the command on the recording, press Ctrl-C after a while; its exit code and the files that it left."""
    out.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "wavlm_diarizer", "diarize", str(recording), "-o", str(out / "long.rttm"), *model]
    # A shell's background job ignores Ctrl-C, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    early = process.poll() is not None
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=60)
    return {"after_seconds": after, "had_ended": early, "exit_code": code, "left": sorted(path.name for path in out.iterdir())}


def crop(whole: Diarization, start: float, seconds: float) -> Diarization:
    """A part of a result with times from the part's beginning."""
    turns = (
        Turn(max(turn.start - start, 0.0), min(turn.end - start, seconds), turn.speaker)
        for turn in whole.turns
        if turn.start < start + seconds and turn.end > start
    )
    return Diarization(turns, duration=seconds, name=whole.name)


def delay(reference: Diarization, result: Diarization, seconds: float) -> float:
    """By how many seconds the result's speech lies after the reference's: the shift at which they agree best, on a grid of 10 ms."""
    truth, found = (on_grid(side, seconds) for side in (reference, result))
    most = round(FARTHEST / STEP)
    inner = slice(most, len(truth) - most)
    agreement = {shift: float(np.mean(truth[inner] == np.roll(found, -shift)[inner])) for shift in range(-most, most + 1)}
    # Of equals the least.
    return STEP * max(agreement, key=lambda shift: (agreement[shift], -abs(shift)))


def on_grid(side: Diarization, seconds: float) -> NDArray[np.bool_]:
    """Whether anybody speaks, every 10 ms."""
    speech = np.zeros(round(seconds / STEP), dtype=bool)
    for turn in side.turns:
        speech[round(turn.start / STEP) : round(turn.end / STEP)] = True
    return speech


def found_again(part: Diarization, whole: Diarization, start: float, seconds: float, margin: float) -> dict[str, float]:
    """The boundaries of an excerpt's result, and how far the nearest of the whole's lies; those near the excerpt's edges are left out."""
    near = [edge - start for turn in whole.turns for edge in (turn.start, turn.end)]
    edges = sorted(edge for turn in part.turns for edge in (turn.start, turn.end) if margin < edge < seconds - margin)
    if not edges or not near:
        return {"boundaries": 0, "within_a_frame": 0.0}
    off = [min(abs(edge - other) for other in near) for edge in edges]
    return {"boundaries": len(off), "within_a_frame": sum(one <= whole.time_base.frame_step + 1e-6 for one in off) / len(off)}


@dataclass(frozen=True)
class Silence:
    """The longest silence of somebody, and what the result calls this person before and after it."""

    speaker: str
    seconds: float
    before: str
    after: str


def silences(reference: Diarization, result: Diarization) -> list[Silence]:
    """For each person the longest silence between two turns, and the result's speakers who share most with what is before and after."""
    steps = math.ceil(max(reference.duration, result.duration) / COARSE)
    truth, found = (_speakers_on_grid(side, steps) for side in (reference, result))
    silent = []
    for index, speaker in enumerate(reference.speakers):
        turns = sorted((turn.start, turn.end) for turn in reference.turns if turn.speaker == speaker)
        gaps = [(after[0] - before[1], before[1], after[0]) for before, after in pairwise(turns)]
        if gaps and found.size:
            seconds, start, end = max(gaps)
            shared = [found[:, part] @ truth[index, part] for part in (slice(int(start / COARSE) + 1), slice(int(end / COARSE), None))]
            silent.append(Silence(speaker, seconds, *(result.speakers[int(np.argmax(one))] for one in shared)))
    return silent


def _speakers_on_grid(side: Diarization, steps: int) -> NDArray[np.float32]:
    """``[speakers, steps]``, 1 where somebody speaks."""
    speech = np.zeros((len(side.speakers), steps), dtype=np.float32)
    for turn in side.turns:
        speech[side.speakers.index(turn.speaker), round(turn.start / COARSE) : round(turn.end / COARSE)] = 1
    return speech


def judged(recording: Path, out: Path, found: dict[str, Any], margin: float) -> dict[str, Any]:
    """The scores of the whole and of the excerpts, and how exact times are at the beginning and at the end."""
    reference = Diarization.load(recording.with_suffix(".rttm"))
    whole = Diarization.load(out / "long.rttm")
    scores: list[Score] = []
    within: list[Score] = []
    delays = []
    again: dict[str, float] = {}
    for said in found["excerpts"]:
        start, seconds = said["start"], said["duration"]
        part = Diarization.load(out / f"excerpt_{said['excerpt']}.rttm")
        truth = crop(reference, start, seconds)
        scores.append(score(truth, part, uem=[(0.0, seconds)]))
        within.append(score(truth, crop(whole, start, seconds), uem=[(0.0, seconds)]))
        delays.append(delay(truth, crop(whole, start, seconds), seconds))
        again = found_again(part, whole, start, seconds, margin)
    return {
        "whole": score(reference, whole, uem=[(0.0, found["duration"])]).as_dict(),
        "excerpts": [one.as_dict() for one in scores],
        "excerpts_total": total(scores).as_dict(),
        "whole_within_excerpts": total(within).as_dict(),
        "delays_seconds": delays,
        "last_excerpt_found_again": again,
        "silences": [asdict(one) for one in silences(reference, whole)],
    }


def markdown(content: dict[str, Any]) -> str:
    """The report for people."""
    run, judged_, stopped = content["run"], content["judged"], content["interrupted"]
    whole, parts, within = judged_["whole"], judged_["excerpts_total"], judged_["whole_within_excerpts"]
    seconds, hours = run["windows_seconds"] + run["after_seconds"], run["duration"] / 3600
    excerpts = judged_["excerpts"]
    again, silent = judged_["last_excerpt_found_again"], judged_["silences"]
    lengths, kept = [one["seconds"] / 60 for one in silent], sum(one["before"] == one["after"] for one in silent)
    rows: list[tuple[str, str]] = [
        (
            "recording",
            f"{hours:.2f} hours, {whole['speakers']} voices, {whole['speech_seconds'] / 3600:.2f} hours of speech",
        ),
        ("time", f"{seconds:.0f} s, {seconds / run['duration']:.4f} s per second of audio, {content['threads']} threads"),
        (
            "of it after the last window (who is who, decoding)",
            f"{run['after_seconds']:.2f} s, {100 * run['after_seconds'] / seconds:.1f} %",
        ),
        ("memory over time, MB", ", ".join(f"{megabytes(size)} ({at / 60:.0f} min)" for at, size in sampled(run["memory"]))),
        ("peak memory, MB", megabytes(run["peak_bytes"])),
        ("DER of the whole, no collar, overlap scored", _der(whole) + f"; speakers {whole['speakers']} -> {whole['found_speakers']}"),
        (
            f"DER of {len(excerpts)} excerpts of {run['excerpts'][0]['duration'] / 60:.0f} minutes, each diarized apart",
            _der(parts) + "; speakers " + ", ".join(f"{one['speakers']} -> {one['found_speakers']}" for one in excerpts),
        ),
        ("DER of the whole's result within these excerpts, names matched in each", _der(within)),
        (
            "name kept over the longest silence",
            f"{kept} of {len(silent)} people ({min(lengths, default=0):.0f} to {max(lengths, default=0):.0f} minutes of silence)",
        ),
        (
            "delay of the speech against the exact turns, excerpt by excerpt",
            ", ".join(f"{1000 * one:.0f} ms" for one in judged_["delays_seconds"]),
        ),
        (
            "boundaries of the last excerpt's own result that the whole's has within a frame (20 ms)",
            f"{100 * again['within_a_frame']:.1f} % of {again['boundaries']}",
        ),
        (
            f"Ctrl-C after {stopped['after_seconds']:g} s",
            f"exit code {stopped['exit_code']}, files left: {', '.join(stopped['left']) or 'none'}",
        ),
    ]
    return circumstances(content) + "\n" + table(("", ""), rows)


def sampled(memory: Sequence[tuple[float, int]], count: int = 6) -> list[tuple[float, int]]:
    """Some of the looks at the memory, evenly spaced, first and last included."""
    places = np.unique(np.linspace(0, len(memory) - 1, min(count, len(memory))).round().astype(int))
    return [memory[place] for place in places.tolist()]


def _der(rates: dict[str, Any]) -> str:
    parts = " / ".join(f"{100 * rates[key]:.1f}" for key in ("missed", "false_alarm", "confusion"))
    return f"{100 * rates['der']:.1f} % (missed / false alarm / confusion {parts})"


def main(arguments: Iterable[str] | None = None) -> int:
    """Make, diarize, judge, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for the recording (1 GB for 10 hours) and the results")
    parser.add_argument("--voices", type=Path, required=True, metavar="FOLDER", help="one folder of 16 kHz clips for each voice")
    parser.add_argument("--only", nargs="+", default=["unseen"], metavar="NAME", help="as of simulate.py (default: unseen)")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--speakers", type=int, default=6, metavar="N")
    parser.add_argument("--excerpts", type=int, default=6, metavar="N")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of an excerpt (default: 10)")
    parser.add_argument("--model", help="another model file than the built-in one")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="N")
    parser.add_argument("--note", default="Nothing else ran on purpose.", help="what else the machine did meanwhile")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(None if arguments is None else list(arguments))
    recording = make(options.work, options.voices, options.only, options.hours, options.speakers)
    out = options.work / f"{recording.stem}.answers"
    out.mkdir(exist_ok=True)
    before = load()
    words = (options.threads, recording, options.excerpts, 60 * options.minutes, out, *([options.model] if options.model else []))
    found = diarize([sys.executable, str(CONTENDERS / "run_long.py"), *map(str, words)])
    stopped = interrupted(recording, options.work / "interrupted", ["--model", options.model] if options.model else [])
    content = {
        "command": f"python benchmarks/long.py WORK --voices DATA/single --hours {options.hours:g} --speakers {options.speakers}",
        "machine": machine(),
        "load_before": before,
        "note": options.note,
        "threads": options.threads,
        "run": found,
        "memory_median_bytes": median(size for _, size in found["memory"]),
        "judged": judged(recording, out, found, margin=15.0),
        "interrupted": stopped,
    }
    keep("long", content, markdown(content), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
