"""Turns and the words of a speech recogniser in, every word with its speaker out.

Understood are the word lists of whisper, faster-whisper, whisperX and transformers' pipelines, as objects or as their JSON.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.turns import segments

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization

NEAREST_SECONDS = 0.5
"""A word that touches no turn belongs to the nearest turn within this: recognisers place words a little before or after their sound."""
LONGEST_LINE = 84
"""Characters of one subtitle, two lines of 42 as broadcasters have them."""
LONGEST_PAUSE = 1.0
"""A pause of a speaker longer than this many seconds begins a new utterance."""


@dataclass(frozen=True)
class Word:
    """One recognised word."""

    text: str
    start: float | None
    """Seconds from the recording's start; ``None`` where the recogniser gives no times."""
    end: float | None
    speaker: str | None = None
    """Who says it; ``None`` if nobody was found."""


@dataclass(frozen=True)
class Utterance:
    """Words of one speaker that follow each other."""

    start: float
    end: float
    speaker: str | None
    text: str


def assign_words(diarization: Diarization, words: Any, *, nearest: float = NEAREST_SECONDS) -> tuple[Word, ...]:
    """Give every word to a speaker.

    ``words``: what a recogniser gives: a list of words (mappings or objects with ``word`` or ``text``, ``start`` and ``end``), a list of
    segments that hold ``words``, or a whole result with ``segments`` or ``chunks``; segments without words count as one long word.

    - A word belongs to whoever speaks during most of it.
    - If several speak equally long, to the one of them who has the word before; else to who began the turn earlier, else to who comes
      first in ``speakers``.
    - A word in a pause belongs to the nearest turn that is at most ``nearest`` seconds away, else to nobody (``None``).
    - A word without times belongs to whom the word before belongs, at the beginning to whom the first word with times does.

    Raises :class:`FormatError` for what is not a word list.
    """
    found = read_words(words)
    speech = _Speech(diarization)
    assigned: list[Word] = []
    before: str | None = None
    for word in found:
        if word.start is not None and word.end is not None:
            before = speech.speaker(word.start, word.end, before, nearest)
        assigned.append(replace(word, speaker=before))
    first = next((word.speaker for word in assigned if word.start is not None and word.end is not None), None)
    for index, word in enumerate(assigned):
        if word.start is not None and word.end is not None:
            break
        assigned[index] = replace(word, speaker=first)
    return tuple(assigned)


def speaker_at(diarization: Diarization, start: float, end: float | None = None) -> str | None:
    """Who speaks most between ``start`` and ``end`` seconds, or at the moment ``start``; ``None`` if nobody does.

    Ties go to who began to speak earlier, then to who comes first in ``speakers``.
    """
    return _Speech(diarization).speaker(start, start if end is None else end, None, 0.0)


def utterances(words: Iterable[Word], *, longest: int = LONGEST_LINE) -> tuple[Utterance, ...]:
    """Join words into utterances of one speaker, at most ``longest`` characters each where a word allows it, for subtitles and text.

    Words without times stand where the words around them put them.
    """
    joined: list[Utterance] = []
    for word in words:
        text = word.text.strip()
        if not text:
            continue
        last = joined[-1] if joined else None
        start = word.start if word.start is not None else last.end if last else 0.0
        end = max(start, word.end) if word.end is not None else start
        fits = last is not None and last.speaker == word.speaker and start - last.end <= LONGEST_PAUSE
        if last is not None and fits and len(last.text) + 1 + len(text) <= longest:
            joined[-1] = Utterance(last.start, max(last.end, end), last.speaker, f"{last.text} {text}")
        else:
            joined.append(Utterance(start, end, word.speaker, text))
    return tuple(joined)


