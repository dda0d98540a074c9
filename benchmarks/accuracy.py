"""Accuracy, speed and memory of diarizers on the same recordings.

    python benchmarks/accuracy.py DATA/real DATA/mix [SET ...] [--sherpa PYTHON --models MODELS] [--senko PYTHON] [--teachers]

A SET is a folder of recordings with turns. Each contender is a program of its own, in its own environment (README.md says how to make
them), with the same number of threads. There are three steps:

- answers: everybody diarizes every recording. Answers are kept in a folder, so that this may be interrupted, and rivals are asked once.
- times: all of them diarize the first recordings of each set in turns, in another order each time, with a gap between; memory likewise.
- report: all answers are scored by wavlm_diarizer.scoring at three collars.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import answers
import diarizers
from answers import recordings
from diarizers import TOLD
from measuring import circumstances, machine
from report import RESULTS, keep, megabytes, table, write
from times import measure, timing
from wavlm_diarizer.machine import usable_cores
from wavlm_diarizer.scoring import Policy, Score, score, speech_activity, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from answers import Answers, Recording
    from diarizers import Contender

COLLARS = (0.0, 0.25, 0.5)
COLUMNS = 5
"""Sets side by side in one table."""
STEPS = ("answers", "times", "report")


def rates(every: Sequence[Recording], answered: Answers) -> dict[str, Any]:
    """The scores of a contender on a set: at every collar, of speech activity alone, and of its count of speakers.

    Scored is the whole recording.
    """
    scored: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for collar in COLLARS:
        policy = Policy(collar)
        scores = [score(item.reference, answered.of(item), policy=policy, uem=[(0.0, item.seconds)]) for item in every]
        scored[f"{collar:g}"] = total(scores).as_dict()
        if collar == 0:
            counts = counted(scores)
            scored["0"] |= {"recordings": [each.as_dict() for each in scores], "spread": spread([each.der for each in scores])}
    speech = [score(speech_activity(item.reference), speech_activity(answered.of(item)), uem=[(0.0, item.seconds)]) for item in every]
    errors = {item.name: error for item in every if (error := answered.error(item)) is not None}
    return {"collars": scored, "speech_activity": total(speech).as_dict(), "speaker_counts": counts, "errors": errors}


def spread(rate: Sequence[float]) -> dict[str, float]:
    """The least, the quartiles and the most of the recordings' rates."""
    lower, middle, upper = quantiles(rate, n=4, method="inclusive") if len(rate) > 1 else [rate[0]] * 3
    return {"least": min(rate), "lower_quartile": lower, "median": middle, "upper_quartile": upper, "most": max(rate)}


def counted(scores: Sequence[Score]) -> dict[str, int]:
    """How many recordings were given the right number of speakers, one off, or further off."""
    off = [abs(one.found_speakers - one.speakers) for one in scores]
    return {"right": off.count(0), "off_by_one": off.count(1), "further_off": sum(distance > 1 for distance in off)}


def markdown(content: dict[str, Any]) -> str:
    """The report for people."""
    out = [circumstances(content), "\n", *_overview(content)]
    for name, part in content["sets"].items():
        out.append(f"\n**`{name}/`**: {part['recordings']} recordings, {part['seconds'] / 60:.1f} minutes.\n\n")
        header = ("contender", "DER, no collar", "collar 0.25", "collar 0.5 (NIST's 0.25)", "median (quartiles) of the recordings", "JER")
        more = ("speakers right", "off by one", "more", "speech alone: missed", "false alarm")
        rows = []
        for one, measured in part["contenders"].items():
            plain, speech, counts = measured["collars"]["0"], measured["speech_activity"], measured["speaker_counts"]
            middle, lower, upper = (percent(plain["spread"][key]) for key in ("median", "lower_quartile", "upper_quartile"))
            rows.append(
                (
                    one + (f" (failed on {len(measured['errors'])})" if measured["errors"] else ""),
                    percent(plain["der"]),
                    *(percent(measured["collars"][key]["der"]) for key in ("0.25", "0.5")),
                    f"{middle} ({lower} to {upper})",
                    percent(plain["jer"]),
                    *(str(counts[key]) for key in ("right", "off_by_one", "further_off")),
                    *(percent(speech[key]) for key in ("missed", "false_alarm")),
                )
            )
        out.append(table((*header, *more), rows))
    if content["times"]:
        out += _times(content)
    name, part = next(iter(content["sets"].items()))
    first = next(iter(part["contenders"]))
    out.append(f"\nEach recording of `{name}/`, {first}, no collar:\n\n")
    rows = []
    for one in part["contenders"][first]["collars"]["0"]["recordings"]:
        shares = (percent(one[key]) for key in ("der", "missed", "false_alarm", "confusion"))
        rows.append((one["name"], f"{one['speech_seconds']:.1f}", *shares, f"{one['speakers']} -> {one['found_speakers']}"))
    out.append(table(("recording", "seconds of speech", "DER", "missed", "false alarm", "confusion", "speakers"), rows))
    return "".join(out)


def percent(rate: float) -> str:
    """A rate in per cent, without the sign."""
    return f"{100 * rate:.1f}"


