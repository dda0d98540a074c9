"""Takes in, simulated conversations out whose every frame knows what a teacher makes of who speaks in it, heard alone and without noise.

Turns, rooms, noise, telephones and loudness are those of :class:`conversations.Conversations`; who speaks is a take, or as many one after
the other as a window is long, of people of one voice who are made nearly alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import HOP, LABELS, RATE
from wavlm_export.builtin.conversations import FAR, TALKING, Conversations, as_annotated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Simulation
    from wavlm_export.builtin.takes import Take, Takes
    from wavlm_export.builtin.voices import Cast

ALIKE = 0.05
"""Two takes of a voice are of one person whose speeds and tracts differ by less than this in all, as logarithms."""
IN_BITS, WHOLE = 0.15, 0.3
"""In how many conversations people say a word or a letter at a time, and how many of them do not do so even there."""
BIT, APART = (12, 42), (15, 75)
"""Frames of such a word, and until the next."""


@dataclass(frozen=True)
class HeardConversation:
    """One window of simulated audio and what is known about each of its frames."""

    samples: NDArray[np.float32]
    """``[320 * frames + 80]``, within -1 and 1."""
    activity: NDArray[np.float32]
    """``[frames, 3]``, how likely the speaker of that column talks."""
    early: NDArray[np.float32]
    """``[frames, 256]`` and"""
    late: NDArray[np.float32]
    """``[frames, 512]`` of the teacher where exactly one person may speak, and zeros elsewhere."""
    owner: NDArray[np.int64]
    """``[frames]``: of which take they are, by its row in ``pooled``; -1 where nobody's."""
    pooled: NDArray[np.float32]
    """``[3 * takes in a window, 1024]``: mean and deviation of all that the teacher pools of a take; zeros where there is none."""


