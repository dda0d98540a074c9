"""People in, the places of their voices in a teacher's speaker space out: what the student's embeddings are drawn towards.

A few dozen voices do not teach which voices are alike. A speaker embedder that was trained on many thousands of people knows; the
embeddings that it gives the people of the cast become the fixed centres of the student's own embedding space.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import RATE
from wavlm_export.builtin.voices import Cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PIECES, PIECE_FRAMES = 3, 150
"""From so many pieces of three seconds a person's place is found."""
MELS = 80


def centres(cast: Cast, teacher: str, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``[people, width]``: each person's mean embedding by the teacher, less the mean of all, of length 1; and that mean ``[width]``.

    ``teacher``: an ONNX file that takes ``[1, frames, 80]`` log-mel energies less their mean over time, as Kaldi computes them (CAM++ of
    3D-Speaker is one). ``cache``: the folder that keeps what was computed. Raises :class:`OptionError` if the teacher is not there.
    """
    path = Path(teacher)
    if not path.is_file():
        raise OptionError(f"There is no voice teacher {path}: set data.voice_teacher to an ONNX file, or to nothing.")
    kept = cache / f"people-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.npz"
    known = dict(np.load(kept)) if kept.exists() else {}
    # A place is that of the person as such, not of how they sounded some time: what is kept serves every recipe.
    cast = Cast(cast.voices, cast.speeds, cast.tracts)
    names = [_name(cast, person) for person in range(len(cast))]
    embed = None
    for person, name in enumerate(names):
        if name not in known:
            embed = embed or embedder(path)
            known[name] = _person(cast, person, embed)
    if embed is not None:
        aside = kept.with_suffix(".part.npz")
        np.savez(aside, **known)
        aside.replace(kept)
    every = np.stack([known[name] for name in names])
    middle = every.mean(axis=0)
    return _unit(every - middle).astype(np.float32), middle.astype(np.float32)


def _name(cast: Cast, person: int) -> str:
    """Under which a person is kept: of another length a voice is another one."""
    voice, speed, tract = cast.made(person)
    return f"{voice.name} {len(voice.samples)} {speed}" + (f" {tract}" if tract != 1.0 else "")


def _person(cast: Cast, person: int, embed: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of the embeddings ``[width]`` of some pieces, each of length 1."""
    random = np.random.default_rng([7, *_name(cast, person).encode()])
    pieces = [embed(cast.speak(person, PIECE_FRAMES, random)[0]) for _ in range(PIECES)]
    mean: NDArray[np.float32] = _unit(np.stack(pieces)).mean(axis=0)
    return mean


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[n, width]``, each of length 1."""
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


class Listener:
    """The teacher's place for a piece of speech, asked where conversations are simulated: on one thread, and opened there first."""

    def __init__(self, teacher: str | Path, middle: NDArray[np.float32]) -> None:
        """``middle``: the mean of the people's embeddings, the second answer of :func:`centres`."""
        self._teacher, self._middle = Path(teacher), middle
        self._embed: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None

    @property
    def width(self) -> int:
        """Numbers of a place."""
        return len(self._middle)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[width]``, of length 1, for ``[n]`` samples at 16 kHz."""
        self._embed = self._embed or embedder(self._teacher, threads=1)
        apart = _unit(self._embed(samples)[None])[0] - self._middle
        place: NDArray[np.float32] = _unit(apart[None])[0]
        return place


def embedder(path: Path, threads: int | None = None) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A function from samples ``[n]`` at 16 kHz to the teacher's embedding ``[width]``."""
    from wavlm_diarizer.sessions import open_session

    session = open_session(path, threads=threads)
    (wanted,) = session.get_inputs()

    def embed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        energies = log_mels(samples)
        (embedding,) = session.run(None, {wanted.name: (energies - energies.mean(axis=0))[None]})
        answer: NDArray[np.float32] = embedding[0]
        return answer

    return embed


def log_mels(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Kaldi's log-mel energies ``[frames, 80]``, every 10 ms, without dither."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = MELS
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(RATE, samples.astype(np.float32))
    bank.input_finished()
    return np.stack([bank.get_frame(frame) for frame in range(bank.num_frames_ready)]).astype(np.float32)
