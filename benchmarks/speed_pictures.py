"""What the speed benchmark measured in, pictures (PNG) out."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from speed_targets import undisturbed
from wavlm_diarizer.agreement import Limits

if TYPE_CHECKING:
    from pathlib import Path

SMALLEST_SHOWN = 1e-3
PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.9}
"""Behind numbers, so that no line runs through them."""
OWN_COLOUR, OTHER_COLOUR, FLOOR_COLOUR = "#c2410c", "#64748b", "#cbd5e1"
LINES = {
    "optimum_fp32": ("#334155", "--"),
    "dynamic_int8": ("#7c3aed", "--"),
    "openvino_default": ("#0891b2", "-."),
    "openvino_int8": ("#15803d", "-."),
    "own_fp32": ("#f59e0b", "-"),
    "own_int8": ("#c2410c", "-"),
}


def draw(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what the parts measured so far give."""
    import matplotlib as mpl

    mpl.use("Agg")
    drawn = []
    if "time" in content:
        drawn.append(_bars(content, folder / "speed.png"))
    if "scaling" in content:
        drawn.append(_lines(content["scaling"], folder / "speed_scaling.png"))
    return drawn


def _bars(content: dict[str, Any], path: Path) -> Path:
    """Time of each engine, the fastest on top, with its deviation from fp32 beside; and peak memory."""
    from matplotlib import pyplot as plt

    engines = content["time"]["engines"]
    answers, peaks = content.get("agreement", {}).get("engines", {}), content.get("memory", {}).get("peak_bytes", {})
    keys = sorted(engines, key=lambda key: median(undisturbed(engines[key])), reverse=True)
    colours = [OWN_COLOUR if key.startswith("own") else FLOOR_COLOUR if key.startswith("floor") else OTHER_COLOUR for key in keys]
    figure, axes = plt.subplots(1, 3, figsize=(13, 0.42 * len(keys) + 1.4), sharey=True, width_ratios=(3, 2, 2), layout="constrained")
    time, deviation, memory = axes
    middle = [1000 * median(undisturbed(engines[key])) for key in keys]
    spread = [
        [value - 1000 * min(undisturbed(engines[key])) for key, value in zip(keys, middle, strict=True)],
        [1000 * max(undisturbed(engines[key])) - value for key, value in zip(keys, middle, strict=True)],
    ]
    rows = range(len(keys))
    time.barh(rows, middle, xerr=spread, color=colours, error_kw={"ecolor": "#0f172a", "capsize": 2, "elinewidth": 0.8})
    time.set_yticks(rows, [engines[key]["name"] for key in keys])
    edge = max(value + more for value, more in zip(middle, spread[1], strict=True))
    for row, (value, more) in enumerate(zip(middle, spread[1], strict=True)):
        time.text(value + more + 0.01 * edge, row, f"{value:.0f}", va="center", fontsize=9)
    time.set_xlim(0, 1.1 * edge)
    time.set_title(f"ms for {content['time']['window_seconds']} s of audio, {content['time']['threads']} threads\n(median; least to most)")
    _numbers(deviation, [answers.get(key, {}).get("relative_rms") for key in keys], colours, "{:.3f}")
    deviation.set_xscale("log")
    deviation.set_xlim(SMALLEST_SHOWN, 10)
    deviation.axvline(Limits().relative_rms, color="#0f172a", linewidth=1, linestyle="--", zorder=2)
    deviation.set_title(f"deviation from fp32 on speech\n(relative RMS; dashed: guard, {Limits().relative_rms:g})")
    deviation.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    _numbers(memory, [peak / 1e6 if (peak := peaks.get(key, {}).get("10")) else None for key in keys], colours, "{:.0f}")
    memory.set_title("peak memory, MB\n(windows of 10 s)")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _numbers(axis: Any, values: list[float | None], colours: list[str], form: str) -> None:
    """Bars with their values; nothing where nothing was measured."""
    edge = max((value for value in values if value is not None), default=1.0) or 1.0
    axis.barh(range(len(values)), [value or 0.0 for value in values], color=colours)
    for row, value in enumerate(values):
        if value is not None:
            axis.text(max(1.03 * value, SMALLEST_SHOWN), row, f" {form.format(value)}", va="center", fontsize=9, zorder=3, bbox=PLAIN)
    axis.set_xlim(0, 1.2 * edge)


def _lines(part: dict[str, Any], path: Path) -> Path:
    """Time per second of audio over the window's length, one panel for each number of threads."""
    from matplotlib import pyplot as plt

    panels = dict(sorted(part["by_threads"].items()))
    figure, axes = plt.subplots(1, len(panels), figsize=(5.6 * len(panels) + 1, 4.6), squeeze=False, layout="constrained")
    for axis, (threads, lengths) in zip(axes[0], panels.items(), strict=True):
        seconds = [float(length) for length in lengths]
        for key, name in part["names"].items():
            if not all(key in found for found in lengths.values()):
                continue
            costs = [1000 * min(found[key]["seconds"]) / float(length) for length, found in lengths.items()]
            colour, style = LINES.get(key, (OTHER_COLOUR, "-"))
            width = 2.0 if key.startswith("own") else 1.4
            axis.plot(seconds, costs, color=colour, linestyle=style, marker="o", markersize=4, linewidth=width, label=name)
        axis.set_yscale("log")
        axis.set_xticks(seconds, [f"{value:g}" for value in seconds])
        _plain_ticks(axis)
        axis.set_xlabel("length of the window, s")
        axis.set_ylabel("ms per second of audio (least of rounds, log)")
        axis.set_title("1 thread" if threads == "1" else f"{threads} threads")
        axis.grid(which="both", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3 if len(panels) > 1 else 2, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _plain_ticks(axis: Any) -> None:
    """Numbers as people write them on a logarithmic axis."""
    from matplotlib import ticker

    low, high = axis.get_ylim()
    ticks = [value for value in (5, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400) if low <= value <= high]
    axis.yaxis.set_major_locator(ticker.FixedLocator(ticks))
    axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.yaxis.set_minor_locator(ticker.NullLocator())
