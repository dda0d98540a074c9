"""Show what a model file says about itself: where it comes from, how it is run, and how it compared with PyTorch."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from wavlm_diarizer.settings import ModelSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer info``."""
    parser.add_argument("model", nargs="?", help="ONNX file, folder or hub id; default: the built-in model")
    parser.add_argument("--precision", choices=("auto", "fp32", "int8"), default="auto", help="which file of a folder (default: auto)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the settings and the verification report."""
    from dataclasses import asdict

    from wavlm_diarizer import model_file
    from wavlm_diarizer.sessions import open_session

    file = model_file.find(arguments.model, precision=arguments.precision)
    settings = file.settings(open_session(file.path, threads=1))
    facts = {"file": str(file.path), "bytes": file.path.stat().st_size, **asdict(settings)}
    if arguments.json:
        sys.stdout.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        return 0
    lines = _lines(settings, file.name, facts["bytes"])
    width = max(len(name) for name, _ in lines)
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" if value else f"{name}\n" for name, value in lines))
    return 0


def _lines(settings: ModelSettings, name: str, size: int) -> list[tuple[str, str]]:
    """The settings as names and readable values."""
    base = settings.time_base
    decoding = settings.decoding
    lines = [
        ("file", f"{name} ({size / 1e6:.1f} MB)"),
        ("source", settings.source + (f" at {settings.revision}" if settings.revision else "")),
        ("weights (SHA-256)", settings.weights_sha256 or "unknown: exported by others"),
        ("licence of the weights", settings.license),
        ("architecture", settings.architecture),
        ("graph, precision", f"{settings.graph}, {settings.precision}, right on {settings.cpus} CPUs"),
        ("input", f"{base.sample_rate} Hz mono, " + ("normalised per window" if settings.do_normalize else "not normalised")),
        ("output", f"{len(settings.labels)} speakers at once, one {settings.head} each ({', '.join(settings.labels)})"),
        ("voices", _voices(settings)),
        *([("clustering", _clustering(settings))] if settings.embedding_size else []),
        ("frames", f"one per {base.frame_step * 1000:g} ms, each from {base.receptive_field} samples"),
        (
            "windows",
            f"{settings.window_seconds:g} s overlapping by {settings.overlap_seconds:g} s; up to {settings.single_pass_seconds:g} s in one",
        ),
        (
            "decoding",
            (
                f"onset {decoding.onset:g}, offset {decoding.offset:g}, median {decoding.median_seconds:g} s, "
                f"gaps under {decoding.min_off:g} s filled, turns under {decoding.min_on:g} s dropped"
            ),
        ),
        ("batches", "a window's answer depends on it alone" if settings.batch_independent else "run one window at a time"),
    ]
    return [*lines, *_report(settings.verification)] if settings.verification else [*lines, ("verification", "none in the file")]


def _clustering(settings: ModelSettings) -> str:
    """How voices become people."""
    own = settings.clustering
    return (
        f"people more alike than {own.threshold:g} are one (0: different people, cosine {own.different:g}; 1: one person); "
        f"known above {own.known:g}; half a voice is heard in {own.half_seconds:g} s"
    )


def _voices(settings: ModelSettings) -> str:
    """What the file tells of each speaker's voice."""
    if not settings.embedding_size:
        return "none: speakers are told apart by where windows overlap"
    return f"{settings.embedding_size} numbers for each speaker, by {settings.speaker_source} ({settings.speaker_weights_sha256[:16]}...)"


def _report(report: Any, depth: int = 0, name: str = "verification") -> list[tuple[str, str]]:
    """The verification report, indented; long lists only by their length (``--json`` has them whole)."""
    indent = "  " * depth
    if isinstance(report, dict):
        return [(f"{indent}{name}", ""), *(line for key, value in report.items() for line in _report(value, depth + 1, key))]
    if isinstance(report, list) and any(isinstance(item, dict | list) for item in report):
        return [(f"{indent}{name}", f"{len(report)} entries, see --json")]
    if isinstance(report, list):
        return [(f"{indent}{name}", ", ".join(map(str, report)))]
    return [(f"{indent}{name}", _number(report) if isinstance(report, float) else str(report))]


def _number(value: float) -> str:
    """A short number, but with more digits where a few would make it 1: shares and cosines that are not."""
    short = f"{value:.3g}"
    return f"{value:.7g}" if short == "1" else short
