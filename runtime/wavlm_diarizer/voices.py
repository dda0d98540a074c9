"""Known people's voices: a small file of names and embeddings, and which speaker of a recording is which of them.

In: embeddings of a model with a speaker head. Out: :class:`Voices`, to be saved, loaded and matched. Embeddings of different models have
nothing to do with each other, so the file is keyed by the SHA-256 of the weights that they come from; all files that were made from one
checkpoint (fp32, int8, any graph) share it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.errors import VoicesError
from wavlm_diarizer.speakers import assign
from wavlm_diarizer.turns import clean_name
from wavlm_diarizer.writing import write_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.settings import ModelSettings

KIND = "wavlm-diarizer voices"
"""The value of ``format``, by which such a file is known."""
VERSION = 1
"""The value of ``version``; it grows when a reader of the version before would misunderstand the file."""
DECIMALS = 6
"""Of the embeddings in a file: far below what int8 changes in them."""
_UNKNOWN = re.compile(r"(CH\d+_)?SPEAKER_\d+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class Voice:
    """One known person. Raises :class:`VoicesError` for a name or an embedding without sense."""

    name: str
    """One line, without ``=`` and unlike ``SPEAKER_00``, which is for the unknown."""
    embedding: NDArray[np.float32]
    """``[dim]``, of length 1, read-only."""
    seconds: float
    """Seconds of speech that it was computed from."""

    def __post_init__(self) -> None:
        check_name(self.name)
        vector = np.array(self.embedding, dtype=np.float64)
        length = float(np.linalg.norm(vector))
        if vector.ndim != 1 or not math.isfinite(length) or length == 0.0:
            raise VoicesError(f"The voice of {self.name} must be a list of finite numbers that are not all zero.")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise VoicesError(f"The voice of {self.name} must come from some seconds of speech, not {self.seconds}.")
        vector = (vector / length).astype(np.float32)
        vector.setflags(write=False)
        object.__setattr__(self, "embedding", vector)


@dataclass(frozen=True, eq=False)
class Voices:
    """The voices of several people by one model. Made by :meth:`wavlm_diarizer.Diarizer.enroll` or :meth:`load`.

    Raises :class:`VoicesError` if two have one name or embeddings differ in size.
    """

    people: tuple[Voice, ...]
    """In the order in which they were enrolled."""
    weights_sha256: str
    """SHA-256 of the source weights of the model's logits, which decide which frames a voice is taken from."""
    speaker_weights_sha256: str
    """SHA-256 of the source weights of its speaker head."""

    def __post_init__(self) -> None:
        names = [voice.name for voice in self.people]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise VoicesError(f"{twice} is there twice: one voice for each name; put the clips of one person into one file.")
        if len({len(voice.embedding) for voice in self.people}) > 1:
            raise VoicesError("The voices' embeddings are not all of one size, so they cannot be of one model.")

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody's name."""
        return tuple(voice.name for voice in self.people)

    def check_model(self, settings: ModelSettings, model: str) -> None:
        """Raise :class:`VoicesError` unless these voices are of the checkpoints that a model file was made from."""
        if not settings.embedding_size:
            raise VoicesError(f"{model} knows no voices: use a file that was exported with --speaker-model.")
        own = (settings.weights_sha256, settings.speaker_weights_sha256)
        sizes = {len(voice.embedding) for voice in self.people}
        if (self.weights_sha256, self.speaker_weights_sha256) != own or sizes - {settings.embedding_size}:
            raise VoicesError(f"These voices were enrolled with another model than {model}: enroll them again with this one.")

    def match(
        self, embeddings: NDArray[np.floating[Any]], seconds: Sequence[float], settings: ModelSettings
    ) -> dict[int, tuple[str, float]]:
        """Who of a recording's speakers is known: by the speaker's index the name and the similarity.

        ``embeddings [speakers, dim]`` (zeros: never heard alone) were heard over so many ``seconds`` each. The similarity is the cosine on
        the model's scale, 0 for different people on average and 1 for one person, corrected for what little speech blurs. Speakers and
        names are matched one to one, so that the sum of what similarities are above ``settings.clustering.known`` is highest.
        """
        if not self.people or not len(embeddings):
            return {}
        scale = settings.clustering
        known = np.stack([voice.embedding for voice in self.people])
        certain = scale.certainty(np.array(seconds))[:, None] * scale.certainty(np.array([voice.seconds for voice in self.people]))
        alike = scale.likeness(similarity(embeddings, known)) / np.maximum(certain, 1e-3)
        alike = np.where(np.any(embeddings, axis=1, keepdims=True), np.minimum(alike, 1.0), -1.0)
        gain = np.maximum(alike - scale.known, 0.0)
        # Nobody's best match is beyond their first so many names, as that many speakers are all there are to take them.
        columns = np.unique(np.argsort(-gain, axis=1, kind="stable")[:, : len(gain)])
        square = np.zeros((max(len(gain), len(columns)),) * 2)
        square[: len(gain), : len(columns)] = gain[:, columns]
        chosen = assign(square)[: len(gain)]
        return {
            speaker: (self.people[columns[column]].name, float(alike[speaker, columns[column]]))
            for speaker, column in enumerate(chosen)
            if column < len(columns) and gain[speaker, columns[column]] > 0
        }

    def recognise(self, result: Diarization, settings: ModelSettings) -> Diarization:
        """A result with the names of those whose voices are known; everybody else keeps theirs."""
        if result.embeddings is None:
            return result
        seconds = result.speaking_time()
        found = self.match(result.embeddings, [seconds[speaker] for speaker in result.speakers], settings)
        renamed = result.rename({result.speakers[index]: name for index, (name, _) in found.items()})
        return renamed.recognised(dict(found.values()))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the voices as JSON, aside and renamed. Raises :class:`OutputError`."""
        entries = []
        for voice in self.people:
            numbers = [round(float(value), DECIMALS) for value in voice.embedding]
            entries.append({"name": voice.name, "seconds": round(voice.seconds, 3), "embedding": numbers})
        head = {
            "format": KIND,
            "version": VERSION,
            "weights_sha256": self.weights_sha256,
            "speaker_weights_sha256": self.speaker_weights_sha256,
        }
        lines = [f'  "{key}": {json.dumps(value)}' for key, value in head.items()]
        people = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
        write_file(path, ("{\n" + ",\n".join([*lines, f'  "voices": [\n{people}\n  ]']) + "\n}\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Voices:
        """Read the voices of a file. Raises :class:`VoicesError` for anything but a voices file of this or an older version."""
        try:
            return _read(json.loads(Path(path).expanduser().read_bytes()))
        except FileNotFoundError as error:
            raise VoicesError(f"There is no file {path}: make it with 'wavlm-diarizer enroll NAME=clip.wav -o {path}'.") from error
        except OSError as error:
            raise VoicesError(f"{path} cannot be read: {error.strerror}.") from error
        except VoicesError as error:
            raise VoicesError(f"{path}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise VoicesError(f"{path} is not JSON, so it is no voices file: make one with 'wavlm-diarizer enroll'.") from error


def check_name(name: str) -> None:
    """Raise :class:`VoicesError` unless somebody can be called ``name`` in every format and on the command line."""
    if not isinstance(name, str) or not name or clean_name(name) != name or "=" in name:
        raise VoicesError(f"A name is one line of text without '=' and without blanks at its ends, not {name!r}.")
    if _UNKNOWN.fullmatch(name):
        raise VoicesError(f"{name} is what an unknown speaker is called: choose another name.")


def similarity(left: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """The cosines ``[..., n]`` of embeddings ``[..., dim]`` with ``[n, dim]``, or with one ``[dim]``; 0 where one of them is all zeros."""
    one, other = (np.asarray(side, dtype=np.float64) for side in (left, right))
    lengths = np.linalg.norm(one, axis=-1)[..., None] * np.linalg.norm(np.atleast_2d(other), axis=-1)
    products = one @ np.atleast_2d(other).T
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.asarray(cosines[..., 0] if other.ndim == 1 else cosines)


def _read(document: Any) -> Voices:
    if not isinstance(document, dict) or document.get("format") != KIND:
        raise VoicesError("it is JSON, but no voices file: make one with 'wavlm-diarizer enroll'.")
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise VoicesError("it has no version: enroll the voices again.")
    if version > VERSION:
        raise VoicesError(f"it has version {version}, and this program reads up to {VERSION}: update wavlm-diarizer.")
    keys = [document.get(key) for key in ("weights_sha256", "speaker_weights_sha256")]
    if not all(isinstance(key, str) and _SHA256.fullmatch(key) for key in keys):
        raise VoicesError("it does not say which model its voices are of: enroll them again.")
    entries = document.get("voices")
    if not isinstance(entries, list):
        raise VoicesError("its voices are no list: enroll them again.")
    return Voices(tuple(_voices(entries)), str(keys[0]), str(keys[1]))


def _voices(entries: list[Any]) -> Iterable[Voice]:
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("embedding"), list):
            raise VoicesError(f"voice {number} has no embedding: enroll the voices again.")
        try:
            yield Voice(entry.get("name", ""), np.array(entry["embedding"], dtype=np.float64), float(entry.get("seconds", math.nan)))
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, VoicesError):
                raise
            raise VoicesError(f"voice {number} is not made of numbers: enroll the voices again.") from error
