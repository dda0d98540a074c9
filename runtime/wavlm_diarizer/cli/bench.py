"""Compare the ways to run a model on this machine: speed, memory, size, and agreement with fp32.

Every variant runs in processes of its own, in turns. Name a folder with both precisions (wavlm-diarizer export CHECKPOINT -o FOLDER) to
compare those as well.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from wavlm_diarizer.benchmark import Measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer bench``."""
    parser.add_argument("audio", nargs="?", metavar="AUDIO", help="recording to run; default: the sample that comes with the package")
    parser.add_argument("-m", "--model", help="as for diarize; default: the built-in model")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each variant runs (default: 3)")
    parser.add_argument("--json", action="store_true", help="everything that was measured, as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no remarks")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, recommend."""
    from dataclasses import asdict

    from wavlm_diarizer import benchmark
    from wavlm_diarizer.audio import open_audio
    from wavlm_diarizer.cli.checkpoints import exported
    from wavlm_diarizer.machine import cpu, usable_cores
    from wavlm_diarizer.model_file import SAMPLE
    from wavlm_diarizer.sessions import load_onnxruntime

    if arguments.rounds < 1:
        raise OptionError(f"--rounds must be at least 1, not {arguments.rounds}.")
    audio = arguments.audio or SAMPLE
    open_audio(audio).close()  # what cannot be read is found out before the work

    model = exported(arguments.model, "auto", quiet=arguments.quiet)

    def say(line: str) -> None:
        if not arguments.quiet and sys.stderr.isatty():
            print(f"wavlm-diarizer: {line}", file=sys.stderr)  # noqa: T201

    results = benchmark.compare(benchmark.variants(model), audio, rounds=arguments.rounds, progress=say)
    best = benchmark.recommended(results)
    if arguments.json:
        content = {
            "machine": {"cores": usable_cores(), "cpu": asdict(cpu())},
            "onnxruntime": load_onnxruntime().__version__,
            "rounds": arguments.rounds,
            "variants": [result.as_dict() for result in results],
            "recommended": best.variant.name,
        }
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
        return 0
    sys.stdout.write(table(results))
    sys.stdout.write(f"\nRecommended here: {best.variant.name} ({best.speed:.4f} s per second of audio).\n")
    return 0


def table(results: list[Measured]) -> str:
    """The results as aligned columns."""
    head = ("variant", "s per s of audio", "spread", "load s", "first s", "peak MB", "file MB", "labels as fp32")
    rows = [head]
    for result in results:
        spread = max(result.seconds_per_second) - min(result.seconds_per_second)
        rows.append(
            (
                result.variant.name,
                f"{result.speed:.4f}",
                f"{spread:.4f}",
                f"{median(result.load_seconds):.2f}",
                f"{median(result.first_seconds):.2f}",
                "unknown" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:.0f}",
                f"{result.file_bytes / 1e6:.1f}",
                "no fp32 here" if result.labels_equal is None else f"{result.labels_equal:.2%}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if not index else f"{cell:>{width}}" for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"
