"""Voices in, who says what when out: a conversation as a stream of utterances in order of time.

One person has the floor and speaks a turn of one or more pieces; then the same one goes on after a pause, or somebody else takes over, a
moment later or a moment early. While a turn lasts, others cut in or say a word. How often they do is steered so that the share of
overlapped speech comes out as it is wanted.

Where the figures come from:

- From one speaker to the next: about 40 % of the intervals are overlaps (Heldner and Edlund, "Pauses, gaps and overlaps in conversations",
  Journal of Phonetics 38, 2010); their distribution is about normal with a median of +80 ms (Reece et al., "The CANDOR corpus", Science
  Advances 9, 2023). Both together make a standard deviation of 0.32 s.
- The length of an overlap is about log-normal (Laskowski, Heldner and Edlund, "On the dynamics of overlap in multi-party conversation",
  Interspeech 2012).
- Chosen by us, as what fits neither: how long turns are, how often somebody goes on, pauses within a turn, and how the wanted overlap is
  shared between cutting in and words in between.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from recordings.sound import RATE
from simulation.clips import MARGIN, STEP, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulation.clips import Voice


@dataclass(frozen=True)
class TurnTaking:
    """How people talk. Times in seconds."""

    overlap: float = 0.1
    """Wanted share of the time with speech in which two or more speak, up to about 0.25; 0: never, whatever the other figures say."""
    turn_seconds: float = 3.5
    """Mean of a turn's speech (gamma distribution of shape 1.5)."""
    goes_on: float = 0.25
    """Probability that the next turn is the same person's."""
    pause_seconds: float = 0.6
    """Mean pause of somebody who goes on (exponential)."""
    offset_seconds: float = 0.08
    offset_deviation: float = 0.32
    """From the end of a turn to the beginning of the next person's (normal); below 0 they overlap."""
    lull: float = 0.05
    """Probability that nobody takes over for a while."""
    lull_seconds: float = 2.0
    """Mean of such a while (exponential)."""
    within_seconds: float = 0.2
    """Mean pause between two pieces of one turn (exponential)."""
    cut_in: float = 0.5
    """As long as there is less overlap than is wanted: how often somebody takes over by cutting in."""
    word: float = 0.65
    """As long as there is less overlap than is wanted: how often somebody says a word, and another one, during a turn."""
    word_seconds: float = 1.0
    """Longest speech of a word in between."""
    overlap_seconds: float = 0.9
    overlap_spread: float = 0.6
    """How long before its end a turn is cut into: median and deviation of the logarithm (log-normal)."""
    evenness: float = 3.0
    """How evenly the speech is shared: the shape of the gamma distribution that each person's share is drawn from."""


@dataclass(frozen=True, order=True)
class Utterance:
    """A piece at its place in the recording."""

    start: int
    """Sample at which the piece begins (its speech begins ``piece.first`` later)."""
    number: int
    """Counts the utterances of a conversation."""
    person: int = field(compare=False)
    piece: Piece = field(compare=False)

    def spans(self) -> list[tuple[int, int]]:
        """Its speech, in samples of the recording."""
        return [(self.start + first, self.start + stop) for first, stop in self.piece.spans]


