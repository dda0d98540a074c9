"""What the speed benchmark measured in, the figures that this project set itself out, each with what was reached."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from engines import BASE, OWN

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Target:
    """One figure, with what is wanted of it."""

    what: str
    figure: float
    least: float | None
    """What has to be reached; ``None``: only reported."""
    aim: float | None
    smaller: bool = False
    """Smaller is better."""
    at_best: float | None = None
    """The same from the least times of both engines, for figures that are ratios of times."""

    @property
    def verdict(self) -> str:
        """How far it was reached; by the least times too, where they say something else."""
        said = self._judged(self.figure)
        best = said if self.at_best is None else self._judged(self.at_best)
        return said if said == best else f"{said}; by the least times {best}"

    def _judged(self, figure: float) -> str:
        if self.least is None or self.aim is None:
            return "reported"
        sign = -1 if self.smaller else 1
        if sign * figure >= sign * self.aim:
            return "aim reached"
        return "reached" if sign * figure >= sign * self.least else "**missed**"


LEAST_ROUNDS = 3
"""So many undisturbed rounds make a median."""
FASTER = (
    ("int8, times as fast as optimum fp32", BASE, OWN, 2.0, 2.5),
    ("int8, times as fast as onnxruntime's dynamic int8", "dynamic_int8", OWN, 1.35, 1.7),
    ("int8, times as fast as OpenVINO as it comes", "openvino_default", OWN, 0.95, 1.2),
    ("int8, times as fast as OpenVINO with NNCF int8 + fp32", "openvino_int8", OWN, 0.75, 0.95),
    ("int8, times as fast as OpenVINO with NNCF int8, conv stack fp32", "openvino_int8_encoder", OWN, None, None),
    ("int8, times as fast as transformers + torch fp32 eager", "torch_fp32", OWN, None, None),
    ("int8, times as fast as transformers + torch bf16 eager", "torch_bf16", OWN, None, None),
    ("fp32, times as fast as optimum fp32", BASE, "own_fp32", 1.0, 1.08),
)
"""What, slower and faster engine, at least, aim."""


def undisturbed(one: Mapping[str, Any]) -> list[float]:
    """The seconds of the rounds in which an engine had the machine for itself; of all rounds if those are too few."""
    alone = [seconds for seconds, disturbed in zip(one["seconds"], one["disturbed"], strict=True) if not disturbed]
    return alone if len(alone) >= LEAST_ROUNDS else list(one["seconds"])


def ratio(slower: Mapping[str, Any], faster: Mapping[str, Any]) -> dict[str, float]:
    """How many times as long one engine took as the other, round by round: the median, the least and the most.

    Rounds in which one of them was disturbed count only if there are too few others.
    """
    pairs = list(zip(slower["seconds"], faster["seconds"], slower["disturbed"], faster["disturbed"], strict=True))
    alone = [pair for pair in pairs if not (pair[2] or pair[3])]
    pairs = alone if len(alone) >= LEAST_ROUNDS else pairs
    ratios = [one / other for one, other, *_ in pairs]
    return {"median": median(ratios), "least": min(ratios), "most": max(ratios)}


def at_best(slower: Mapping[str, Any], faster: Mapping[str, Any]) -> float:
    """How many times as long one engine took as the other in the best round of each: whatever else the machine does only adds time."""
    return float(min(slower["seconds"]) / min(faster["seconds"]))


def targets(content: dict[str, Any]) -> list[Target]:
    """All figures that the parts measured so far give."""
    found = []
    engines = content.get("time", {}).get("engines", {})
    for what, slower, faster, least, aim in FASTER:
        if slower in engines and faster in engines:
            one, other = engines[slower], engines[faster]
            found.append(Target(what, ratio(one, other)["median"], least, aim, at_best=at_best(one, other)))
    if {OWN, "floor_int8"} <= set(engines):
        one, other = engines[OWN], engines["floor_int8"]
        above = ratio(one, other)["median"]
        found.append(Target("int8, times as long as its matrix products alone", above, 1.6, 1.3, smaller=True, at_best=at_best(one, other)))
    answers = content.get("agreement", {}).get("engines", {})
    if {OWN, "openvino_int8"} <= set(answers):
        share = answers[OWN]["relative_rms"] / answers["openvino_int8"]["relative_rms"]
        found.append(
            Target("int8, deviation from fp32 as a share of that of OpenVINO with NNCF int8 + fp32", share, 1.0, 0.5, smaller=True)
        )
    peaks = content.get("memory", {}).get("peak_bytes", {})
    if {OWN, BASE} <= set(peaks):
        for seconds, peak in peaks[OWN].items():
            share = peak / peaks[BASE][seconds]
            found.append(Target(f"int8, share of optimum fp32's peak memory, windows of {seconds} s", share, 0.6, 0.4, smaller=True))
    return found
