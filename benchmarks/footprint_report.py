"""What the footprint benchmark measured in, the page and the picture for people out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from measuring import circumstances
from report import megabytes, table

if TYPE_CHECKING:
    from pathlib import Path

LEAST_IMPORTS = "import numpy, onnxruntime, soundfile"
START_SECONDS = 10
START_LEAST, START_AIM = 2.5, 1.8
"""The first turn comes after at most so many times the imports."""
MEMORY_LEAST, MEMORY_AIM = 700e6, 450e6
"""Bytes for 4 hours in full size, int8."""
START_NAMES = {
    "python": '`python -c "pass"`',
    "least": f'`python -c "{LEAST_IMPORTS}"`',
    "import": '`python -c "import wavlm_diarizer"`',
    "import_diarizer": '`python -c "from wavlm_diarizer import Diarizer"`',
    "help": "`wavlm-diarizer --help`",
    "first_turn": f"`wavlm-diarizer diarize` of {START_SECONDS} s, up to the first turn",
}


def markdown(content: dict[str, Any]) -> str:
    """The report for people, of the parts measured so far."""
    out = [circumstances(next(iter(content.values())))]
    for name, write in (("sizes", _sizes), ("starts", _starts)):
        if name in content:
            out.append(write(content[name]))
    if lines := curves(content):
        out.append(_memory(lines))
        out.append("![peak memory by the length of the recording](results/footprint_memory.png)\n")
    commands = "".join(
        f"- {name}: `{part['command']}`, load average before it {part['load_before']}. {part['note']}\n" for name, part in content.items()
    )
    return "\n".join([*out, commands])


def curves(content: dict[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    """What was measured of each model and list of options, by the recording's length in seconds."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for part, name in (("memory", "built-in model"), ("full-size", "full size, int8, random weights")):
        for one in content.get(part, {}).get("recordings", []):
            more = " ".join(option for option in one["options"] if option not in {"-m", "MODEL"})
            found.setdefault(name + (f", `{more}`" if more else ""), {})[one["seconds"]] = one
    return found


def duration(seconds: int) -> str:
    """Seconds as a person says them."""
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


STYLES = (("#c2410c", 6), ("#f59e0b", -14), ("#334155", 6), ("#0891b2", -14))
"""A line's colour, and how far above it, in points, its numbers stand."""


def draw(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw peak memory by the length of the recording."""
    lines = curves(content)
    if not lines:
        return []
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    lengths = sorted({seconds for line in lines.values() for seconds in line})
    for (name, line), (colour, offset) in zip(lines.items(), STYLES, strict=False):
        seconds = sorted(line)
        peaks = [line[one]["peak_bytes"] / 1e6 for one in seconds]
        axis.plot(seconds, peaks, marker="o", color=colour, label=name.replace("`", ""))
        for one, peak in zip(seconds, peaks, strict=True):
            axis.annotate(f"{peak:.0f}", (one, peak), textcoords="offset points", xytext=(0, offset), ha="center", fontsize=9, color=colour)
    axis.set_xscale("log")
    axis.set_xticks(lengths, [duration(one) for one in lengths])
    axis.minorticks_off()
    axis.set_ylim(0, 1.25 * max(one["peak_bytes"] for line in lines.values() for one in line.values()) / 1e6)
    axis.set_xlabel("length of the recording (logarithmic)")
    axis.set_ylabel("peak memory, MB")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    path = folder / "footprint_memory.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return [path]


def _sizes(part: dict[str, Any]) -> str:
    sizes = part["bytes"]
    own = sizes["environment"] - sizes["empty_environment"]
    rows = (
        ("wheel, with the built-in model", megabytes(sizes["wheel"])),
        ("the built-in model's file", megabytes(sizes["model"])),
        ("environment, with Python's own pip", megabytes(sizes["environment"])),
        (f"of that, the package and its dependencies ({', '.join(part['packages'])})", megabytes(own)),
    )
    return table(("size", "MB"), rows)


def _starts(part: dict[str, Any]) -> str:
    seconds, ratio = part["seconds"], part["first_turn_to_least"]
    rows = [
        (
            name,
            *(f"{seconds[key][which]:.3f}" for which in ("median", "least", "most")),
            f"{seconds[key]['median'] / seconds['least']['median']:.2f}",
        )
        for key, name in START_NAMES.items()
    ]
    return table(("start of a program, seconds", "median", "least", "most", "x the imports"), rows) + (
        f"\nFirst turn against the imports, round by round: **{ratio['median']:.2f} x** (median of {ratio['count']}; {ratio['least']:.2f} "
        f"to {ratio['most']:.2f}); wanted: at most {START_LEAST:g} x, aim {START_AIM:g} x.\n"
    )


def _memory(lines: dict[str, dict[int, dict[str, Any]]]) -> str:
    lengths = sorted({seconds for line in lines.values() for seconds in line})
    rows = [
        (name, *(megabytes(line[seconds]["peak_bytes"]) if seconds in line else "" for seconds in lengths)) for name, line in lines.items()
    ]
    wanted = f"Wanted in full size for 4 hours: at most {megabytes(MEMORY_LEAST)} MB, aim {megabytes(MEMORY_AIM)} MB.\n"
    return table(("peak memory, MB, by the recording's length", *map(duration, lengths)), rows) + "\n" + wanted
