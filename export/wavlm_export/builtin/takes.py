"""Packed voices and a teacher in, takes out: one person for some seconds, and where the teacher places just these seconds.

A person's one place (:mod:`voice_teacher`) says nothing about how the voice differs from sentence to sentence, and nothing lies between
the people of the training. A take has a speed of its own, and so a voice that no other take has, and a place of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import voices
from wavlm_export.builtin.config import HOP
from wavlm_export.builtin.voice_teacher import embedder
from wavlm_export.builtin.voices import Manner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Recipe
    from wavlm_export.builtin.voices import Voice

AT_ONCE = 500
"""Takes in a file: what an interrupted run makes again."""
AS_IT_IS = Manner()
SPREAD, FASTEST = 0.13, 1.33
"""Of the speeds: standard deviation of the logarithm, and the limit; the slowest is as much slower as this is faster."""


class Takes:
    """Takes as :class:`voices.People`: every take is one."""

    def __init__(self, samples: NDArray[np.int16], speech: NDArray[np.bool_], places: NDArray[np.float32]) -> None:
        """``[takes, n]``, ``[takes, n / 320]``, and ``[takes, width]``, of length 1."""
        self.samples, self.speech, self.places = samples, speech, places

    def __len__(self) -> int:
        """Number of takes."""
        return len(self.samples)

    def draw(self, count: int, random: np.random.Generator) -> list[int]:
        """``count`` different takes."""
        return [int(take) for take in random.choice(len(self), min(count, len(self)), replace=False)]

    def speak(
        self,
        person: int,
        frames: int,
        random: np.random.Generator,  # noqa: ARG002 - what a take says is settled
        manner: Manner = AS_IT_IS,  # noqa: ARG002
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The take as long as it is wanted, again and again if it is shorter: samples ``[320 * frames]``, speech ``[frames]``."""
        samples = np.resize(self.samples[person], frames * HOP).astype(np.float32) / np.float32(32768)
        return samples, np.resize(self.speech[person], frames)


def takes(recipe: Recipe, cast: Sequence[Voice], report: Callable[[str], None] = lambda _: None) -> Takes:
    """``training.takes`` takes of ``simulation.seconds`` from the voices, placed by ``data.voice_teacher``; kept in ``data.packed``.

    Made by ``training.threads`` processes. Raises :class:`OptionError` if there is no teacher.
    """
    teacher, folder = Path(recipe.data.voice_teacher), Path(recipe.data.packed) / "takes"
    if not teacher.is_file():
        raise OptionError(f"There is no voice teacher {teacher} to place takes: set data.voice_teacher to an ONNX file.")
    folder.mkdir(parents=True, exist_ok=True)
    frames = round(recipe.simulation.seconds * 50)
    made_of = json.dumps(
        [hashlib.sha256(teacher.read_bytes()).hexdigest(), frames, SPREAD, FASTEST, [(one.name, len(one.samples)) for one in cast]]
    )
    name = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    numbers = [range(first, min(first + AT_ONCE, recipe.training.takes)) for first in range(0, recipe.training.takes, AT_ONCE)]
    files = {folder / f"{name}-{some.start}-{some.stop}.npz": some for some in numbers}
    missing = {file: some for file, some in files.items() if not file.exists()}
    if missing:
        # Torch's own threads do not survive a fork.
        with ProcessPoolExecutor(recipe.training.threads, get_context("spawn"), _end_with_the_parent) as pool:
            names = [one.name for one in cast]
            jobs = [pool.submit(_make, recipe.data.packed, names, teacher, frames, some, file) for file, some in missing.items()]
            for done, job in enumerate(jobs, start=1):
                job.result()
                report(f"takes: {done} of {len(jobs)} files")
    parts = [np.load(file) for file in files]
    every = np.concatenate([part["places"] for part in parts])
    apart = every - every.mean(axis=0)
    places = (apart / np.linalg.norm(apart, axis=1, keepdims=True)).astype(np.float32)
    return Takes(np.concatenate([part["samples"] for part in parts]), np.concatenate([part["speech"] for part in parts]), places)


def _end_with_the_parent() -> None:
    """A worker of a pool whose parent was killed would wait for work for ever."""
    parent = parent_process()

    def end() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _make(packed: str, names: list[str], teacher: Path, frames: int, numbers: range, file: Path) -> None:
    """Write the takes of these numbers: each of them is always the same."""
    known = {voice.name: voice for voice in voices.load(packed)}
    cast, embed = voices.Cast([known[name] for name in names], (1.0,)), embedder(teacher, threads=1)
    kept: dict[str, list[Any]] = {"samples": [], "speech": [], "places": []}
    for take in numbers:
        random = np.random.default_rng([17, take])
        (voice,) = cast.draw(1, random)
        speed = float(np.exp(np.clip(random.normal(0.0, SPREAD), -np.log(FASTEST), np.log(FASTEST))))
        samples, speech = voices.spoken(cast.voices[voice], speed, frames, random)
        place = embed(samples)
        kept["samples"].append((np.clip(samples, -0.999, 0.999) * 32767).astype(np.int16))
        kept["speech"].append(speech)
        kept["places"].append(place / np.linalg.norm(place))
    aside = file.with_suffix(".part.npz")
    np.savez(aside, samples=np.stack(kept["samples"]), speech=np.stack(kept["speech"]), places=np.stack(kept["places"]))
    aside.replace(file)
