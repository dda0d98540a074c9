"""Speed, memory and accuracy of the ways to run one full-size model, in one run: this project's files beside named peers.

    python benchmarks/contenders/make_models.py WORK
    python benchmarks/speed.py WORK [--openvino PYTHON] [--only PART ...]

WORK is the folder that contenders/make_models.py filled; README.md says how to make the environment with OpenVINO and its files. Every
engine is a program of its own (contenders/engine.py), told the same number of threads. They are asked in turns, in another order each
round, with a gap between; a sample during which other programs had much of the CPU is taken again. The parts, in their order:

    agreement   how far each engine's answers to real speech are from PyTorch's in fp32
    time        seconds for a window of 10 s, beside the model's matrix products alone
    scaling     seconds for windows of 2 to 30 s; once more with --threads 1 shows what a second core gains
    memory      the most memory that a program holds that opens the model and runs windows of 10 s, or of 30 s

What was measured is added to results/speed.json, so the parts can be run one by one, and rounds be added to those of a part (--more) where
a machine is quiet for minutes only. Comparisons are always within one part, and times within one round.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from math import ceil
from operator import itemgetter
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from engines import ENGINES, LOW_MEMORY, OWN, REFERENCE, Engine, present
from measuring import gap, load, machine
from programs import Program
from report import RESULTS, keep
from speed_pictures import draw
from speed_report import markdown
from wavlm_diarizer.agreement import compare
from wavlm_diarizer.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SECONDS = 10
"""Length of the windows that are compared."""
LENGTHS = (2, 5, 10, 20, 30)
MEMORY_LENGTHS = (10, 30)
CHECKED_WINDOWS = 6
LEAST_SAMPLE = 0.25
"""Seconds that one sample takes at least: shorter windows are run several times."""
QUIET_SHARE, QUIET_SECONDS = 0.06, 0.03
"""A sample counts as disturbed if other programs had more CPU than this share of its time, or these seconds, whichever is more: the system
counts in hundredths of a second."""
SAMPLED = ("seconds", "cpu_seconds", "disturbed")
RETRIES = 1
"""Of a disturbed sample, at once: what disturbs for longer is only waited for in vain."""


def agreement(engines: Sequence[Engine], work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """How far the engines' answers are from the reference's."""
    windows = np.load(work / "check.npy", mmap_mode="r")[:CHECKED_WINDOWS]
    answers: dict[str, NDArray[np.float32]] = {}
    with tempfile.TemporaryDirectory() as folder:
        window, answer = Path(folder) / "window.npy", Path(folder) / "answer.npy"
        for engine in engines:
            if engine.floor:
                continue
            program = Program(engine.command(work, options.threads, options.openvino))
            found = []
            for samples in windows:
                np.save(window, samples)
                program.ask(window=window, answer=answer)
                found.append(np.load(answer))
            program.end()
            answers[engine.key] = np.concatenate(found)
    if REFERENCE not in answers:
        raise SystemExit(f"Nothing to compare with: {REFERENCE} could not be run.")
    right = answers[REFERENCE]
    return {
        "seconds": len(windows) * SECONDS,
        "frames_on": (right > 0).sum(axis=0).tolist(),
        "frames_off": (right <= 0).sum(axis=0).tolist(),
        "engines": {key: vars(compare(right, answered)) for key, answered in answers.items()},
    }


def time(engines: Sequence[Engine], work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each engine for one window in each round."""
    programs = {engine.key: Program(engine.command(work, options.threads, options.openvino)) for engine in engines}
    samples = in_turns(programs, work / f"speech_{SECONDS}.npy", options.rounds, 60 * options.minutes)
    found = {}
    for engine in engines:
        program = programs[engine.key]
        found[engine.key] = {**program.facts, **samples[engine.key], "file_bytes": engine.bytes(work), "name": engine.name}
        program.end()
    return {"window_seconds": SECONDS, "engines": found}


