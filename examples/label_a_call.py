"""Diarize a recording, say who speaks how long, and write subtitles beside it: python label_a_call.py RECORDING [--per-channel]."""

from __future__ import annotations

import sys
from pathlib import Path

from wavlm_diarizer import Diarizer


def main(recording: str, *options: str) -> None:
    """Print a summary and write RECORDING's turns as subtitles into the current folder."""
    result = Diarizer()(recording, per_channel="--per-channel" in options)
    for speaker, seconds in result.speaking_time().items():
        print(f"{speaker} speaks {seconds:.1f} s of {result.duration:.1f} s")
    for stretch in result.overlap():
        print(f"{' and '.join(stretch.speakers)} speak at once from {stretch.start:.2f} s to {stretch.end:.2f} s")
    result.save(Path(recording).with_suffix(".srt").name)


if __name__ == "__main__":
    main(*sys.argv[1:])
