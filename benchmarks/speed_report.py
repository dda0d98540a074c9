"""What the speed benchmark measured in, the page for people out."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from engines import BASE, OWN
from measuring import circumstances
from report import megabytes, table
from speed_targets import ratio, targets, undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterable

FLOORS = {"floor_fp32", "floor_int8"}


def markdown(content: dict[str, Any]) -> str:
    """The report for people, of the parts measured so far."""
    out = []
    for name, write in (("time", times), ("scaling", scaling)):
        if name in content:
            out.append(write(content))
    if targets(content):
        out.append("**Against what was wanted:**\n\n" + wanted(content))
    first = next(part for name in ("time", "agreement", "scaling", "memory") if (part := content.get(name)))
    return "\n".join([circumstances(first), *out, sources(content)])


def times(content: dict[str, Any]) -> str:
    """One row for each engine, the fastest first, the floors where they belong."""
    part = content["time"]
    engines, answers, peaks = (
        part["engines"],
        content.get("agreement", {}).get("engines", {}),
        content.get("memory", {}).get("peak_bytes", {}),
    )
    rows = []
    for key in sorted(engines, key=lambda key: median(undisturbed(engines[key]))):
        one = engines[key]
        seconds = undisturbed(one)
        middle = median(seconds)
        name = f"*{one['name']}*" if key in FLOORS else f"**{one['name']}**" if key.startswith("own") else one["name"]
        if one.get("precision") and key == "openvino_default":
            name += f" (chose {one['precision']})"
        rows.append(
            (
                name,
                f"{1000 * middle:.0f} ({1000 * min(seconds):.0f} to {1000 * max(seconds):.0f})",
                f"{middle / part['window_seconds']:.4f}",
                f"{median(one['cpu_seconds']) / part['window_seconds']:.3f}",
                _ratio(engines, BASE, key),
                *(("", "", "", "") if key in FLOORS else _costs(one, peaks.get(key, {}))),
                *(("", "") if key not in answers else (f"{answers[key]['relative_rms']:.3f}", f"{answers[key]['labels_equal']:.2%}")),
            )
        )
    header = (
        f"engine, windows of {part['window_seconds']} s, {part['threads']} threads",
        "ms a window (least to most)",
        "s per s of audio",
        "CPU s per s of audio",
        "x optimum fp32 (least to most)",
        "load, s",
        "file, MB",
        "peak memory, MB, 10 s",
        "30 s",
        "relative RMS from fp32",
        "labels as fp32",
    )
    rounds = len(engines[OWN]["seconds"]) if OWN in engines else len(next(iter(engines.values()))["seconds"])
    disturbed = sum(sum(one["disturbed"]) for one in engines.values())
    said = f"Medians of {rounds} rounds; "
    if disturbed:
        said += f"{disturbed} of {rounds * len(engines)} samples, taken while other programs were busy, "
        said += "count only where there are fewer than three others; "
    said += "the matrix products alone are a floor: nothing that computes them with the same library can be faster.\n"
    if "agreement" in content:
        checked = content["agreement"]
        said += (
            f"Deviation: logits of {checked['seconds']} s of real speech against torch fp32, relative root mean square with the mean over "
            "time removed; labels counted where fp32's probability is further than 0.05 from 0.5. The weights are random, so only the "
            "comparison of these figures means anything.\n"
        )
    return table(header, rows) + "\n" + said + "\n![time and deviation of each engine](results/speed.png)\n"


def scaling(content: dict[str, Any]) -> str:
    """Milliseconds per second of audio by the window's length, for each number of threads."""
    part = content["scaling"]
    rows = []
    for threads, lengths in sorted(part["by_threads"].items()):
        for key, name in part["names"].items():
            if not all(key in found for found in lengths.values()):
                continue
            costs = [min(found[key]["seconds"]) / float(seconds) for seconds, found in lengths.items()]
            rows.append((f"**{name}**" if key.startswith("own") else name, threads, *(f"{1000 * cost:.1f}" for cost in costs)))
    lengths = next(iter(part["by_threads"].values()))
    header = (
        "ms per second of audio, by the window's length, the least of the rounds",
        "threads",
        *(f"{seconds} s" for seconds in lengths),
    )
    return table(header, rows) + "\n![time by the length of the window](results/speed_scaling.png)\n"


def wanted(content: dict[str, Any]) -> str:
    """Each figure with what was wanted of it."""
    rows = []
    for target in targets(content):
        bound = "at most" if target.smaller else "at least"
        wish = ("", "") if target.least is None or target.aim is None else (f"{bound} {target.least:g}", f"{target.aim:g}")
        best = "" if target.at_best is None else f"{target.at_best:.2f}"
        rows.append((target.what, f"{target.figure:.2f}", best, *wish, target.verdict))
    return table(("figure", "median of rounds", "by the least times", "wanted", "aim", ""), rows)


def sources(content: dict[str, Any]) -> str:
    """Which command measured what, in which circumstances, with which versions."""
    lines = []
    for name in ("agreement", "time", "scaling", "memory"):
        if name in content:
            part = content[name]
            threads = "" if name == "scaling" else f"{part['threads']} threads, "
            lines.append(f"- {name}: `{part['command']}`, {threads}load average before it {part['load_before']}. {part['note']}\n")
            lines += [f"  {sentence}\n" for sentence in part["missing"]]
    versions: dict[str, str] = {}
    for one in content.get("time", {}).get("engines", {}).values():
        versions |= one["versions"]
    if versions:
        lines.append("- versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "\n")
    return "".join(lines)


def _ratio(engines: dict[str, Any], slower: str, faster: str) -> str:
    if slower not in engines:
        return ""
    found = ratio(engines[slower], engines[faster])
    return f"{found['median']:.2f} ({found['least']:.2f} to {found['most']:.2f})"


def _costs(one: dict[str, Any], peaks: dict[str, int]) -> Iterable[str]:
    """Load time, size of the file, and peak memory for both lengths of windows."""
    yield f"{one['load_seconds']:.1f}"
    yield megabytes(one["file_bytes"])
    for seconds in ("10", "30"):
        yield megabytes(peaks[seconds]) if seconds in peaks else ""
