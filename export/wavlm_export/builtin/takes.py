"""Voices in, takes out: a few seconds of one person each, and what is known of every 20 ms of it, kept on disk to be heard many times.

A take knows who speaks and how (a voice at any speed and with any length of the vocal tract), when, by the labels of the clips and by a
checkpoint that has heard it without noise, and what a :class:`frame_teacher.FrameTeacher` makes of it, without noise too.
"""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import HOP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Recipe

SHARD = 250
"""Takes in a folder of arrays."""
AS_IT_IS, OWN_TRACT = 0.4, 0.5
"""How often a take keeps the speed of its voice, and how often the length of its vocal tract."""
LEAST_SPEECH = 0.4
"""Share of a take that has to be speech."""
SEED = 77
AT_ONCE = 10
"""Takes that the checkpoint hears at once."""


@dataclass(frozen=True)
class Take:
    """One person for a few seconds. One frame less than there are hops: the last one has no field of its own."""

    samples: NDArray[np.int16]
    """``[320 * hops]``."""
    speech: NDArray[np.bool_]
    """``[frames]``, by the labels of the clips."""
    likely: NDArray[np.float16]
    """``[frames]``, the probability that somebody speaks by the checkpoint of ``takes.labels``; the labels again without one."""
    early: NDArray[np.float16]
    """``[frames, 256]`` and"""
    late: NDArray[np.float16]
    """``[frames, 512]`` of the teacher."""


def make(recipe: Recipe, report: Callable[[str], None] = lambda _: None) -> Path:
    """Make the takes of ``recipe.takes`` that are not there yet, in as many processes as the training has workers; their folder.

    Raises :class:`OptionError` if there is no voice teacher of frames or no checkpoint for the labels.
    """
    from wavlm_export.builtin.frame_teacher import FrameTeacher

    FrameTeacher(recipe.data.voice_teacher)
    if recipe.takes.labels and not Path(recipe.takes.labels).is_dir():
        raise OptionError(f"There is no checkpoint {recipe.takes.labels}: set takes.labels to an sd folder, or to nothing.")
    folder = Path(recipe.takes.folder)
    folder.mkdir(parents=True, exist_ok=True)
    left = [number for number in range(-(-recipe.takes.count // SHARD)) if not (folder / f"{number:04d}").exists()]
    workers = min(recipe.training.workers, len(left))
    if workers < 2:
        _report((_shard(recipe, number) for number in left), report)
        return folder
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        _report(pool.map(_shard, [recipe] * len(left), left), report)
    return folder


def _report(shards: Iterable[str], report: Callable[[str], None]) -> None:
    for line in shards:
        report(line)


def _shard(recipe: Recipe, number: int) -> str:
    """Write one folder of takes, aside and then renamed; a line about it."""
    from wavlm_export.builtin import training
    from wavlm_export.builtin.frame_teacher import FrameTeacher

    settings, people = recipe.takes, training.cast(recipe)
    hops, random, teacher = round(settings.seconds * 50), np.random.default_rng([SEED, number]), FrameTeacher(recipe.data.voice_teacher)
    kept: dict[str, list[Any]] = {name: [] for name in ("samples", "speech", "early", "late", "made", "voices")}
    while len(kept["samples"]) < min(SHARD, settings.count - number * SHARD):
        voice, _, _ = people.made(people.draw(1, random)[0])
        speed = 1.0 if random.random() < AS_IT_IS else float(np.exp(random.uniform(*np.log(settings.speeds))))
        tract = 1.0 if random.random() < OWN_TRACT else float(np.exp(random.uniform(*np.log(settings.tracts))))
        said, talking = people.speak_as(voice, speed, tract, hops, random)
        if talking.mean() < LEAST_SPEECH:
            continue
        samples = (np.clip(said, -0.999, 0.999) * 32767).astype(np.int16)
        early, late = (one[: hops - 1].astype(np.float16) for one in teacher(samples.astype(np.float32) / np.float32(32768)))
        one = {"samples": samples, "speech": talking[: hops - 1], "early": early, "late": late}
        for name, value in (one | {"made": (speed, tract), "voices": voice.name}).items():
            kept[name].append(value)
    arrays = {name: np.array(values) for name, values in kept.items()}
    arrays["likely"] = _likely(recipe, arrays["samples"]) if settings.labels else arrays["speech"].astype(np.float16)
    folder = Path(settings.folder) / f"{number:04d}"
    aside = folder.with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for name, array in arrays.items():
        np.save(aside / f"{name}.npy", array)
    aside.rename(folder)
    labels, likely = (float(np.mean(arrays[name] > 0.5)) for name in ("speech", "likely"))
    return f"{folder}: {len(arrays['samples'])} takes, {labels:.0%} speech by the labels, {likely:.0%} by {settings.labels or 'them'}"


def _likely(recipe: Recipe, samples: NDArray[np.int16]) -> NDArray[np.float16]:
    """How likely somebody speaks ``[takes, frames]`` by the checkpoint of the labels: that any of its local speakers does."""
    import torch
    from transformers import WavLMForAudioFrameClassification

    from wavlm_export.builtin.conversations import TAIL

    torch.set_num_threads(1)
    activity = WavLMForAudioFrameClassification.from_pretrained(recipe.takes.labels).eval()
    found = []
    for first in range(0, len(samples), AT_ONCE):
        some = np.pad(samples[first : first + AT_ONCE].astype(np.float32) / 32768, ((0, 0), (0, TAIL)))
        with torch.inference_mode():
            silent = (1 - torch.sigmoid(activity(torch.from_numpy(some)).logits)).prod(dim=2)
        found.append((1 - silent).numpy())
    return np.concatenate(found)[:, : samples.shape[1] // HOP - 1].astype(np.float16)


class Takes:
    """All takes of a folder, memory-mapped, by number."""

    def __init__(self, folder: str | Path) -> None:
        """Raises :class:`OptionError` if there are none."""
        shards = sorted(one for one in Path(folder).glob("[0-9]*") if one.suffix != ".part")
        if not shards:
            raise OptionError(f"There are no takes in {folder}: run takes first.")
        self._shards = [{name: np.load(one / f"{name}.npy", mmap_mode="r") for name in Take.__annotations__} for one in shards]
        counts = [len(one["samples"]) for one in self._shards]
        self._place = [(shard, number) for shard, count in enumerate(counts) for number in range(count)]
        self.voices: NDArray[np.str_] = np.concatenate([np.load(one / "voices.npy") for one in shards])
        """``[takes]``, the name of each one's voice,"""
        self.made: NDArray[np.float64] = np.concatenate([np.load(one / "made.npy") for one in shards])
        """and ``[takes, 2]``, its speed and its tract."""

    def __len__(self) -> int:
        """Number of takes."""
        return len(self._place)

    def __getitem__(self, number: int) -> Take:
        """The take of that number."""
        shard, row = self._place[number]
        return Take(**{name: array[row] for name, array in self._shards[shard].items()})

    @property
    def hops(self) -> int:
        """Hops of each, one more than its frames."""
        return int(self._shards[0]["samples"].shape[1]) // HOP
