"""Give the words of a speech recogniser to the speakers of a recording.

TURNS: any turn file that this program writes and reads. WORDS: the JSON of whisper, faster-whisper, whisperX or a transformers pipeline.
The output's ending chooses its format: .json (the input with speakers added), .srt, .vtt or .txt. Without -o, text goes to stdout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError, OptionError

if TYPE_CHECKING:
    import argparse

ENDINGS = {".json": "json", ".srt": "srt", ".vtt": "vtt", ".txt": "text"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer assign``."""
    parser.add_argument("turns", metavar="TURNS", help="turn file, such as turns.json or turns.rttm")
    parser.add_argument("words", metavar="WORDS", help="JSON with words and their times")
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write; default: text on stdout")
    parser.add_argument("-f", "--format", choices=tuple(ENDINGS.values()), help="default: by the ending of OUT, else text")
    parser.add_argument(
        "--nearest", type=float, default=0.5, metavar="SECONDS", help="how far from a turn a word in a pause may be (default: 0.5)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Assign, and write."""
    from wavlm_diarizer import transcripts
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.words import assign_words
    from wavlm_diarizer.writing import write_file

    chosen = arguments.format or "text"
    if arguments.output is not None and arguments.format is None:
        chosen = ENDINGS.get(Path(arguments.output).suffix.lower(), "")
        if not chosen:
            raise OptionError(f"The ending of {arguments.output} names no format; use one of {', '.join(ENDINGS)}, or name it with -f.")
    if arguments.nearest < 0:
        raise OptionError(f"--nearest is a number of seconds from 0 up, not {arguments.nearest}.")
    turns = Diarization.load(arguments.turns)
    try:
        content = json.loads(Path(arguments.words).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise FormatError(f"There is no file {arguments.words}.") from error
    except (OSError, ValueError) as error:
        raise FormatError(f"{arguments.words} cannot be read as JSON: {error}.") from error
    try:
        words = assign_words(turns, content, nearest=arguments.nearest)
    except FormatError as error:
        raise FormatError(f"{arguments.words}: {error}") from error
    text = transcripts.dumps(words, chosen, content)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        write_file(arguments.output, text.encode())
    return 0
