"""Learn people's voices, so that diarize can name them.

Each clip holds the speech of one person: some seconds, better half a minute, from a recording like those to diarize.
The voices belong to one model: the checkpoints that it was made from, in any precision. Then: wavlm-diarizer diarize --voices VOICES
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    import argparse

REST = "clips"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer enroll``."""
    parser.add_argument("clips", nargs="*", metavar="NAME=CLIP", help="a person's name and an audio file of their voice")
    parser.add_argument("-o", "--output", required=True, metavar="VOICES", help="JSON file to write")
    parser.add_argument("-m", "--model", help="ONNX file, folder or hub id with a speaker head; default: the built-in model")
    parser.add_argument("--precision", choices=("auto", "fp32", "int8"), default="auto", help="which file of a folder (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="default: as many as this process may use")
    parser.add_argument("-q", "--quiet", action="store_true", help="only errors")


def run(arguments: argparse.Namespace) -> int:
    """Enroll everybody and write the file; nothing is written if one clip is not good enough."""
    from wavlm_diarizer.diarizer import Diarizer

    clips = named(arguments.clips)
    voices = Diarizer(arguments.model, precision=arguments.precision, threads=arguments.threads).enroll(clips)
    voices.save(arguments.output)
    if not arguments.quiet:
        for voice in voices.people:
            print(f"{voice.name}: {voice.seconds:.1f} s of speech", file=sys.stderr)  # noqa: T201
    return 0


def named(words: list[str]) -> dict[str, str]:
    """The clips by their people's names. Raises :class:`OptionError` for a word without ``=`` and for a name that is there twice."""
    if not words:
        raise OptionError("Name at least one person and clip, such as Ada=ada.wav.")
    clips: dict[str, str] = {}
    for word in words:
        name, equals, clip = word.partition("=")
        if not (equals and name and clip):
            raise OptionError(f"{word} is no NAME=CLIP, such as Ada=ada.wav.")
        if name in clips:
            raise OptionError(f"{name} is there twice: put the clips of one person into one file.")
        clips[name] = clip
    return clips
