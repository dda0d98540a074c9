"""What it saves, and what it costs, not to ask the model about windows in which nobody can speak.

    python benchmarks/pauses.py DATA [--model MODEL] [--window SECONDS --overlap SECONDS]

The recordings of DATA/real and DATA/mix are put one after the other, in a shuffled order that is always the same, with pauses in between
that make up a share of the whole. A pause is steady noise of the spectrum and the level of the quietest half second of one of the real
recordings. The same recording is diarized with the gate and without it, in turns; each answer is scored piece by piece, the pauses with
the piece before them. Beside it: no pauses at all, where the gate can only cost.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from measuring import circumstances, gap, load, machine, spread
from report import RESULTS, keep, table
from wavlm_diarizer import Diarization, Diarizer, Turn
from wavlm_diarizer.scoring import score, total
from wavlm_diarizer.windows import plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RATE = 16_000
SHARE = 0.2
"""Of the recording that is pauses."""
PAUSES = (0.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds of one pause; 0: none."""
FADE = RATE // 20
ROUNDS = 3


def built(data: Path, pieces: int | None, pause_seconds: float) -> tuple[NDArray[np.float32], list[Diarization], list[tuple[float, float]]]:
    """The recording ``[n]``, the reference of each piece in the recording's own time, and where each piece begins and ends."""
    paths = [path for name in ("real", "mix") for path in sorted((data / name).glob("*.flac"))]
    random.Random(0).shuffle(paths)  # noqa: S311 - an order, not a secret
    read = [(path, soundfile.read(path, dtype="float32")[0]) for path in paths]
    noises = [quietest(samples) for path, samples in read if path.parent.name == "real"]
    read = read[:pieces]
    speech = sum(len(samples) for _, samples in read)
    pauses = round(speech * SHARE / (1 - SHARE) / (pause_seconds * RATE)) if pause_seconds else 0
    rng = np.random.default_rng(0)
    parts: list[NDArray[np.float32]] = []
    references, spans = [], []
    position = done = 0
    for index, (path, samples) in enumerate(read):
        start = position
        parts.append(samples)
        position += len(samples)
        # As many pauses as belong into the recording up to here: several at one place follow each other as one.
        for number in range(done, round(pauses * (index + 1) / len(read))):
            parts.append(steady(noises[number % len(noises)], round(pause_seconds * RATE), rng))
            position += len(parts[-1])
            done += 1
        turns = Diarization.load(path.with_suffix(".rttm")).turns
        shift = start / RATE
        references.append(Diarization([Turn(turn.start + shift, turn.end + shift, turn.speaker) for turn in turns], name=path.stem))
        spans.append((start / RATE, position / RATE))
    return np.concatenate(parts), references, spans