class Conversation:
    """An endless conversation of some voices. ``away``: stretches of samples in which a person does not take the floor."""

    def __init__(
        self,
        voices: Sequence[Voice],
        habits: TurnTaking,
        random: np.random.Generator,
        away: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        self._voices, self._habits, self._random, self._away = voices, habits, random, away or {}
        share = random.gamma(habits.evenness, size=len(voices)) + 0.2
        self._share = share / share.sum()
        self._free = [0] * len(voices)
        """The sample from which each person may begin to speak."""
        self._spoken: list[tuple[int, int]] = []
        """Recent speech, whoever's: nobody overlaps with himself."""
        self._once = self._twice = 0
        """Frames in which somebody speaks, and those in which two or more do."""
        self._count = 0

    def __iter__(self) -> Iterator[Utterance]:
        """The utterances in order of their start, without end."""
        habits, random = self._habits, self._random
        waiting: list[Utterance] = []
        person = int(random.choice(len(self._voices), p=self._share))
        speech_at = _samples(random.uniform(0.2, 1.0))
        while True:
            turn = self._turn(person, speech_at)
            begin, end = turn[0].start, turn[-1].start + turn[-1].piece.stop
            # Whatever is added from here on begins after this turn began, its margin included.
            earliest = begin + MARGIN + STEP
            waiting += turn
            if len(self._voices) > 1:
                waiting += self._words(person, earliest, end)
            self._spoken = [span for span in self._spoken if span[1] > begin]
            heapq.heapify(waiting)
            while waiting and waiting[0].start <= begin:
                yield heapq.heappop(waiting)
            following = self._next(person, end)
            if following == person:
                speech_at = end + _samples(random.exponential(habits.pause_seconds)) + STEP
            else:
                speech_at = self._taken_over(following, earliest, end)
            person = following

    @property
    def overlap(self) -> float:
        """The share of overlapped speech so far."""
        return self._twice / max(self._once, 1)

    def _turn(self, person: int, speech_at: int) -> list[Utterance]:
        """One turn, its speech beginning at the sample ``speech_at`` or as soon as the person can."""
        wanted = _samples(self._random.gamma(1.5, self._habits.turn_seconds / 1.5))
        turn: list[Utterance] = []
        at, spoken = speech_at, 0
        while not turn or spoken < wanted:
            piece = self._voices[person].next()
            turn.append(self._placed(person, piece, at))
            spoken += piece.stop - piece.first
            at = turn[-1].start + piece.stop + _samples(self._random.exponential(self._habits.within_seconds)) + STEP
        return turn

    def _words(self, holder: int, earliest: int, end: int) -> list[Utterance]:
        """What others say meanwhile without taking the floor."""
        habits, random = self._habits, self._random
        words: list[Utterance] = []
        while self.overlap < habits.overlap and random.random() < habits.word:
            person = self._next(holder, earliest, other=True)
            piece = _short(self._voices[person].next(), _samples(habits.word_seconds))
            length = piece.stop - piece.first
            first = max(earliest, self._free[person])
            if end - length <= first:
                break
            words.append(self._placed(person, piece, int(random.integers(first, end - length))))
        return words

    def _taken_over(self, person: int, earliest: int, end: int) -> int:
        """The sample at which somebody else's turn begins: about the ``end`` of the one before it, and not before ``earliest``."""
        habits, random = self._habits, self._random
        offset = random.normal(habits.offset_seconds, habits.offset_deviation)
        if random.random() < habits.lull:
            offset = random.exponential(habits.lull_seconds)
        elif self.overlap < habits.overlap and random.random() < habits.cut_in:
            offset = -habits.overlap_seconds * float(np.exp(random.normal(0, habits.overlap_spread)))
        if self.overlap >= habits.overlap:
            offset = abs(offset)
        earliest = max(earliest, self._free[person])
        if habits.overlap == 0:
            # Not even a word that lasts longer than the turn it was said in.
            earliest = max(earliest, *self._free)
        return max(end + _samples(offset), earliest)

    def _next(self, holder: int, at: int, *, other: bool = False) -> int:
        """Who has the next turn."""
        if len(self._voices) == 1 or (not other and self._random.random() < self._habits.goes_on):
            return holder
        share = self._share.copy()
        share[holder] = 0
        for person, (first, stop) in self._away.items():
            if first <= at < stop and np.count_nonzero(share) > 1:
                share[person] = 0
        return int(self._random.choice(len(share), p=share / share.sum()))

    def _placed(self, person: int, piece: Piece, speech_at: int) -> Utterance:
        """The piece at its place, on the grid of the frames, and all counts brought up to date."""
        start = max(-(-(max(speech_at, self._free[person]) - piece.first) // STEP) * STEP, 0)
        self._count += 1
        utterance = Utterance(start, self._count, person, piece)
        for first, stop in utterance.spans():
            others = [(max(one, first), min(other, stop)) for one, other in self._spoken if one < stop and other > first]
            speaking = np.zeros((stop - first) // STEP, dtype=int)
            for one, other in others:
                speaking[(one - first) // STEP : (other - first) // STEP] += 1
            self._once += int(np.count_nonzero(speaking == 0))
            self._twice += int(np.count_nonzero(speaking == 1))
            self._spoken.append((first, stop))
        self._free[person] = start + piece.stop + STEP
        return utterance


def independent(voices: Sequence[Voice], mean_pause: float, random: np.random.Generator) -> Iterator[Utterance]:
    """Everybody talks without regard for the others, as in LibriMix: utterances in order of their start, without end."""
    habits = TurnTaking(goes_on=1, pause_seconds=mean_pause, turn_seconds=0.1)
    return heapq.merge(*(_alone(person, voice, habits, random.spawn(1)[0]) for person, voice in enumerate(voices)))


def _alone(person: int, voice: Voice, habits: TurnTaking, random: np.random.Generator) -> Iterator[Utterance]:
    for utterance in Conversation([voice], habits, random):
        yield Utterance(utterance.start, utterance.number, person, utterance.piece)


def _short(piece: Piece, most: int) -> Piece:
    """The beginning of a piece, at most ``most`` samples of speech."""
    first, stop = piece.spans[0]
    if stop - first > most:
        stop = first + most // STEP * STEP
    samples = piece.samples[: stop + STEP].copy()
    fade = min(5 * STEP, len(samples))
    samples[len(samples) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Piece(samples, ((first, stop),))


def _samples(seconds: float) -> int:
    """On the grid of the frames."""
    return round(seconds * RATE / STEP) * STEP