def read_words(words: Any) -> list[Word]:
    """The words of a recogniser's result, in its order. Raises :class:`FormatError`."""
    items = words
    for key in ("segments", "chunks", "word_segments", "words"):
        inner = _field(words, key)
        if inner is not None:
            items = inner
            break
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise FormatError("A word list was expected: words, or segments with words, as a speech recogniser gives them.")
    found: list[Word] = []
    for index, item in enumerate(items):
        inner = _field(item, "words")
        if inner:
            found += [_word(one, f"word {number} of segment {index}") for number, one in enumerate(inner)]
        else:
            found.append(_word(item, f"item {index}"))
    return found


def _field(item: Any, name: str) -> Any:
    """A value by name, of a mapping or of an object; ``None`` if there is none."""
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def _word(item: Any, place: str) -> Word:
    """One word. Raises :class:`FormatError` that names its place."""
    text = next((value for name in ("word", "text", "punctuated_word") if isinstance(value := _field(item, name), str)), None)
    if text is None:
        raise FormatError(f"{place}: a word has a text named word or text.")
    stamp = _field(item, "timestamp")
    pair = stamp if isinstance(stamp, list | tuple) and len(stamp) == 2 else (_field(item, "start"), _field(item, "end"))
    start, end = (_seconds(value, place) for value in pair)
    if start is not None and end is None:
        end = start
    if start is not None and end is not None and end < start:
        raise FormatError(f"{place}: {text.strip()!r} ends before it starts.")
    return Word(text, start, end)


def _seconds(value: Any, place: str) -> float | None:
    """A time in seconds, or none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FormatError(f"{place}: times are numbers of seconds, not {value!r}.")
    return float(value)


class _Speech:
    """The stretches of a result in which the same people speak, made to be asked often."""

    def __init__(self, diarization: Diarization) -> None:
        self._order = {speaker: index for index, speaker in enumerate(diarization.speakers)}
        self._stretches = list(segments(diarization.turns, diarization.speakers))
        self._starts = [stretch.start for stretch in self._stretches]
        self._turn_starts: dict[str, list[float]] = {speaker: [] for speaker in diarization.speakers}
        for turn in diarization.turns:
            self._turn_starts[turn.speaker].append(turn.start)

    def speaker(self, start: float, end: float, before: str | None, nearest: float) -> str | None:
        """Who speaks from ``start`` to ``end``, by the rules of :func:`assign_words`."""
        shares = self._shares(start, end) or self._around(start, end, nearest)
        if not shares:
            return None
        most = max(shares.values())
        # Sums of the same seconds in another order differ in their last bits: that is a tie.
        tied = [speaker for speaker, share in shares.items() if share >= most - 1e-9]
        return before if before in tied else min(tied, key=lambda speaker: (self._began(speaker, end), self._order[speaker]))

    def _shares(self, start: float, end: float) -> dict[str, float]:
        """Seconds of ``start`` to ``end`` in which each person speaks; a moment has no length, and counts as one second of who speaks."""
        shares: dict[str, float] = {}
        index = max(0, bisect_right(self._starts, start) - 1)
        for stretch in self._stretches[index:]:
            if stretch.start > end or (stretch.start == end and end > start):
                break
            inside = stretch.start <= start < stretch.end if start == end else min(end, stretch.end) > max(start, stretch.start)
            if inside:
                for speaker in stretch.speakers:
                    share = 1.0 if start == end else min(end, stretch.end) - max(start, stretch.start)
                    shares[speaker] = shares.get(speaker, 0.0) + share
        return shares

    def _around(self, start: float, end: float, nearest: float) -> dict[str, float]:
        """The nearest people within ``nearest`` seconds of a pause, with minus their distance."""
        index = bisect_right(self._starts, start)
        close: dict[str, float] = {}
        for stretch in self._stretches[max(0, index - 1) : index + 1]:
            distance = max(stretch.start - end, start - stretch.end, 0.0)
            if 0.0 < nearest >= distance:
                for speaker in stretch.speakers:
                    close[speaker] = max(close.get(speaker, -math.inf), -distance)
        return close

    def _began(self, speaker: str, moment: float) -> float:
        """When the speaker's turn at ``moment`` began, or the first one after."""
        starts = self._turn_starts[speaker]
        return starts[max(0, bisect_right(starts, moment) - 1)]