def _overview(content: dict[str, Any]) -> list[str]:
    """The DER of everybody on every set."""
    out = ["DER in %, no collar, overlap scored (missed / false alarm / confusion); bold: the best of those told as much.\n"]
    for sets in batched(content["sets"].items(), COLUMNS):
        rows = []
        for one in content["contenders"]:
            cells = []
            for _, part in sets:
                if one not in part["contenders"]:
                    cells.append("not run")
                    continue
                plain = part["contenders"][one]["collars"]["0"]
                alike = [other for name, other in part["contenders"].items() if (TOLD in name) == (TOLD in one)]
                best = len(alike) > 1 and plain["der"] == min(other["collars"]["0"]["der"] for other in alike)
                der = f"**{percent(plain['der'])}**" if best else percent(plain["der"])
                cells.append(f"{der} ({' / '.join(percent(plain[key]) for key in ('missed', 'false_alarm', 'confusion'))})")
            rows.append((one, *cells))
        out += ["\n", table(("contender", *(f"`{name}/`" for name, _ in sets)), rows)]
    return out


def batched(items: Iterable[Any], size: int) -> list[list[Any]]:
    """The items in lists of at most so many."""
    every = list(items)
    return [every[first : first + size] for first in range(0, len(every), size)]


def _times(content: dict[str, Any]) -> list[str]:
    """Speed and memory, in words and rows."""
    times = content["times"]
    own = content["contenders"][0]
    audio = sum(times["recordings"].values())
    text = (
        f"\nSpeed and memory: {len(times['recordings'])} recordings ({', '.join(times['recordings'])}; {audio / 60:.1f} minutes), "
        f"{times['rounds']} rounds in turns, {times['threads']} threads each, load average before it {times['load_before']}.\n\n"
    )
    rows = []
    for one, seconds in times["seconds"].items():
        if one not in content["programs"] or not seconds:
            continue
        measured, program = timing(one, own, times), times["programs"][content["programs"][one]]
        versions = ", ".join(f"{package} {version}" for package, version in program["versions"].items())
        ratio = f"{measured['times_ours']:.2f} ({measured['times_ours_least']:.2f} to {measured['times_ours_most']:.2f})"
        rows.append((one, f"{measured['seconds_per_second']:.4f}", ratio, megabytes(program["peak_bytes"]), versions))
    return [
        text,
        table(("contender", "seconds per second of audio", "x our time", "peak memory, MB", "versions"), rows),
        f"\n![DER against speed](results/{content['picture']})\n",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Ask, measure and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET", help="folder of recordings (.flac) with turns (.rttm)")
    diarizers.add_arguments(parser)
    parser.add_argument("--answers", type=Path, default=Path("answers"), metavar="FOLDER", help="where answers are kept (default: answers)")
    parser.add_argument("--again", action="append", default=[], metavar="TEXT", help="ask contenders again whose names contain it")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="default: all")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="N", help="of each contender (default: all cores)")
    parser.add_argument("--timed", type=int, default=1, metavar="N", help="so many recordings of each set for the times (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="for the times (default: 3)")
    parser.add_argument("--note", default="Nothing else ran on purpose.", help="what else the machine did during the times")
    parser.add_argument("--name", default="accuracy", help="of the report and its times (default: accuracy)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    try:
        contenders = diarizers.chosen(options, options.threads)
    except ValueError as error:
        parser.error(str(error))
    sets = {folder.name: recordings(folder) for folder in options.sets}
    every = [item for part in sets.values() for item in part]
    if "answers" in options.steps:
        for one in contenders:
            if any(text in one.name for text in options.again):
                answers.Answers(options.answers, one).forget()
        answers.ask(contenders, every, options.answers)
    if "times" in options.steps:
        timed = [item for part in sets.values() for item in part[: options.timed]]
        kept = {one.name: answers.Answers(options.answers, one) for one in contenders}
        measured = measure(contenders, timed, options.rounds, options.threads, kept)
        write(options.answers / f"{options.name}.times.json", json.dumps(measured, indent=1) + "\n")
    if "report" in options.steps:
        content = report(options, contenders, sets)
        if content["times"]:
            from accuracy_picture import draw

            draw(content, options.output / content["picture"])
        keep(options.name, content, markdown(content), options.output)
    return 0


def report(options: argparse.Namespace, contenders: Sequence[Contender], sets: dict[str, list[Recording]]) -> dict[str, Any]:
    """Everything that is known, from what is kept; on a set that it has not answered yet, a contender is left out.

    Raises :class:`SystemExit` for a set that nobody has answered.
    """
    kept = {one.name: answers.Answers(options.answers, one) for one in contenders}
    answered = {name: {one: each for one, each in kept.items() if not each.missing(part)} for name, part in sets.items()}
    for name, part in answered.items():
        if not part:
            raise SystemExit(f"Nobody has answered all of {name} yet: run the step 'answers' first.")
    times = options.answers / f"{options.name}.times.json"
    measured: dict[str, Any] = json.loads(times.read_text(encoding="utf-8")) if times.exists() else {}
    present = [one for one in contenders if any(one.name in part for part in answered.values())]
    return {
        "command": " ".join(["python benchmarks/accuracy.py", *(f"{name}/" for name in sets), *diarizers.described(options)]),
        "machine": measured.get("machine") or machine(),
        "load_before": measured.get("load_before"),
        "note": options.note,
        "picture": f"{options.name}.png",
        "contenders": [one.name for one in present],
        "programs": {one.name: one.program for one in contenders},
        "timed_as": {one.name: one.timed_as or one.name for one in contenders},
        "versions": {name: one.versions for name, one in kept.items()},
        "times": measured,
        "sets": {
            name: {
                "recordings": len(part),
                "seconds": sum(item.seconds for item in part),
                "contenders": {one: rates(part, each) for one, each in answered[name].items()},
            }
            for name, part in sets.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
