"""A report of accuracy in, a picture out: DER against speed, a panel for each set; down and left is better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from times import timing

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = ("#d62728", "#ff9896", "#1f77b4", "#aec7e8", "#17becf", "#2ca02c", "#9467bd", "#8c564b", "#c49c94", "#7f7f7f")
MARKERS = "o^sDvP*Xph"
TICKS = (0.00001, 0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds per second of audio that are written below the axis."""


def draw(content: dict[str, Any], path: Path) -> None:
    """Write the picture (PNG). Needs matplotlib."""
    from matplotlib.figure import Figure

    sets, own = content["sets"], content["contenders"][0]
    names = [one for one in content["contenders"] if content["timed_as"][one] in content["times"]["seconds"]]
    speed = {one: timing(content["timed_as"][one], own, content["times"])["seconds_per_second"] for one in names}
    columns = min(3, len(sets))
    rows = -(-len(sets) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows + 1.5), layout="constrained")
    for number, (name, part) in enumerate(sets.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
        for index, one in enumerate(names):
            if one not in part["contenders"]:
                continue
            der = 100 * part["contenders"][one]["collars"]["0"]["der"]
            look = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
            axes.scatter(speed[one], der, s=70, label=one if number == 1 else None, zorder=3, **look)
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.set_xticks([], minor=True)
        axes.set_xlim(min(speed.values(), default=1.0) / 1.5, max(speed.values(), default=1.0) * 1.5)
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.set_title(f"{name} ({part['recordings']} recordings)")
        axes.set_xlabel("seconds per second of audio")
        axes.set_ylabel("DER %, no collar, overlap scored")
        axes.grid(visible=True, which="both", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    figure.savefig(aside, format="png", dpi=90)
    aside.replace(path)
