"""The command line: ``wavlm-diarizer COMMAND``. Results go to stdout, everything else to stderr.

Exit codes: 0 if everything asked for was done, 1 if something failed, 2 for a command line that makes no sense, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from wavlm_diarizer import __version__
from wavlm_diarizer.errors import DiarizerError, OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "wavlm-diarizer"
COMMANDS = {
    "diarize": "find out who spoke when in recordings",
    "enroll": "learn people's voices, so that diarize can name them",
    "assign": "give the words of a speech recogniser to speakers",
    "export": "turn a PyTorch checkpoint into a verified ONNX file",
    "info": "show what a model file says about itself",
    "score": "score results against references: DER, JER, speaker counts",
    "tune": "fit a model's settings to labelled recordings",
    "bench": "compare the ways to run a model on this machine",
    "verify": "compare a model file with its PyTorch checkpoint again",
}
"""Every command has a module of its name beside this one, with ``add_arguments(parser)`` and ``run(arguments) -> exit code``.

``REST`` in it names the argument that takes any number of files."""

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose complaints are one sentence and point to ``--help``."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message.rstrip('.')}. See '{self.prog} --help'.\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    options: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    top = _Parser(prog=PROGRAM, description="Who spoke when, on an ordinary CPU.", **options)
    top.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, summary in COMMANDS.items():
        module = import_module(f"{__name__}.{name}")
        command = commands.add_parser(name, help=summary, description=module.__doc__, **options)
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command, rest=getattr(module, "REST", None))
    return top


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed command line. Files may stand after options as well, which argparse alone does not allow where there may be many."""
    parsed, rest = parser().parse_known_args(arguments)
    unknown = [word for word in rest if parsed.rest is None or (word.startswith("-") and word != "-")]
    if unknown:
        parsed.parser.error(f"unknown: {' '.join(unknown)}")
    if rest:
        setattr(parsed, parsed.rest, [*getattr(parsed, parsed.rest), *rest])
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` are those of the process unless given. Returns the exit code."""
    parsed = parse(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except OptionError as error:
        return _fail(error, MISUSED)
    except DiarizerError as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: not an error. Nothing may be flushed to it at exit either.
        _close_stdout()
        return FAILED
    except OSError as error:
        # Files that are read and written by name have errors of their own; what has no name is the stream of the results.
        if error.filename is not None:
            raise
        _close_stdout()
        return _fail(f"standard output cannot be written: {error.strerror}.", FAILED)
    return code


def _close_stdout() -> None:
    """Nothing more goes to standard output, whatever is still waiting to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(reason: object, code: int) -> int:
    """Say why on stderr."""
    print(f"{PROGRAM}: {reason}", file=sys.stderr)  # noqa: T201 - this is what a command line does
    return code
