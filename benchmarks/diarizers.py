"""The diarizers that are compared: how each is started, asked and told apart. Options of the command line in, contenders out.

Each is a program of its own in its own environment (README.md says how to make them); see ``contenders/worker.py`` for what is said to it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from programs import CONTENDERS

if TYPE_CHECKING:
    import argparse

OWN = "wavlm-diarizer"
SHERPA = "sherpa-onnx"
TEACHERS = "teachers"
TOLD = "told the true number of speakers"


@dataclass(frozen=True)
class Contender:
    """One way to diarize."""

    name: str
    program: str
    """Contenders that share a program share its process and its memory."""
    command: tuple[str, ...]
    told: bool = False
    """Whether it is told the true number of speakers."""
    timed_as: str = ""
    """The contender that does the same work, whose time is measured instead; empty: its own."""

    @property
    def slug(self) -> str:
        """The name as that of a file."""
        return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in self.name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which diarizers take part."""
    parser.add_argument("--model", help="another model file than the built-in one")
    parser.add_argument("--sherpa", metavar="PYTHON", help="the python of an environment with sherpa-onnx; needs --models")
    parser.add_argument("--models", type=Path, metavar="MODELS", help="what contenders/export_rival_models.py wrote")
    parser.add_argument("--teachers", action="store_true", help="segmentation-3.0 and CAM++ in this project's runtime; needs --models")
    parser.add_argument("--senko", metavar="PYTHON", help="the python of an environment with senko")
    parser.add_argument("--resemblyzer", metavar="PYTHON", help="the python of an environment with Resemblyzer and silero-vad")


def chosen(options: argparse.Namespace, threads: int) -> list[Contender]:
    """The contenders that the options name, ours first. Raises :class:`ValueError` for models that are not named."""
    if (options.sherpa or options.teachers) and not options.models:
        raise ValueError("--sherpa and --teachers need --models: run contenders/export_rival_models.py first")

    def started(python: str, script: str, *more: str) -> tuple[str, ...]:
        return (python, str(CONTENDERS / script), str(threads), *more)

    own = started(sys.executable, "run_own.py", *([options.model] if options.model else []))
    name = f"{OWN}, {Path(options.model).stem if options.model else 'built-in model'}"
    found = [Contender(name, OWN, own), Contender(f"{name}, {TOLD}", OWN, own, told=True, timed_as=name)]
    if options.sherpa:
        for threshold in ("0.5", "0.7"):
            program = SHERPA if threshold == "0.5" else f"{SHERPA} {threshold}"
            default = " (its default)" if threshold == "0.5" else ""
            command = started(options.sherpa, "run_sherpa.py", str(options.models), threshold)
            same = found[-1].name if found[-1].program == SHERPA else ""
            found.append(Contender(f"{SHERPA}, threshold {threshold}{default}", program, command, timed_as=same))
        found.append(Contender(f"{SHERPA}, {TOLD}", SHERPA, found[-2].command, told=True))
    if options.senko:
        found.append(Contender("senko", "senko", started(options.senko, "run_senko.py")))
    if options.resemblyzer:
        found.append(Contender(f"Resemblyzer, {TOLD}", "Resemblyzer", started(options.resemblyzer, "run_resemblyzer.py"), told=True))
    if options.teachers:
        command = started(sys.executable, "run_teachers.py", str(options.models))
        name = "the teachers in our runtime"
        found += [Contender(name, TEACHERS, command), Contender(f"{name}, {TOLD}", TEACHERS, command, told=True, timed_as=name)]
        found.append(
            Contender(f"{name}, windows joined without voices", f"{TEACHERS} without voices", (*command, "no-voices"), timed_as=name)
        )
    return found


def described(options: argparse.Namespace) -> list[str]:
    """The options without the paths of this machine."""
    words = ["--model MODEL"] if options.model else []
    words += ["--sherpa PYTHON"] if options.sherpa else []
    words += ["--senko PYTHON"] if options.senko else []
    words += ["--resemblyzer PYTHON"] if options.resemblyzer else []
    words += ["--teachers"] if options.teachers else []
    words += ["--models MODELS"] if options.sherpa or options.teachers else []
    return words
