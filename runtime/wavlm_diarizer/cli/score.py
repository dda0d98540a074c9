"""Score results against references: the diarization error rate with its parts, and the count of speakers, by pyannote.metrics.

REFERENCE and HYPOTHESIS are RTTM files or folders of them; recordings are matched by the names in the files, unless each side is one file
with one recording. A file without turns is a recording, named as the file, in which nobody speaks. A recording without a hypothesis is
scored as all missed, with a remark and exit code 1.
Needs the score extra: pip install 'wavlm-diarizer[score]'.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.scoring import Policy, Score

HEADER = ("recording", "DER %", "missed", "false alarm", "confusion", "JER %", "speakers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer score``."""
    parser.add_argument("reference", metavar="REFERENCE", help="RTTM file or folder: the truth")
    parser.add_argument("hypothesis", metavar="HYPOTHESIS", help="RTTM file or folder: what is scored")
    parser.add_argument("--uem", metavar="FILE", help="score only these stretches (NIST's UEM); default: everything in either RTTM")
    parser.add_argument(
        "--collar",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="leave out so much around each boundary of the reference, half on each side (NIST counts one side); default: 0",
    )
    parser.add_argument("--skip-overlap", action="store_true", help="leave out where the reference has two or more speakers at once")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Score every recording and print the rates; 1 if a recording had no hypothesis or none of the UEM."""
    from wavlm_diarizer import uem
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.scoring import Policy, score, total

    policy = Policy(arguments.collar, arguments.skip_overlap)
    references, hypotheses = read(arguments.reference), read(arguments.hypothesis)
    stretches = None if arguments.uem is None else uem.load(arguments.uem)
    # Whoever compares one file with one other means these two, whatever the recordings are called.
    if len(references) == len(hypotheses) == 1 and Path(arguments.reference).is_file() and Path(arguments.hypothesis).is_file():
        hypotheses = dict(zip(references, hypotheses.values(), strict=True))
    names = list(references) if stretches is None else list(stretches)
    absent = [name for name in names if name not in hypotheses]
    unmapped = [] if stretches is None else [name for name in references if name not in stretches]
    unknown = [name for name in hypotheses if name not in references and (stretches is None or name not in stretches)]
    for problem, concerned in (
        ("no hypothesis, scored as all missed", absent),
        ("not in the UEM, not scored", unmapped),
        ("no reference, left out", unknown),
    ):
        if concerned:
            _say(f"{problem}: {_some(concerned)}")
    scores = [
        score(
            references.get(name, Diarization((), name=name)),
            hypotheses.get(name, Diarization((), name=name)),
            policy=policy,
            uem=None if stretches is None else stretches[name],
        )
        for name in names
    ]
    sys.stdout.write(as_json(scores, total(scores), policy) if arguments.json else table(scores, total(scores), policy))
    return 1 if absent or unmapped else 0


def read(path: str) -> dict[str, Diarization]:
    """The recordings of an RTTM file, or of all below a folder, by their names.

    Raises :class:`FormatError` for a folder without RTTM files and for a recording that is in two files.
    """
    from wavlm_diarizer import formats
    from wavlm_diarizer.diarization import Diarization

    folder = Path(path).expanduser()
    files = sorted(folder.rglob("*.rttm")) if folder.is_dir() else [folder]
    if not files:
        raise FormatError(f"The folder {folder} holds no .rttm files.")
    found: dict[str, Diarization] = {}
    origin: dict[str, Path] = {}
    for file in files:
        inside = formats.load_all(file, "rttm") or {file.stem: Diarization((), name=file.stem)}
        for name, diarization in inside.items():
            if name in found:
                raise FormatError(f"The recording {name} is in {origin[name]} and in {file}: leave one of them out.")
            found[name], origin[name] = diarization, file
    return found


def table(scores: Sequence[Score], whole: Score, policy: Policy) -> str:
    """The rates in per cent, a line per recording, the total, and what was scored."""
    rows = [HEADER, *(_row(one, f"{one.speakers} -> {one.found_speakers}") for one in scores)]
    rows.append(_row(whole, f"right in {whole.right_counts} of {whole.recordings}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(map(_pad, row, widths, range(len(HEADER)))) for row in rows]
    return "\n".join([*lines[:-1], "-" * len(lines[0]), lines[-1], f"Scored: {policy}.", ""])


def as_json(scores: Sequence[Score], whole: Score, policy: Policy) -> str:
    """The policy, the rates (as fractions) of every recording and the total."""
    content = {
        "policy": {"collar": policy.collar, "nist_collar": policy.nist_collar, "skip_overlap": policy.skip_overlap},
        "recordings": [one.as_dict() for one in scores],
        "total": whole.as_dict(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _row(one: Score, speakers: str) -> tuple[str, ...]:
    parts = (one.der, one.part(one.missed), one.part(one.false_alarm), one.part(one.confusion), one.jer)
    return (one.name, *(f"{100 * rate:.2f}" for rate in parts), speakers)


def _pad(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _say(remark: str) -> None:
    print(f"wavlm-diarizer: {remark}.", file=sys.stderr)  # noqa: T201