def scaling(engines: Sequence[Engine], work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of some engines for windows of all lengths, on the threads asked for; those of other numbers are kept."""
    share = 60 * options.minutes / sum(LENGTHS)
    programs = {engine.key: Program(engine.command(work, options.threads, options.openvino)) for engine in engines if engine.scaled}
    found = {
        str(seconds): in_turns(programs, work / f"speech_{seconds}.npy", options.scaling_rounds, share * seconds) for seconds in LENGTHS
    }
    for program in programs.values():
        program.end()
    return {"by_threads": {str(options.threads): found}, "names": {engine.key: engine.name for engine in engines if engine.scaled}}


def memory(engines: Sequence[Engine], work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of a fresh program for each engine and length of window."""
    found: dict[str, dict[str, int]] = {}
    chosen = [engine for engine in engines if not engine.floor]
    if OWN in {engine.key for engine in chosen}:
        chosen.append(LOW_MEMORY)
    for engine in chosen:
        found[engine.key] = {}
        for seconds in MEMORY_LENGTHS:
            program = Program(engine.command(work, options.threads, options.openvino))
            program.ask(window=work / f"speech_{seconds}.npy", times=3)
            found[engine.key][str(seconds)] = program.end()
    return {"peak_bytes": found, "names": {engine.key: engine.name for engine in chosen}}


def in_turns(programs: Mapping[str, Program], window: Path, rounds: int, limit: float) -> dict[str, dict[str, Any]]:
    """Seconds for one window, of each program in each round, and which of these samples were disturbed.

    After ``limit`` seconds no further round is begun; one is made in any case.
    """
    began = perf_counter()
    keys = list(programs)
    times = {}
    for key in keys:  # what is compiled, chosen and allocated at first use is not what is compared
        programs[key].ask(window=window)
        times[key] = max(1, ceil(LEAST_SAMPLE / programs[key].ask(window=window)["seconds"]))
    found: dict[str, dict[str, Any]] = {key: {name: [] for name in SAMPLED} for key in keys}
    for turn in range(rounds):
        if turn and perf_counter() - began > limit:
            print(f"{window.stem}: no time for more than {turn} of {rounds} rounds", file=sys.stderr)
            break
        shift = turn % len(keys)
        for key in (*keys[shift:], *keys[:shift]):
            for name, value in sample(programs[key], window, times[key]).items():
                found[key][name].append(value)
        print(f"{window.stem}: round {turn + 1} of {rounds} done", file=sys.stderr)
    return found


def sample(program: Program, window: Path, times: int) -> dict[str, Any]:
    """Seconds for one window, on the clock and of CPU, and whether other programs were busy meanwhile, in the quietest of a few tries."""
    tries: list[tuple[float, dict[str, Any]]] = []
    for _ in range(1 + RETRIES):
        gap()
        answer = program.ask(window=window, times=times)
        others, whole = answer["others"] or 0.0, times * answer["seconds"]
        disturbed = others > max(QUIET_SHARE * whole, QUIET_SECONDS)
        found = {"seconds": round(answer["seconds"], 6), "cpu_seconds": round(answer["cpu_seconds"], 6), "disturbed": disturbed}
        tries.append((others / whole, found))
        if not disturbed:
            break
    return min(tries, key=itemgetter(0))[1]


def with_more(before: Any, after: Any) -> Any:
    """A part with the rounds and the engines of both; what both have otherwise is of the later one."""
    if isinstance(after, dict) and isinstance(before, dict):
        joined = before | {key: with_more(before.get(key), value) for key, value in after.items()}
        return joined | {key: before[key] + after[key] for key in SAMPLED if isinstance(after.get(key), list)}
    return after


ALONE = {"agreement", "memory"}
"""Parts in which each engine's figures stand for themselves."""
PARTS = {"agreement": agreement, "time": time, "scaling": scaling, "memory": memory}


def main(arguments: list[str] | None = None) -> int:
    """Measure and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="what contenders/make_models.py wrote")
    parser.add_argument("--openvino", metavar="PYTHON", help="the python of an environment with openvino")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    keys = [engine.key for engine in ENGINES]
    parser.add_argument("--engines", nargs="+", choices=keys, metavar="KEY", help=f"only these, of {', '.join(keys)}")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="N", help="of each engine (default: all cores)")
    parser.add_argument("--more", action="store_true", help="add rounds to those that are kept; the files must be the same")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="of the part time (default: 11)")
    parser.add_argument("--scaling-rounds", type=int, default=3, metavar="N", help="of the part scaling (default: 3)")
    parser.add_argument("--minutes", type=float, default=5, metavar="N", help="after which no part begins another round (default: 5)")
    parser.add_argument("--note", default="Nothing else ran on purpose.", help="what else the machine did meanwhile")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    engines, missing = present(options.work, options.openvino)
    if options.engines:
        engines = [engine for engine in engines if engine.key in options.engines]
    for sentence in missing:
        print(f"speed.py: {sentence}", file=sys.stderr)
    kept = options.output / "speed.json"
    content = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in (part for part in PARTS if part in options.only):
        before, kept_part = load(), content.get(name)
        content[name] = {
            "command": f"python benchmarks/speed.py WORK{' --openvino PYTHON' if options.openvino else ''} --only {name}",
            "machine": machine(),
            "load_before": before,
            "note": options.note,
            "threads": options.threads,
            "missing": missing,
            **PARTS[name](engines, options.work, options),
        }
        if kept_part and (options.more or (options.engines and name in ALONE)):
            content[name] = with_more(kept_part, content[name])
        elif kept_part and name == "scaling":
            content[name]["by_threads"] = kept_part["by_threads"] | content[name]["by_threads"]
        keep("speed", content, markdown(content), options.output)
    draw(content, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
