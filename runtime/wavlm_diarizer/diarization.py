"""The answer to "who spoke when": an immutable :class:`Diarization`, and what can be asked of it.

In: :class:`Turn` objects, seconds, and optionally the probabilities per frame that they were decided from. It knows nothing of how they
were made; files are the business of :mod:`wavlm_diarizer.formats`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.errors import MissingExtraError, OptionError
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.turns import Segment, Stretch, Turn, clean_name, same_speakers, segments

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Diarization", "Segment", "Turn"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Diarization:
    """Who spoke when in one recording. Immutable; two are equal if their turns, durations and names are, whatever they were made from.

    ``Diarization(turns)`` is enough. Turns are sorted. ``duration`` is the end of the last turn unless given. ``speakers`` names the
    columns of ``activity`` and the rows of ``embeddings`` and is needed only with them; speakers without a turn are left out, and the
    others are brought into the order of their first turns. Raises :class:`OptionError` for what does not fit together: a turn that ends
    after ``duration``, a turn of somebody who is not in ``speakers``, an ``activity`` or ``embeddings`` of another shape.
    """

    turns: tuple[Turn, ...]
    """Ordered by start, end, speaker, channel. Turns of different speakers may overlap."""
    speakers: tuple[str, ...]
    """Everybody who has a turn, in the order of their first turns."""
    duration: float
    """Seconds of the recording, from 0 to at least the end of the last turn."""
    name: str
    """The recording's name, usually its file name without the ending; RTTM's file field."""
    activity: NDArray[np.float32] | None
    """Probabilities ``[frames, len(speakers)]`` that each speaker speaks, read-only; None if not known, as after reading a file."""
    embeddings: NDArray[np.float32] | None
    """The speakers' voices ``[len(speakers), dim]``, each of length 1 (zeros: never heard alone), read-only; None if not known. Their
    cosines say how alike two voices are, see :func:`wavlm_diarizer.voices.similarity`."""
    known: Mapping[str, float]
    """Those of ``speakers`` who were recognised by their voice, and how similar it is: 0 for different people on average, 1 for one."""
    time_base: TimeBase
    """What a row of ``activity`` stands for."""
    complete: bool
    """False if the recording turned out to be truncated, so that its end is missing here."""
    warnings: tuple[str, ...]
    """What the user should know about this result, a sentence each."""
    uncertain_joins: tuple[float, ...]
    """Seconds at which two windows met and their speakers could not be matched with confidence."""
    skipped_windows: int
    """Windows that the model was not asked about, because nobody can speak in them: their sound is steady, or there is none."""
    model: Mapping[str, Any] | None
    """What the model said of itself: source, sha256, precision; None where it is not known."""

    def __init__(
        self,
        turns: Iterable[Turn],
        *,
        duration: float | None = None,
        name: str = "audio",
        speakers: Iterable[str] | None = None,
        activity: ArrayLike | None = None,
        embeddings: ArrayLike | None = None,
        known: Mapping[str, float] | None = None,
        time_base: TimeBase | None = None,
        complete: bool = True,
        warnings: Iterable[str] = (),
        uncertain_joins: Iterable[float] = (),
        skipped_windows: int = 0,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        ordered = tuple(sorted(turns))
        last = max((turn.end for turn in ordered), default=0.0)
        duration = last if duration is None else float(duration)
        if not (math.isfinite(duration) and last <= duration):
            raise OptionError(f"The duration of {duration} s must be a finite number and reach the end of the last turn at {last} s.")
        order = tuple(dict.fromkeys(turn.speaker for turn in ordered))
        columns = order if speakers is None else tuple(clean_name(speaker) for speaker in speakers)
        missing = set(order) - set(columns)
        if missing or len(set(columns)) != len(columns):
            raise OptionError(f"speakers must name everybody who has a turn ({', '.join(order)}) once, not be {', '.join(columns)}.")
        values = {
            "turns": ordered,
            "speakers": order,
            "duration": duration,
            "name": clean_name(name) or "audio",
            "activity": None if activity is None else _read_only(activity, columns, order),
            "embeddings": None if embeddings is None else _read_only_rows(embeddings, columns, order),
            "known": MappingProxyType({name: float(value) for name, value in (known or {}).items() if name in order}),
            "time_base": time_base or TimeBase(),
            "complete": bool(complete),
            "warnings": tuple(clean_name(warning) for warning in warnings),
            "uncertain_joins": tuple(float(seconds) for seconds in uncertain_joins),
            "skipped_windows": int(skipped_windows),
            "model": None if model is None else MappingProxyType(dict(model)),
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)

    @property
    def confidences(self) -> tuple[float, ...] | None:
        """For each turn, in the order of ``turns``: the mean probability that its speaker speaks, from 0 to 1; None without ``activity``.

        The mean is over the turn's frames of ``activity``. It is low where windows disagree about who speaks, because their
        probabilities were averaged, and where the model itself is not sure.
        """
        if self.activity is None:
            return None
        if not len(self.activity):
            return (0.0,) * len(self.turns)
        column = {speaker: index for index, speaker in enumerate(self.speakers)}
        return tuple(
            float(self.activity[self._frames(turn.start, turn.end), column[turn.speaker]].mean(dtype=np.float64)) for turn in self.turns
        )

    def overlap(self) -> tuple[Segment, ...]:
        """Where two or more people speak at once: the longest stretches with the same speakers, in order of time."""
        return tuple(segment for segment in segments(self.turns, self.speakers) if len(segment.speakers) > 1)

    def speaking_time(self) -> dict[str, float]:
        """Seconds that each speaker speaks, in the order of ``speakers``; what two turns of one speaker share counts once."""
        parts: dict[str, list[float]] = {speaker: [] for speaker in self.speakers}
        for segment in segments(self.turns, self.speakers):
            for speaker in segment.speakers:
                parts[speaker].append(segment.duration)
        return {speaker: math.fsum(seconds) for speaker, seconds in parts.items()}

    def speaker_at(self, start: float, end: float | None = None) -> str | None:
        """Who speaks most between ``start`` and ``end`` seconds, or at the moment ``start``, as :mod:`wavlm_diarizer.words` defines it."""
        from wavlm_diarizer.words import speaker_at

        return speaker_at(self, start, end)

    def exclusive(self) -> Diarization:
        """The same speech with one speaker at a time, for programs that give every word to one person.

        Wherever the same two or more people speak at once, the whole stretch goes to one of them: the one with the highest mean
        ``activity`` on the stretch's frames; without ``activity``, or if that is a tie, to who was speaking right before (in this answer,
        with no pause between), else to who has the longest turn there, else to who comes first in ``speakers``. No moment of speech is
        lost or added, and the answer of an answer is itself.
        """
        pieces: list[tuple[float, float, Turn]] = []
        for group in same_speakers(self.turns):
            winner = self._holder(group, pieces)
            for start, end, active in group:
                own = [turn for turn in active if turn.speaker == winner]
                if pieces and pieces[-1][1] == start and pieces[-1][2] in own:
                    pieces[-1] = (pieces[-1][0], end, pieces[-1][2])
                else:
                    pieces.append((start, end, own[0]))
        return self._with(turns=(Turn(start, end, turn.speaker, turn.channel) for start, end, turn in pieces))

    def crop(self, start: float = 0.0, end: float | None = None) -> Diarization:
        """What is spoken from ``start`` to ``end`` seconds (None: to the end of the recording).

        Times stay those of the recording, as in pyannote.core, and so do ``duration`` and the rows of ``activity``; turns are cut at both
        ends. Raises :class:`OptionError` unless ``0 <= start < end``.
        """
        stop = max(self.duration, math.nextafter(start, math.inf)) if end is None else end
        if not 0.0 <= start < stop:
            raise OptionError(f"A crop needs 0 <= start < end in seconds, not start {start} and end {end}.")
        return self._with(
            turns=(
                Turn(max(turn.start, start), min(turn.end, stop), turn.speaker, turn.channel)
                for turn in self.turns
                if turn.start < stop and turn.end > start
            ),
            uncertain_joins=(seconds for seconds in self.uncertain_joins if start <= seconds < stop),
        )

    def rename(self, names: Mapping[str, str]) -> Diarization:
        """Speakers by other names; who is not in ``names`` keeps theirs.

        Two speakers who get the same name are one person from then on: their turns that overlap on one channel become one, their
        ``activity`` is the higher of the two, and their voice the mean of the two, weighted by speaking time. Raises :class:`OptionError`
        if ``names`` names nobody of this recording.
        """
        unknown = [name for name in names if name not in self.speakers]
        if unknown:
            raise OptionError(f"There is no speaker {', '.join(unknown)} in {self.name}; there is {', '.join(self.speakers) or 'nobody'}.")
        renamed = [clean_name(names.get(speaker, speaker)) for speaker in self.speakers]
        people = tuple(dict.fromkeys(renamed))
        new = dict(zip(self.speakers, renamed, strict=True))
        known: dict[str, float] = {}
        for speaker, value in self.known.items():
            known[new[speaker]] = max(value, known.get(new[speaker], value))
        turns = [Turn(turn.start, turn.end, new[turn.speaker], turn.channel) for turn in self.turns]
        if len(people) == len(renamed):
            return self._with(turns=turns, speakers=people, known=known)
        of_person = [[column for column, name in enumerate(renamed) if name == person] for person in people]
        activity = embeddings = None
        if self.activity is not None:
            activity = np.stack([self.activity[:, columns].max(axis=1) for columns in of_person], axis=1)
        if self.embeddings is not None:
            seconds = self.speaking_time()
            weights = np.array([seconds[speaker] for speaker in self.speakers])
            sums = np.stack([weights[rows] @ self.embeddings[rows] for rows in of_person])
            embeddings = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        return self._with(turns=_joined(turns), speakers=people, activity=activity, embeddings=embeddings, known=known)

    def recognised(self, known: Mapping[str, float]) -> Diarization:
        """The same with other similarities of those who were recognised by their voice, by their names in ``speakers``."""
        return self._with(known=known)

    def dumps(self, format: str = "rttm", *, embeddings: bool = False) -> str:  # noqa: A002 - the word for it, as in save
        """The result as the text of a file format; :data:`wavlm_diarizer.formats.FORMATS` lists them.

        ``embeddings``: with the speakers' voices, which are personal data, in JSON. Raises :class:`FormatError`.
        """
        from wavlm_diarizer import formats

        return formats.by_name(format).dumps(self, embeddings=embeddings)

    def save(self, path: str | os.PathLike[str], format: str | None = None, *, embeddings: bool = False) -> None:  # noqa: A002
        """Write the result; the path's ending chooses the format unless it is named. ``embeddings`` as for :meth:`dumps`.

        The file is written aside and renamed, so that nobody finds half of it; folders are not created. Raises :class:`FormatError` for a
        format or an ending that does not exist and :class:`OutputError` if the file cannot be written.
        """
        from wavlm_diarizer import formats

        formats.save(self, path, format, embeddings=embeddings)

    @classmethod
    def load(cls, path: str | os.PathLike[str], format: str | None = None, *, name: str | None = None) -> Diarization:  # noqa: A002
        """Read one recording's turns from a file; the path's ending tells the format unless it is named.

        ``name`` chooses among several recordings of an RTTM file; in the formats that hold no name it becomes the recording's, which
        otherwise is the file's. Raises :class:`FormatError`.
        """
        from wavlm_diarizer import formats

        return formats.load(path, format, name=name)

    def to_annotation(self) -> Any:
        """The turns as a ``pyannote.core.Annotation``, one track per turn. Raises :class:`MissingExtraError` without that package."""
        try:
            from pyannote import core
        except ImportError as error:
            raise MissingExtraError("to_annotation() needs pyannote.core; install it with: pip install 'wavlm-diarizer[score]'") from error
        annotation = core.Annotation(uri=self.name)
        for track, turn in enumerate(self.turns):
            annotation[core.Segment(turn.start, turn.end), track] = turn.speaker
        return annotation

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Diarization):
            return NotImplemented
        return (self.turns, self.duration, self.name) == (other.turns, other.duration, other.name)

    def __hash__(self) -> int:
        return hash((self.turns, self.duration, self.name))

    def __repr__(self) -> str:
        return f"<Diarization of {self.name}: {self._in_short()}>"

    def __str__(self) -> str:
        return f"{self.name}: {self._in_short()}\n{self.dumps('text')}".rstrip("\n")

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: an array and a mapping read by pickle alone would be writable again.
        fields = dict(vars(self))
        return _rebuild, (fields | {"model": None if self.model is None else dict(self.model), "known": dict(self.known)},)

    def _in_short(self) -> str:
        turns, people = len(self.turns), len(self.speakers)
        return f"{turns} turn{'s' * (turns != 1)}, {people} speaker{'s' * (people != 1)}, {self.duration:.3f} s"

    def _with(self, **changes: Any) -> Diarization:
        return Diarization(**(dict(vars(self)) | changes))

    def _holder(self, group: list[Stretch], pieces: list[tuple[float, float, Turn]]) -> str:
        """Who gets a stretch of the same speakers; ``pieces`` is what was given out before it. The rule is :meth:`exclusive`'s."""
        start, end = group[0][0], group[-1][1]
        longest: dict[str, float] = {}
        for turn in (turn for _, _, active in group for turn in active):
            longest[turn.speaker] = max(longest.get(turn.speaker, 0.0), turn.duration)
        before = pieces[-1][2].speaker if pieces and pieces[-1][1] == start else None
        mean = self._mean_activity(start, end) if len(longest) > 1 else None
        # min() takes the first of equals: who comes first in `speakers`.
        people = [speaker for speaker in self.speakers if speaker in longest]
        column = {speaker: index for index, speaker in enumerate(self.speakers)}
        return min(people, key=lambda who: (-mean[column[who]] if mean is not None else 0.0, who != before, -longest[who]))

    def _mean_activity(self, start: float, end: float) -> NDArray[np.float64] | None:
        """Mean probabilities ``[speakers]`` of the frames that stand for ``start`` to ``end`` seconds; None without frames."""
        if self.activity is None or len(self.activity) == 0:
            return None
        return np.asarray(self.activity[self._frames(start, end)].mean(axis=0, dtype=np.float64))

    def _frames(self, start: float, end: float) -> slice:
        """The rows of ``activity``, which has some, that stand for ``start`` to ``end`` seconds; at least one."""
        last = (0 if self.activity is None else len(self.activity)) - 1
        first = min(self.time_base.frame_at(self.time_base.samples(start)), last)
        return slice(first, min(max(first, self.time_base.frame_at(self.time_base.samples(end) - 1)), last) + 1)