def quietest(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The quietest half second of a recording, digital silence aside."""
    size = RATE // 2
    stretches = [samples[start : start + size] for start in range(0, len(samples) - size, size // 2)]
    return min((one for one in stretches if np.abs(one).min(initial=1.0) < np.abs(one).max(initial=0.0)), key=lambda one: float(one.std()))


def steady(example: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of the spectrum and the level of ``example``, as long as wanted, faded at both ends."""
    white = np.fft.rfft(rng.standard_normal(count))
    frames = np.lib.stride_tricks.sliding_window_view(example, 512)[::256] * np.hanning(512)
    shape = np.sqrt((np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(axis=0))
    noise = np.fft.irfft(white * np.interp(np.linspace(0, 1, len(white)), np.linspace(0, 1, len(shape)), shape), count)
    noise *= example.std() / noise.std()
    noise[:FADE] *= np.linspace(0, 1, FADE)
    noise[-FADE:] *= np.linspace(1, 0, FADE)
    return noise.astype(np.float32)


def measured(diarizers: dict[str, Diarizer], data: Path, pieces: int | None, pause_seconds: float, rounds: int) -> dict[str, Any]:
    """One case: seconds, errors and skipped windows with and without the gate."""
    samples, references, spans = built(data, pieces, pause_seconds)
    results: dict[str, Diarization] = {}
    seconds: dict[str, list[float]] = {name: [] for name in diarizers}
    processor: dict[str, list[float]] = {name: [] for name in diarizers}
    for turn in range(rounds + 1):
        # Who begins alternates: the first of two runs may find the processor cooler.
        for name, diarizer in sorted(diarizers.items(), reverse=bool(turn % 2)):
            gap()
            began, computed = time.perf_counter(), time.process_time()
            results[name] = diarizer((samples, RATE))
            if turn:
                seconds[name].append(time.perf_counter() - began)
                processor[name].append(time.process_time() - computed)
    one = next(iter(diarizers.values()))
    errors = {
        name: total(score(reference, result, uem=[span]) for reference, span in zip(references, spans, strict=True)).as_dict()
        for name, result in results.items()
    }
    return {
        "pause_seconds": pause_seconds,
        "seconds": len(samples) / RATE,
        "windows": len(plan(len(samples), one.settings.windows, one.time_base)),
        "skipped": results["gate"].skipped_windows,
        "same_turns": results["gate"].turns == results["all"].turns,
        "speed": spread([every / gated for every, gated in zip(seconds["all"], seconds["gate"], strict=True)]),
        "processor": spread([every / gated for every, gated in zip(processor["all"], processor["gate"], strict=True)]),
        "seconds_all": median(seconds["all"]),
        "errors": errors,
    }


def markdown(content: dict[str, Any]) -> str:
    """The report for people."""
    rows = []
    for row in content["rows"]:
        pauses = f"{100 * SHARE:.0f} %, of {row['pause_seconds']:g} s" if row["pause_seconds"] else "none"
        errors = [f"{100 * row['errors'][name]['der']:.2f} %" for name in ("all", "gate")]
        skipped = f"{row['skipped']} of {row['windows']}"
        speed = f"{row['speed']['median']:.2f} ({row['speed']['least']:.2f} to {row['speed']['most']:.2f})"
        processor = f"{row['processor']['median']:.2f}"
        rows.append((pauses, f"{row['seconds']:.0f}", skipped, speed, processor, *errors, "yes" if row["same_turns"] else "no"))
    head = (
        "pauses",
        "recording, s",
        "windows skipped",
        "x faster",
        "x less processor time",
        "DER, every window",
        "DER, gate",
        "same turns",
    )
    return circumstances(content) + "\n" + table(head, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with real/ and mix/")
    parser.add_argument("--model", help="default: the built-in one")
    parser.add_argument("--window", type=float, metavar="SECONDS", help="default: what the model file says")
    parser.add_argument("--overlap", type=float, metavar="SECONDS", help="default: what the model file says")
    parser.add_argument("--pieces", type=int, metavar="N", help="only so many of the recordings")
    parser.add_argument("--pauses", type=float, nargs="+", default=PAUSES, metavar="SECONDS", help="lengths of a pause; 0: none")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"for the times (default: {ROUNDS})")
    parser.add_argument("--note", default="Nothing else ran on purpose.", help="what else the machine did meanwhile")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    lengths = {"window_seconds": options.window, "overlap_seconds": options.overlap, "single_pass_seconds": options.window}
    diarizers = {name: Diarizer(options.model, skip_silence=name == "gate", **lengths) for name in ("all", "gate")}
    before = load()
    rows = [measured(diarizers, options.data, options.pieces, seconds, options.rounds) for seconds in options.pauses]
    command = " ".join(["python benchmarks/pauses.py DATA", *(["--model MODEL"] if options.model else []), f"--rounds {options.rounds}"])
    for name in ("window", "overlap", "pieces"):
        if (value := getattr(options, name)) is not None:
            command += f" --{name} {value:g}"
    if tuple(options.pauses) != PAUSES:
        command += " --pauses " + " ".join(f"{seconds:g}" for seconds in options.pauses)
    content = {
        "command": command,
        "machine": machine(),
        "load_before": before,
        "note": options.note,
        "rows": rows,
    }
    keep("pauses", content, markdown(content), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
