"""Many recordings on one machine: one command for all of them, one for each, or a process for every core.

    python benchmarks/many.py DATA [--model MODEL] [--pieces N]

The recordings of DATA/real and DATA/mix are diarized as a user would do it, from the start of the program to the last file written, in
turns:

    together        one command for all: several recordings at a time where the model is small, each thread on its own window
    one by one      one program, one recording after the other, each with all that the runtime does inside a recording
    processes       as many commands as there are cores, with one thread and a share of the recordings each
    a command each  a command for every recording, one after the other: what the starts cost

Every way's files are compared with those of the first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from measuring import circumstances, gap, load, machine, spread
from report import RESULTS, keep, table
from wavlm_diarizer.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Way = Callable[[Sequence[Path], Path, Sequence[str]], list[list[list[str]]]]

ROUNDS = 3
DIARIZE = [sys.executable, "-m", "wavlm_diarizer", "diarize", "-q", "-f", "rttm"]
LOOP = """
import sys
from pathlib import Path
from wavlm_diarizer import Diarizer
out, model, *paths = sys.argv[1:]
diarizer = Diarizer(model or None)
for path in paths:
    diarizer(path).save(Path(out, Path(path).stem + ".rttm"))
"""


def together(paths: Sequence[Path], out: Path, model: Sequence[str]) -> list[list[list[str]]]:
    """One command."""
    return [[[*DIARIZE, *model, *map(str, paths), "-o", f"{out}/"]]]


def one_by_one(paths: Sequence[Path], out: Path, model: Sequence[str]) -> list[list[list[str]]]:
    """One program that knows nothing of the recordings that follow."""
    return [[[sys.executable, "-c", LOOP, str(out), model[-1] if model else "", *map(str, paths)]]]


def processes(paths: Sequence[Path], out: Path, model: Sequence[str]) -> list[list[list[str]]]:
    """A command for each core, all at the same time."""
    cores = usable_cores()
    shares = [paths[core::cores] for core in range(cores)]
    return [[[*DIARIZE, *model, "--threads", "1", *map(str, share), "-o", f"{out}/"] for share in shares if share]]


def a_command_each(paths: Sequence[Path], out: Path, model: Sequence[str]) -> list[list[list[str]]]:
    """One command after the other."""
    return [[[*DIARIZE, *model, str(path), "-o", f"{out}/"]] for path in paths]


WAYS: dict[str, Way] = {"together": together, "one by one": one_by_one, "processes": processes, "a command each": a_command_each}
"""Each gives groups of commands: those of a group run at the same time, the groups one after the other."""


def seconds_of(groups: Sequence[Sequence[Sequence[str]]]) -> float:
    """Run the groups; the seconds from the first start to the last end. Raises :class:`RuntimeError` if a command fails."""
    began = time.perf_counter()
    for group in groups:
        started = [subprocess.Popen(command) for command in group]
        codes = [program.wait() for program in started]
        if any(codes):
            raise RuntimeError(f"{' '.join(group[0][:6])} ... failed")
    return time.perf_counter() - began


def written(folder: Path) -> dict[str, str]:
    """The text of every result in a folder."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.rttm"))}


def measured(paths: Sequence[Path], model: Sequence[str], rounds: int, scratch: Path) -> dict[str, Any]:
    """Seconds of every way in turns, and whether its results are those of the first."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    results: dict[str, dict[str, str]] = {}
    for turn in range(rounds + 1):
        for name, way in WAYS.items():
            out = scratch / name.replace(" ", "-")
            out.mkdir(exist_ok=True)
            gap()
            took = seconds_of(way(paths, out, model))
            if turn:  # the first round brings the files into the system's cache
                seconds[name].append(took)
            results[name] = written(out)
    first, *_ = WAYS
    return {
        name: {
            "seconds": spread(values),
            "as_long_as_together": spread([one / other for one, other in zip(values, seconds[first], strict=True)]),
            "files": len(results[name]),
            "same": results[name] == results[first],
        }
        for name, values in seconds.items()
    }


def markdown(content: dict[str, Any]) -> str:
    """The report for people."""
    rows = []
    for name, row in content["ways"].items():
        ratio = row["as_long_as_together"]
        rows.append(
            (
                name,
                f"{row['seconds']['median']:.1f}",
                f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})",
                "yes" if row["same"] else "no",
            )
        )
    audio = f"{content['recordings']} recordings, {content['seconds'] / 60:.1f} minutes in all, {content['rounds']} rounds in turns.\n\n"
    return circumstances(content) + "\n" + audio + table(("way", "seconds", "x as long as together", "same turns"), rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every way and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with real/ and mix/")
    parser.add_argument("--model", help="default: the built-in one")
    parser.add_argument("--pieces", type=int, metavar="N", help="only so many of the recordings")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--note", default="Nothing else ran on purpose.", help="what else the machine did meanwhile")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    paths = [path for name in ("real", "mix") for path in sorted((options.data / name).glob("*.flac"))][: options.pieces]
    if not paths:
        parser.error(f"there is no FLAC file in {options.data}/real or {options.data}/mix")
    before = load()
    with tempfile.TemporaryDirectory() as scratch:
        ways = measured(paths, ["-m", options.model] if options.model else [], options.rounds, Path(scratch))
    command = " ".join(
        ["python benchmarks/many.py DATA"]
        + (["--model MODEL"] if options.model else [])
        + ([f"--pieces {options.pieces}"] if options.pieces else [])
    )
    content = {
        "command": command,
        "machine": machine(),
        "load_before": before,
        "note": options.note,
        "recordings": len(paths),
        "seconds": sum(soundfile.info(path).duration for path in paths),
        "rounds": options.rounds,
        "ways": ways,
    }
    keep("many", content, markdown(content), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