def _rebuild(fields: dict[str, Any]) -> Diarization:
    return Diarization(**fields)


def _read_only(activity: ArrayLike, columns: tuple[str, ...], order: tuple[str, ...]) -> NDArray[np.float32]:
    """A read-only float32 copy with the columns of ``order``, which are some of ``columns``."""
    array = np.asarray(activity, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != len(columns):
        raise OptionError(f"activity must be [frames, {len(columns)}], a column for each speaker, not of shape {list(array.shape)}.")
    if not np.isfinite(array).all():
        raise OptionError("activity must be finite numbers.")
    array = np.ascontiguousarray(array[:, [columns.index(speaker) for speaker in order]])
    array.setflags(write=False)
    return array


def _read_only_rows(embeddings: ArrayLike, rows: tuple[str, ...], order: tuple[str, ...]) -> NDArray[np.float32]:
    """A read-only float32 copy with the rows of ``order``, which are some of ``rows``."""
    array = np.asarray(embeddings, dtype=np.float32)
    if array.ndim != 2 or array.shape[0] != len(rows):
        raise OptionError(f"embeddings must be [{len(rows)}, dim], a row for each speaker, not of shape {list(array.shape)}.")
    if not np.isfinite(array).all():
        raise OptionError("embeddings must be finite numbers.")
    array = array[[rows.index(speaker) for speaker in order]]
    array.setflags(write=False)
    return array


def _joined(turns: Iterable[Turn]) -> list[Turn]:
    """The turns, those of one speaker and channel that overlap made one."""
    joined: dict[tuple[str, int], list[Turn]] = {}
    for turn in sorted(turns):
        own = joined.setdefault((turn.speaker, turn.channel), [])
        if own and turn.start < own[-1].end:
            own[-1] = Turn(own[-1].start, max(own[-1].end, turn.end), turn.speaker, turn.channel)
        else:
            own.append(turn)
    return [turn for own in joined.values() for turn in own]
