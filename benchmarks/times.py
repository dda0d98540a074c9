"""How long the diarizers take and what memory they need: in turns, in one run. Contenders and recordings in, seconds and ratios out."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from answers import as_wav
from measuring import gap, load, machine
from programs import Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from answers import Answers, Recording
    from diarizers import Contender


def measure(
    contenders: Sequence[Contender], every: Sequence[Recording], rounds: int, threads: int, kept: Mapping[str, Answers]
) -> dict[str, Any]:
    """Run all contenders on all recordings in turns: seconds, versions, peak memory, and what the machine was like.

    What a contender had not answered yet is kept.
    """
    timed = [one for one in contenders if not one.timed_as]
    before = load()
    seconds: dict[str, list[list[float]]] = {one.name: [] for one in timed}
    programs = {one.program: Program(one.command) for one in timed}
    with ExitStack() as scratch:
        wavs = [scratch.enter_context(as_wav(one)) for one in every]
        for program in programs.values():  # what is compiled, loaded and allocated at first use is not what is compared
            program.ask(wav=wavs[0], speakers=None)
        for turn in range(rounds):
            for one in timed:
                seconds[one.name].append([])
            for index, (recording, wav) in enumerate(zip(every, wavs, strict=True)):
                shift = (index + turn) % len(timed)
                for one in (*timed[shift:], *timed[:shift]):
                    gap()
                    answer = programs[one.program].ask(wav=wav, speakers=len(recording.reference.speakers) if one.told else None)
                    seconds[one.name][-1].append(answer["seconds"])
                    if kept[one.name].missing([recording]):
                        kept[one.name].keep(recording, answer, programs[one.program].facts)
            print(f"round {turn + 1} of {rounds} done", file=sys.stderr)
    return {
        "machine": machine(),
        "load_before": before,
        "threads": threads,
        "rounds": rounds,
        "recordings": {one.key: one.seconds for one in every},
        "seconds": seconds,
        "programs": {name: {"versions": program.facts, "peak_bytes": program.end()} for name, program in programs.items()},
    }


def timing(name: str, own: str, times: dict[str, Any]) -> dict[str, float]:
    """Seconds of work per second of audio, and how many times as long as ours it took: medians over rounds, with the spread."""
    audio = sum(times["recordings"].values())
    own_rounds, rounds = ([sum(each) for each in times["seconds"][one]] for one in (own, name))
    ratios = [mine / ours for mine, ours in zip(rounds, own_rounds, strict=True)]
    return {
        "seconds_per_second": median(rounds) / audio,
        "times_ours": median(ratios),
        "times_ours_least": min(ratios),
        "times_ours_most": max(ratios),
    }
