"""Accuracy, speed and memory of diarizers on the same recordings, in one run.

    python benchmarks/accuracy.py DATA [--sherpa PYTHON --sherpa-models MODELS] [--senko PYTHON]

DATA is the folder that recordings/fetch.py filled. Each contender is a program of its own, in its own environment (README.md says how to
make them), with the same number of threads. Every recording goes to one after the other, in another order each time, with a gap between;
rounds after the first are for the time alone. All results are scored by wavlm_diarizer.scoring at three collars.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import soundfile

from measuring import circumstances, gap, load, machine
from report import RESULTS, keep, megabytes, table
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.machine import usable_cores
from wavlm_diarizer.scoring import Policy, Score, score, total

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTENDERS = Path(__file__).resolve().parent / "contenders"
COLLARS = (0.0, 0.25, 0.5)
SETS = ("real", "mix")
OWN = "wavlm-diarizer"


@dataclass
class Contender:
    """One way to diarize, its running program, and what it answered."""

    name: str
    program: str
    """Contenders that share a program share its process and its memory."""
    command: list[str]
    told: bool = False
    """Whether it is told the true number of speakers."""
    results: dict[str, Diarization] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class Program:
    """A contender's process; see ``contenders/worker.py`` for what is said to it."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.versions: dict[str, str] = self._answer()

    def ask(self, wav: Path, speakers: int | None) -> dict[str, Any]:
        """Diarize one recording."""
        print(json.dumps({"wav": str(wav), "speakers": speakers}), file=self._process.stdin, flush=True)
        return self._answer()

    def end(self) -> int:
        """End the process; its peak memory in bytes."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        peak = self._answer()["peak_bytes"]
        self._process.wait()
        return int(peak)

    def _answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} ended early; run it alone to see why")  # type: ignore[arg-type]
        return json.loads(line)


@dataclass(frozen=True)
class Recording:
    """One recording with its truth."""

    name: str
    wav: Path
    seconds: float
    reference: Diarization


def recordings(folder: Path, scratch: Path) -> list[Recording]:
    """The recordings of a set, as 16-bit WAV files that every contender can read."""
    found = []
    for path in sorted(folder.glob("*.flac")):
        samples, rate = soundfile.read(path, dtype="int16")
        wav = scratch / f"{path.stem}.wav"
        soundfile.write(wav, samples, rate, subtype="PCM_16")
        found.append(Recording(path.stem, wav, len(samples) / rate, Diarization.load(path.with_suffix(".rttm"))))
    if not found:
        raise SystemExit(f"{folder} holds no recordings: run benchmarks/recordings/fetch.py first")
    return found


def measure(contenders: Sequence[Contender], every: Sequence[Recording], rounds: int) -> dict[str, dict[str, Any]]:
    """Run all contenders on all recordings in turns; returns versions and peak memory of each program."""
    commands = {one.program: one.command for one in contenders}
    programs = {name: Program(command) for name, command in commands.items()}
    for one in contenders:  # what is compiled, loaded and allocated at first use is not what is compared
        programs[one.program].ask(every[0].wav, None)
    for turn in range(rounds):
        for index, recording in enumerate(every):
            shift = (index + turn) % len(contenders)
            for one in (*contenders[shift:], *contenders[:shift]):
                gap()
                answer = programs[one.program].ask(recording.wav, len(recording.reference.speakers) if one.told else None)
                one.seconds.setdefault(recording.name, []).append(answer["seconds"])
                if "error" in answer:
                    one.errors[recording.name] = answer["error"]
                turns = [Turn(start, end, who) for start, end, who in answer["turns"] if end > start]
                one.results.setdefault(recording.name, Diarization(turns, name=recording.name))
        print(f"round {turn + 1} of {rounds} done", file=sys.stderr)
    return {name: {"versions": program.versions, "peak_bytes": program.end()} for name, program in programs.items()}


def rates(one: Contender, every: Sequence[Recording]) -> dict[str, Any]:
    """The scores of a contender on a set, at every collar, and how well it counts speakers. Scored is the whole recording."""
    scored: dict[str, Any] = {}
    for collar in COLLARS:
        scores = [score(item.reference, one.results[item.name], policy=Policy(collar), uem=[(0.0, item.seconds)]) for item in every]
        scored[f"{collar:g}"] = {**total(scores).as_dict(), "recordings": [each.as_dict() for each in scores]}
        counts = counted(scores)
    return {"collars": scored, "speaker_counts": counts}


def counted(scores: Sequence[Score]) -> dict[str, int]:
    """How many recordings were given the right number of speakers, one off, or further off."""
    off = [abs(one.found_speakers - one.speakers) for one in scores]
    return {"right": off.count(0), "off_by_one": off.count(1), "further_off": sum(distance > 1 for distance in off)}


def timing(one: Contender, own: Contender, every: Sequence[Recording]) -> dict[str, float]:
    """Seconds of work per second of audio, and how many times as long as ours it took: medians over rounds, with the spread."""
    audio = sum(item.seconds for item in every)
    rounds = len(one.seconds[every[0].name])
    own_rounds = [sum(own.seconds[item.name][turn] for item in every) for turn in range(rounds)]
    in_round = [sum(one.seconds[item.name][turn] for item in every) for turn in range(rounds)]
    ratios = [mine / ours for mine, ours in zip(in_round, own_rounds, strict=True)]
    return {
        "seconds_per_second": median(in_round) / audio,
        "times_ours": median(ratios),
        "times_ours_least": min(ratios),
        "times_ours_most": max(ratios),
    }


def markdown(content: dict[str, Any]) -> str:
    """The report for people."""
    out = [circumstances(content)]
    for name in SETS:
        part = content["sets"][name]
        out.append(f"\n**`{name}/`**: {part['recordings']} recordings, {part['seconds'] / 60:.1f} minutes. DER in %, overlap scored.\n\n")
        header = ("contender", "DER, no collar", "missed", "false alarm", "confusion", "JER", "collar 0.25", "collar 0.5 (NIST's 0.25)")
        more = ("speakers right", "off by one", "more", "seconds per second of audio", "x our time")
        rows = []
        for one, measured in part["contenders"].items():
            plain = measured["collars"]["0"]
            counts, time = measured["speaker_counts"], measured["timing"]
            errors = f" (failed on {len(measured['errors'])})" if measured["errors"] else ""
            rows.append(
                (
                    one + errors,
                    f"**{100 * plain['der']:.1f}**",
                    *(f"{100 * plain[key]:.1f}" for key in ("missed", "false_alarm", "confusion", "jer")),
                    *(f"{100 * measured['collars'][key]['der']:.1f}" for key in ("0.25", "0.5")),
                    *(str(counts[key]) for key in ("right", "off_by_one", "further_off")),
                    f"{time['seconds_per_second']:.4f}",
                    f"{time['times_ours']:.2f} ({time['times_ours_least']:.2f} to {time['times_ours_most']:.2f})",
                )
            )
        out.append(table((*header, *more), rows))
    first = next(iter(content["sets"]["real"]["contenders"]))
    out.append(f"\nEach recording of `real/`, {first}, no collar:\n\n")
    rows = []
    for one in content["sets"]["real"]["contenders"][first]["collars"]["0"]["recordings"]:
        shares = (f"{100 * one[key]:.1f}" for key in ("der", "missed", "false_alarm", "confusion"))
        rows.append((one["name"], f"{one['speech_seconds']:.1f}", *shares, f"{one['speakers']} -> {one['found_speakers']}"))
    out.append(table(("recording", "seconds of speech", "DER", "missed", "false alarm", "confusion", "speakers"), rows))
    out.append("\nMemory and versions:\n\n")
    rows = []
    for name, program in content["programs"].items():
        versions = ", ".join(f"{package} {version}" for package, version in program["versions"].items())
        rows.append((name, megabytes(program["peak_bytes"]), versions))
    out.append(table(("program", "peak memory, MB", "versions"), rows))
    return "".join(out)


def main(arguments: list[str] | None = None) -> int:
    """Measure and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with real/ and mix/")
    parser.add_argument("--model", help="another model file than the built-in one")
    parser.add_argument("--sherpa", metavar="PYTHON", help="the python of an environment with sherpa-onnx")
    parser.add_argument("--sherpa-models", type=Path, metavar="MODELS", help="what contenders/export_rival_models.py wrote")
    parser.add_argument("--senko", metavar="PYTHON", help="the python of an environment with senko")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="N", help="of each contender (default: all cores)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="for the times (default: 3)")
    parser.add_argument("--note", default="Nothing else ran on purpose.", help="what else the machine did meanwhile")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    if options.sherpa and not options.sherpa_models:
        parser.error("--sherpa needs --sherpa-models")
    threads = str(options.threads)
    own = [sys.executable, str(CONTENDERS / "run_own.py"), threads, *([options.model] if options.model else [])]
    contenders = [Contender(f"{OWN}, {options.model or 'built-in model'}", OWN, own)]
    if options.sherpa:
        command = [options.sherpa, str(CONTENDERS / "run_sherpa.py"), threads, str(options.sherpa_models)]
        contenders += [
            Contender("sherpa-onnx, threshold 0.5 (its default)", "sherpa-onnx", command),
            Contender("sherpa-onnx, told the true number of speakers", "sherpa-onnx", command, told=True),
        ]
    if options.senko:
        contenders.append(Contender("senko", "senko", [options.senko, str(CONTENDERS / "run_senko.py"), threads]))
    before = load()
    with tempfile.TemporaryDirectory() as scratch:
        sets = {name: recordings(options.data / name, Path(scratch)) for name in SETS}
        programs = measure(contenders, [item for part in sets.values() for item in part], options.rounds)
    content = {
        "command": described_command(options),
        "machine": machine(),
        "load_before": before,
        "note": options.note,
        "threads": options.threads,
        "rounds": options.rounds,
        "programs": programs,
        "sets": {
            name: {
                "recordings": len(part),
                "seconds": sum(item.seconds for item in part),
                "contenders": {
                    one.name: {**rates(one, part), "timing": timing(one, contenders[0], part), "errors": errors_in(one, part)}
                    for one in contenders
                },
            }
            for name, part in sets.items()
        },
    }
    keep("accuracy", content, markdown(content), options.output)
    return 0


def described_command(options: argparse.Namespace) -> str:
    """The command that was given, without the paths of this machine."""
    words = ["python benchmarks/accuracy.py DATA"]
    words += ["--model MODEL"] if options.model else []
    words += ["--sherpa PYTHON --sherpa-models MODELS"] if options.sherpa else []
    words += ["--senko PYTHON"] if options.senko else []
    return " ".join([*words, f"--threads {options.threads} --rounds {options.rounds}"])


def errors_in(one: Contender, part: Sequence[Recording]) -> dict[str, str]:
    """The recordings of a set that a contender failed on, with its words."""
    return {item.name: one.errors[item.name] for item in part if item.name in one.errors}


if __name__ == "__main__":
    sys.exit(main())
