"""Size, start and memory: what the package costs before and while it works.

    python benchmarks/footprint.py DATA [--full-size MODEL] [--only PART ...]

The package is built and installed without extras into a fresh environment, as a user does it, and measured there:

    sizes      of the wheel, of the model file and of the environment
    starts     the time to import it, and from the start of the command to the first turn of a 10 s file, as a ratio to 'python -c
               "import numpy, onnxruntime, soundfile"', which is the least that any such program can take
    memory     the most that the command holds for recordings of 1 minute to 4 hours with the built-in model, and with --low-memory
    full-size  the same with a file of the size of wavlm-base-plus-sd (contenders/make_models.py makes one with random weights)

The long recordings are those of DATA/real and DATA/mix one after the other, read from a file as the command goes on. Programs that are
compared are started in turns; a start is measured when the files it reads are in the system's cache. What was measured is added to
results/footprint.json, so the parts can be run one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from footprint_report import LEAST_IMPORTS, START_SECONDS, draw, duration, markdown
from measuring import gap, load, machine, run, spread
from report import RESULTS, keep, megabytes

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
RATE = 16_000
PARTS = ("sizes", "starts", "memory", "full-size")


def installed(scratch: Path) -> tuple[Path, dict[str, int]]:
    """A fresh environment's python with the built wheel in it, and sizes in bytes."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", scratch, REPOSITORY], check=True)
    (wheel,) = scratch.glob("*.whl")
    folder = scratch / "environment"
    venv.create(folder, with_pip=True)
    before = size(folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    # A user's pip compiles what it installs; a workplace may have turned that off.
    subprocess.run([python, "-m", "pip", "install", "-q", "--compile", wheel], check=True)
    model = next(folder.rglob("wavlm_diarizer/builtin/model.onnx"))
    return python, {"wheel": wheel.stat().st_size, "model": model.stat().st_size, "environment": size(folder), "empty_environment": before}


def size(folder: Path) -> int:
    """Bytes of all files in a folder, links not followed."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def packages(python: Path) -> list[str]:
    """What is installed beside pip."""
    command = [python, "-m", "pip", "list", "--format=freeze"]
    listed = subprocess.run(command, text=True, capture_output=True, check=True).stdout.split()
    return sorted(line for line in listed if not line.startswith(("pip==", "setuptools==", "wheel==")))


def recording(path: Path, sources: Sequence[Path], seconds: int) -> None:
    """Write a recording of exactly that length: the sources in a shuffled order that is always the same, again and again."""
    order = list(sources)
    random.Random(0).shuffle(order)  # noqa: S311 - an order, not a secret
    left = seconds * RATE
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as out:
        for source in cycle(order):
            samples, _ = soundfile.read(source, dtype="int16")
            out.write(samples[:left])
            left -= min(left, len(samples))
            if not left:
                return


def starts(python: Path, short: Path, rounds: int, environment: dict[str, str]) -> dict[str, Any]:
    """Seconds of each program, started in turns, and the ratios of each round."""
    programs: dict[str, list[str | Path]] = {
        "python": [python, "-c", "pass"],
        "least": [python, "-c", LEAST_IMPORTS],
        "import": [python, "-c", "import wavlm_diarizer"],
        "import_diarizer": [python, "-c", "from wavlm_diarizer import Diarizer"],
        "help": [python, "-m", "wavlm_diarizer", "--help"],
        "first_turn": [python, "-m", "wavlm_diarizer", "diarize", "-q", short],
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, command in programs.items():
            gap()
            measured = run(command, environment)
            if name == "first_turn" and measured.first_line_seconds is None:
                raise SystemExit("the short recording has no turn to wait for")
            if turn:  # the first round brings the files into the system's cache
                seconds[name].append(measured.first_line_seconds or measured.seconds if name == "first_turn" else measured.seconds)
    ratios = [mine / least for mine, least in zip(seconds["first_turn"], seconds["least"], strict=True)]
    return {"seconds": {name: spread(values) for name, values in seconds.items()}, "first_turn_to_least": spread(ratios)}


def memory(
    python: Path, scratch: Path, sources: Sequence[Path], lengths: Sequence[int], ways: Sequence[list[str]], environment: dict[str, str]
) -> list[dict[str, Any]]:
    """Peak memory and time of the command for each length, with each of several lists of options."""
    rows = []
    for seconds in lengths:
        path = scratch / f"{seconds}.flac"
        recording(path, sources, seconds)
        for options in ways:
            gap()
            measured = run([python, "-m", "wavlm_diarizer", "diarize", "-q", *options, path, "-o", scratch / "out.rttm"], environment)
            shown = ["MODEL" if option.endswith(".onnx") else option for option in options]
            rows.append({"seconds": seconds, "options": shown, "peak_bytes": measured.peak_bytes, "wall_seconds": measured.seconds})
            print(f"{duration(seconds)} {' '.join(shown)}: {megabytes(measured.peak_bytes)} MB", file=sys.stderr)
        path.unlink()
    return rows


def with_others(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of memory together with those of other lengths and options that are kept."""
    rows = {(one["seconds"], *one["options"]): one for one in (*before, *after)}
    return sorted(rows.values(), key=lambda one: (one["seconds"], one["options"]))


def main(arguments: list[str] | None = None) -> int:
    """Measure and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with real/ and mix/")
    parser.add_argument("--full-size", type=Path, metavar="MODEL", help="an int8 file of the full size, for the part of that name")
    parser.add_argument("--overlap", metavar="SECONDS", help="of windows in the full size, to spend less time on the longest recordings")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 10, 60, 240], metavar="N", help="lengths (default: 1 10 60 240)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="for the starts (default: 15)")
    parser.add_argument("--note", default="Nothing else ran on purpose.", help="what else the machine did meanwhile")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    sources = [path for name in ("real", "mix") for path in sorted((options.data / name).glob("*.flac"))]
    if not sources:
        parser.error(f"{options.data} holds no recordings: run benchmarks/recordings/fetch.py first")
    # As a user has it: no settings of this workplace, such as one that keeps Python from keeping what it compiled.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept = options.output / "footprint.json"
    content = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        python, sizes = installed(scratch)
        short = scratch / "short.wav"
        recording(short, [options.data / "real" / "pyannote_sample.flac"], START_SECONDS)
        lengths = [round(60 * minutes) for minutes in options.minutes]
        for part in (name for name in PARTS if name in options.only):
            if part == "full-size" and options.full_size is None:
                print("footprint.py: --full-size was not given: that part is left out.", file=sys.stderr)
                continue
            before = load()
            if part == "sizes":
                found: dict[str, Any] = {"bytes": sizes, "packages": packages(python)}
            elif part == "starts":
                found = starts(python, short, options.rounds, environment)
            elif part == "memory":
                found = {"recordings": memory(python, scratch, sources, lengths, ([], ["--low-memory"]), environment)}
            else:
                ways = [["-m", str(options.full_size.resolve()), *([] if options.overlap is None else ["--overlap", options.overlap])]]
                found = {"recordings": memory(python, scratch, sources, lengths, ways, environment)}
            if "recordings" in found:
                found["recordings"] = with_others(content.get(part, {}).get("recordings", []), found["recordings"])
            content[part] = {
                "command": f"python benchmarks/footprint.py DATA{' --full-size MODEL' if part == 'full-size' else ''} --only {part}",
                "machine": machine(),
                "load_before": before,
                "note": options.note,
                **found,
            }
            keep("footprint", content, markdown(content), options.output)
    draw(content, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