class ConversationsOfTakes:
    """Conversation ``n`` of a seed, put together from takes."""

    def __init__(
        self,
        takes: Takes,
        cast: Cast,
        settings: Simulation,
        seed: int,
        noises: Sequence[NDArray[np.int16]] = (),
        labels_weight: float = 0.5,
    ) -> None:
        """``cast``: who babbles in the background; ``labels_weight``: that of :class:`config.Takes`.

        Raises :class:`OptionError` if a window is not some takes long.
        """
        self._ways = Conversations(cast, settings, seed, noises)
        self.cast, self.frames, self.seed, self._takes, self._settings = cast, self._ways.frames, seed, takes, settings
        self._labels_weight = labels_weight
        self._parts = self.frames // takes.hops
        if self._parts * takes.hops != self.frames or not self._parts:
            raise OptionError(f"simulation.seconds must be a multiple of the {takes.hops / 50:g} seconds of a take.")
        names, voice = np.unique(takes.voices, return_inverse=True)
        self._of = [np.flatnonzero(voice == one) for one in range(len(names))]
        # As in a cast: those with many takes more often, but not in proportion.
        weight = np.sqrt([len(of) for of in self._of])
        self._weight = weight / weight.sum()
        self._made = np.log(takes.made)
        speakers = np.array(settings.speakers[: LABELS + 1])
        self._speakers = speakers / speakers.sum()

    def __getitem__(self, number: int) -> HeardConversation:
        """The conversation of that number: the same on every machine and in any order."""
        random = np.random.default_rng([self.seed, number])
        count = min(int(random.choice(len(self._speakers), p=self._speakers)), len(self._of))
        chosen = random.choice(len(self._of), count, replace=False, p=self._weight)
        turns, manner = self._ways.turns(count, random)
        if manner is TALKING and random.random() < IN_BITS:
            _cut(turns, random)
        takes = np.full((LABELS, self._parts), -1, dtype=np.int64)
        for one, voice in enumerate(chosen):
            takes[one] = self._person(int(voice), random)
        return self._put_together(takes, count, turns, talking=manner is TALKING, random=random)

    def _person(self, voice: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Takes of one person; -1 where there is none that is alike."""
        first = int(random.choice(self._of[voice]))
        apart = np.abs(self._made[self._of[voice]] - self._made[first]).sum(axis=1)
        alike = self._of[voice][(apart < ALIKE) & (self._of[voice] != first)]
        others = random.permutation(alike)[: self._parts - 1]
        takes = np.full(self._parts, -1, dtype=np.int64)
        takes[: 1 + len(others)] = [first, *others]
        return random.permutation(takes) if (takes < 0).any() else takes

    def _put_together(
        self, takes: NDArray[np.int64], count: int, turns: NDArray[np.bool_], *, talking: bool, random: np.random.Generator
    ) -> HeardConversation:
        """What is heard and known of takes ``[3, parts]`` of ``count`` people who may speak in their turns ``[frames, count]``."""
        hops, settings = self._takes.hops, self._settings
        tracks = np.zeros((count, self.frames * HOP), dtype=np.float32)
        speech, likely = np.zeros((self.frames, count), dtype=bool), np.zeros((self.frames, count), dtype=np.float32)
        known: dict[tuple[int, int], Take] = {}
        for one in range(count):
            for part in range(self._parts):
                first = part * hops
                if takes[one, part] < 0:
                    turns[first : first + hops, one] = False
                    continue
                take = known[one, part] = self._takes[int(takes[one, part])]
                tracks[one, first * HOP : (first + hops) * HOP] = take.samples.astype(np.float32) / 32768
                # The last frame has no field of its own: as the one before.
                speech[first : first + hops, one] = np.append(take.speech, take.speech[-1:])
                likely[first : first + hops, one] = np.append(take.likely, take.likely[-1:])
        said = as_annotated(speech & turns, round(settings.pause_seconds * RATE / HOP)) if talking else speech & turns
        own = self._labels_weight
        activity = np.zeros((self.frames, LABELS), dtype=np.float32)
        activity[:, :count] = own * said + (1 - own) * likely * turns
        early, late, owner, pooled = self._frames(known, turns)
        return HeardConversation(self._samples(tracks, turns, random), activity, early, late, owner, pooled)

    def _frames(
        self, known: dict[tuple[int, int], Take], turns: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """What the teacher makes of the frames in which exactly one person may speak, whose each is, and what it pools of each take."""
        hops, alone = self._takes.hops, turns.sum(axis=1) == 1
        owner = np.full(self.frames, -1, dtype=np.int64)
        some = self._takes[0]
        early, late = (np.zeros((self.frames, one.shape[1]), dtype=np.float32) for one in (some.early, some.late))
        pooled = np.zeros((LABELS * self._parts, 2 * late.shape[1]), dtype=np.float32)
        for (one, part), take in known.items():
            first, row = part * hops, one * self._parts + part
            pooled[row] = pooled_frames(take.late)
            own = np.flatnonzero(alone[first : first + hops - 1] & turns[first : first + hops - 1, one])
            early[first + own], late[first + own] = take.early[own], take.late[own]
            owner[first + own] = row
        return early, late, owner, pooled

    def _samples(self, tracks: NDArray[np.float32], turns: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.float32]:
        """Everybody's samples ``[count, n]`` in their turns, at their own loudness and in one room, as a recording has them."""
        mixed = np.zeros(tracks.shape[1], dtype=np.float32)
        reverberant, far = random.random() < self._settings.reverberation, random.random() < FAR
        seconds = self._ways.one_room(random)
        for one, track in enumerate(tracks):
            mixed += self._ways.placed(track, turns[:, one], random, reverberant=reverberant, far=far, seconds=seconds)
        return self._ways.recorded(mixed, random)


def pooled_frames(late: NDArray[np.floating]) -> NDArray[np.float32]:
    """Mean and deviation ``[2 * width]`` of what is left of frames ``[frames, width]`` behind the rectifier."""
    rectified = np.maximum(late.astype(np.float32), 0)
    return np.concatenate((rectified.mean(axis=0), np.sqrt(rectified.var(axis=0) + 1e-6)))


def _cut(turns: NDArray[np.bool_], random: np.random.Generator) -> None:
    """Leave of most people's turns ``[frames, people]`` a word or a letter at a time, as those who spell or dictate."""
    for one in range(turns.shape[1]):
        if random.random() < WHOLE:
            continue
        at = 0
        while at < len(turns):
            at += int(random.integers(*BIT))
            after = at + int(random.integers(*APART))
            turns[at:after, one] = False
            at = after
