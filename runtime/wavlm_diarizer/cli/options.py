"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_window_options(parser: argparse.ArgumentParser) -> None:
    """``--window``, ``--overlap`` and ``--single-pass``: how long recordings are cut."""
    group = parser.add_argument_group("windows (default: what the model file says)")
    group.add_argument("--window", type=float, metavar="SECONDS", help="length of one window")
    group.add_argument("--overlap", type=float, metavar="SECONDS", help="what neighbouring windows share, at most half a window")
    group.add_argument("--single-pass", type=float, metavar="SECONDS", help="recordings up to this length are one window")


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """The fields of :class:`wavlm_diarizer.decoding.Decoding`."""
    group = parser.add_argument_group("decoding (default: what the model file says)")
    group.add_argument("--onset", type=float, metavar="P", help="a turn begins where the probability rises above this")
    group.add_argument("--offset", type=float, metavar="P", help="a turn ends where the probability is no longer above this")
    group.add_argument("--median", type=float, metavar="SECONDS", help="width of the median filter over the probabilities")
    group.add_argument("--min-off", type=float, metavar="SECONDS", help="fill gaps of one speaker that are shorter")
    group.add_argument("--min-on", type=float, metavar="SECONDS", help="drop turns that are shorter")


def add_speaker_options(parser: argparse.ArgumentParser) -> None:
    """``--num-speakers``, ``--min-speakers`` and ``--max-speakers``: how many people there are."""
    group = parser.add_argument_group("speakers (default: as many as are found)")
    group.add_argument("--num-speakers", type=int, metavar="N", help="how many people speak (with --per-channel: on each channel)")
    group.add_argument("--min-speakers", type=int, metavar="N", help="at least so many")
    group.add_argument("--max-speakers", type=int, metavar="N", help="at most so many")


def decoding_given(arguments: argparse.Namespace) -> dict[str, float]:
    """The fields of a decoding that were given on the command line."""
    names = {"onset": "onset", "offset": "offset", "median": "median_seconds", "min_off": "min_off", "min_on": "min_on"}
    return {field: getattr(arguments, name) for name, field in names.items() if getattr(arguments, name) is not None}
