"""Fit a model's decoding and clustering to labelled recordings, and write a copy of it with the settings inside.

DATA: audio files, or folders of them, each with its true turns in an RTTM file of the same name beside it. The settings are those with the
lowest DER (no collar, overlap scored). Nothing is written unless they also help recordings that they were not found on (cross-validation).
Needs the score extra: pip install 'wavlm-diarizer[score]'.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import FormatError, ModelFormatError, OptionError, TuningError

if TYPE_CHECKING:
    import argparse

    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.scoring import Score
    from wavlm_diarizer.tuning import Tuned

REST = "data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer tune``."""
    parser.add_argument("data", nargs="*", metavar="DATA", help="audio file, folder or glob pattern, with .rttm files beside the audio")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="ONNX file to write")
    parser.add_argument("-m", "--model", help="ONNX file, folder or hub id; default: the built-in model")
    parser.add_argument("--precision", choices=("auto", "fp32", "int8"), default="auto", help="which file of a folder (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="default: as many as this process may use")
    parser.add_argument("--anyway", action="store_true", help="write the file even if cross-validation finds no gain")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="only the report")


def run(arguments: argparse.Namespace) -> int:
    """Tune, report, and write the file; 1 if there was nothing to gain."""
    from dataclasses import replace

    from wavlm_diarizer import model_file
    from wavlm_diarizer.diarizer import Diarizer
    from wavlm_diarizer.onnx_messages import with_metadata
    from wavlm_diarizer.tuning import tune
    from wavlm_diarizer.writing import write_file

    pairs = labelled(arguments.data)
    file = model_file.find(arguments.model, precision=arguments.precision)
    if file.path.with_name(file.path.name + "_data").exists():
        raise ModelFormatError(f"{file.name} keeps its weights in a second file, and a tuned file is one: export it with this program.")
    diarizer = Diarizer(file.path, threads=arguments.threads)

    def say(line: str) -> None:
        if not arguments.quiet:
            print(f"wavlm-diarizer: {line}", file=sys.stderr)  # noqa: T201

    tuned = tune(diarizer, pairs, say)
    content = report(tuned)
    sys.stdout.write(json.dumps(content, indent=2) + "\n" if arguments.json else text(tuned))
    if not (tuned.helps or arguments.anyway):
        raise TuningError(
            f"Nothing was written: on recordings that they were not found on, the settings give {100 * tuned.cross_validated.der:.2f} % "
            f"instead of {100 * tuned.before.der:.2f} %. Give more recordings, or --anyway."
        )
    settings = diarizer.settings
    verification = {**settings.verification, "tuning": content}
    settings = replace(settings, decoding=tuned.decoding, clustering=tuned.clustering, verification=verification)
    write_file(arguments.output, with_metadata(file.path.read_bytes(), settings.to_metadata()))
    return 0


def labelled(names: list[str]) -> list[tuple[str, Diarization]]:
    """Every recording with its true turns. Raises :class:`OptionError` for one without an RTTM file beside it."""
    from wavlm_diarizer import formats
    from wavlm_diarizer.cli.inputs import recordings

    if not names:
        raise OptionError("Name at least one folder of recordings with their turns. See 'wavlm-diarizer tune --help'.")
    found = []
    for recording in recordings(names):
        turns = Path(recording.source).with_suffix(".rttm")
        if recording.is_stdin or not turns.is_file():
            raise OptionError(f"{recording.source} has no true turns beside it: put them into {turns.name}.")
        inside = formats.load_all(turns, "rttm")
        if len(inside) != 1:
            raise FormatError(f"{turns} must hold the turns of one recording, not of {len(inside)}.")
        found.append((recording.source, next(iter(inside.values()))))
    return found


def report(tuned: Tuned) -> dict[str, Any]:
    """What was found and what it is worth, for programs."""
    from wavlm_diarizer.tuning import POLICY

    return {
        "policy": str(POLICY),
        "recordings": tuned.before.recordings,
        "speech_seconds": round(tuned.before.speech, 1),
        "before": _rates(tuned.before),
        "after": _rates(tuned.after),
        "cross_validated": _rates(tuned.cross_validated),
        "decoding": tuned.decoding.as_dict(),
        "clustering": tuned.clustering.as_dict(),
    }


def text(tuned: Tuned) -> str:
    """The same for people."""
    from wavlm_diarizer.tuning import POLICY

    rows: list[tuple[str, ...]] = [("settings", "DER %", "missed", "false alarm", "confusion", "speakers right")]
    for name, one in (("before", tuned.before), ("after, on the same recordings", tuned.after), ("cross-validated", tuned.cross_validated)):
        parts = (one.der, one.part(one.missed), one.part(one.false_alarm), one.part(one.confusion))
        rows.append((name, *(f"{100 * part:.2f}" for part in parts), f"{one.right_counts} of {one.recordings}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]) for row in rows
    ]
    for name, values in (("decoding", tuned.decoding.as_dict()), ("clustering", tuned.clustering.as_dict())):
        lines.append(f"{name}: " + ", ".join(f"{key} {value:g}" for key, value in values.items()))
    return "\n".join([*lines, f"Scored: {POLICY}. Believe the cross-validated row.", ""])


def _rates(one: Score) -> dict[str, float]:
    rates = {"der": one.der, "missed": one.part(one.missed), "false_alarm": one.part(one.false_alarm), "confusion": one.part(one.confusion)}
    return {name: round(rate, 5) for name, rate in rates.items()} | {"speakers_right": one.right_counts}
