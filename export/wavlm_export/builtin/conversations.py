"""People and noise in, simulated conversations out: samples, who speaks when, and who they are.

The n-th conversation of a seed is always the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.builtin.config import HOP, LABELS, RATE
from wavlm_export.builtin.noise import babble, noise
from wavlm_export.builtin.rooms import companded, convolve, reverberation_time, room, telephone, tilt
from wavlm_export.builtin.voices import APART, Manner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Simulation
    from wavlm_export.builtin.voice_teacher import Listener
    from wavlm_export.builtin.voices import Cast

TAIL = 80
"""Samples after the last hop, so that the last frame has its whole receptive field of 400."""
EDGE = 160
"""Samples over which a turn fades in and out."""
FAR = 0.45
"""How often a reverberant conversation is heard by a distant microphone."""
LONGEST_EVENT = 6 * RATE
"""Samples of the longest jingle, rustle or passing car."""
EVENT_BELOW_DB = (-4.0, 14.0)
"""How far such an event lies below the speech."""
BYSTANDER_BELOW_DB = (24.0, 40.0)
"""How far someone whom no annotator would write down lies below the speech."""
LEAST_PLACED = 50
"""Frames that somebody has to speak for a teacher to place the voice."""
TALKING = Manner(hesitates=0.3, level_db=3.0)
"""In a conversation people stop to think, and are louder in one sentence than in the next."""
LAID_OVER = Manner(pause_frames=APART)
"""Recordings that are laid over each other, as in simulated mixtures."""


@dataclass(frozen=True)
class Conversation:
    """One window of simulated audio and all that is known about it."""

    samples: NDArray[np.float32]
    """``[320 * frames + 80]``, within -1 and 1."""
    activity: NDArray[np.float32]
    """``[frames, 3]``, 1 where the speaker of that column talks."""
    counted: NDArray[np.float32]
    """``[frames]``, 0 where a fourth speaker talks, for whom there is no column."""
    people: NDArray[np.int64]
    """``[3]``, the person of each column, -1 for an empty one."""
    places: NDArray[np.float32]
    """``[3, width]``, where a voice teacher puts what each of them says, heard alone and as it was said; zeros where they hardly
    speak, and a width of 0 without a teacher."""


class Conversations:
    """Conversation ``n`` of a seed, drawn from a cast."""

    def __init__(
        self,
        cast: Cast,
        settings: Simulation,
        seed: int,
        noises: Sequence[NDArray[np.int16]] = (),
        listener: Listener | None = None,
    ) -> None:
        self.cast, self.settings, self.seed, self.noises, self._listener = cast, settings, seed, noises, listener
        self.frames = round(settings.seconds * 50)

    def __getitem__(self, number: int) -> Conversation:
        """The conversation of that number: the same on every machine and in any order."""
        random = np.random.default_rng([self.seed, number])
        settings = self.settings
        count = int(random.choice(len(settings.speakers), p=settings.speakers))
        people = self.cast.draw(count, random)
        turns, manner = self.turns(len(people), random)
        tracks, speech, places = self._tracks(people, turns, manner, random)
        if manner is TALKING:
            speech = as_annotated(speech, round(settings.pause_seconds * RATE / HOP))
        samples = self.recorded(np.asarray(tracks.sum(axis=0)), random)
        # The columns go to those who speak most, in order of their first word.
        amount = speech.sum(axis=0)
        kept = [one for one in np.argsort(-amount, kind="stable")[:LABELS] if amount[one]]
        kept.sort(key=lambda one: int(np.argmax(speech[:, one])))
        activity, names = np.zeros((self.frames, LABELS), dtype=np.float32), np.full(LABELS, -1, dtype=np.int64)
        heard = np.zeros((LABELS, places.shape[1]), dtype=np.float32)
        for column, one in enumerate(kept):
            activity[:, column], names[column], heard[column] = speech[:, one], people[one], places[one]
        others = np.delete(speech, kept, axis=1)
        counted = np.where(others.any(axis=1), np.float32(0), np.float32(1))
        return Conversation(samples, activity, counted, names, heard)

    def turns(self, count: int, random: np.random.Generator) -> tuple[NDArray[np.bool_], Manner]:
        """``[frames, count]``: who may speak when; and how they talk."""
        turns, settings = np.zeros((self.frames, count), dtype=bool), self.settings
        kind = random.random()
        if count == 1:
            _alone(turns, random)
        elif count and kind < settings.full_overlap:
            _at_once(turns, random)
            return turns, Manner()
        elif count and kind < settings.full_overlap + settings.laid_over:
            turns[:] = True
            return turns, LAID_OVER
        elif count:
            _in_turn(turns, random)
        return turns, TALKING

    def _tracks(
        self, people: list[int], turns: NDArray[np.bool_], manner: Manner, random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
        """Everybody's samples ``[people, n]`` at their own loudness and distance, speech ``[frames, people]``, places ``[people, w]``."""
        tracks = np.zeros((len(people), self.frames * HOP), dtype=np.float32)
        speech = np.zeros((self.frames, len(people)), dtype=bool)
        places = np.zeros((len(people), self._listener.width if self._listener else 0), dtype=np.float32)
        reverberant, far = random.random() < self.settings.reverberation, random.random() < FAR
        seconds = self.one_room(random)
        for one, person in enumerate(people):
            samples, talking = self.cast.speak(person, self.frames, random, manner)
            said = talking & turns[:, one]
            if self._listener and said.sum() >= LEAST_PLACED:
                places[one] = self._listener(samples[np.repeat(said, HOP)])
            tracks[one] = self.placed(samples, turns[:, one], random, reverberant=reverberant, far=far, seconds=seconds)
            speech[:, one] = said
        return tracks, speech, places

    def placed(
        self,
        samples: NDArray[np.float32],
        turns: NDArray[np.bool_],
        random: np.random.Generator,
        *,
        reverberant: bool,
        far: bool,
        seconds: float | None = None,
    ) -> NDArray[np.float32]:
        """One person's samples ``[n]`` in their turns ``[frames]``, in a room, at their own loudness.

        ``seconds``: the reverberation time of the room that everybody is in; ``None``: everybody's room has its own.
        """
        said = samples * faded(turns)
        if reverberant:
            said = convolve(said, room(random, far=far, seconds=seconds))
        placed: NDArray[np.float32] = said * np.float32(drawn_gain(self.settings.speaker_gain_db, random))
        return placed

    def one_room(self, random: np.random.Generator) -> float | None:
        """The reverberation time of the room that everybody is in; ``None`` if they are in different ones."""
        # With dice of its own: without such rooms, conversations stay as they are.
        (of_room,) = random.spawn(1)
        return reverberation_time(of_room) if of_room.random() < self.settings.one_room else None

    def _event(self, samples: int, random: np.random.Generator) -> NDArray[np.float32]:
        """Noise or music ``[samples]`` that is about as loud as speech of level 1, for a moment, and silence beside it."""
        length = int(random.uniform(0.3 * RATE, min(LONGEST_EVENT, samples)))
        at = int(random.integers(samples - length + 1))
        event, ramp = np.zeros(samples, dtype=np.float32), np.minimum(1, np.arange(length, dtype=np.float32) / random.uniform(1, RATE))
        sound = noise(length, None, self.noises, random) * ramp * ramp[::-1]
        event[at : at + length] = sound * np.float32(10 ** (-random.uniform(*EVENT_BELOW_DB) / 20))
        return event

    def recorded(self, clean: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """The sum of the speakers as a recording has it: with noise, through a channel, at some level."""
        settings = self.settings
        level = float(np.sqrt(np.mean(clean * clean)))
        silent = level == 0.0
        if silent:
            level = 10 ** random.uniform(-4, -1.2)
        samples = clean
        if random.random() < settings.noise:
            below = 10 ** (-random.uniform(*settings.noise_below_db) / 20)
            samples = samples + np.float32(level * below) * noise(len(samples), self.cast, self.noises, random)
        # With dice of their own: a conversation stays the same otherwise whether or not they are there.
        of_event, of_bystander = random.spawn(2)
        if of_event.random() < settings.events:
            samples = samples + np.float32(level) * self._event(len(samples), of_event)
        if of_bystander.random() < settings.bystander * (2 if silent else 1):
            faint = np.float32(level * 10 ** (-of_bystander.uniform(*BYSTANDER_BELOW_DB) / 20))
            samples = samples + faint * babble(len(samples), self.cast, of_bystander, voices=1)
        if random.random() < settings.telephone:
            samples = telephone(samples)
        elif random.random() < 0.4:
            samples = tilt(samples, random)
        samples = samples * np.float32(drawn_gain(settings.window_gain_db, random))
        if random.random() < settings.codec:
            samples = companded(samples, random)
        if random.random() < 0.05:
            samples = np.clip(samples, -0.3, 0.3)
        # Never digital silence: a model that normalises over time would divide by nothing.
        samples = samples + np.float32(10 ** random.uniform(-6, -4)) * random.standard_normal(len(samples), dtype=np.float32)
        heard: NDArray[np.float32] = np.clip(np.concatenate((samples, np.zeros(TAIL, dtype=np.float32))), -1, 1).astype(np.float32)
        return heard


def as_annotated(speech: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Speech ``[frames, people]`` with each one's pauses of at most ``longest`` frames filled in which nobody else talks."""
    filled, others = speech.copy(), speech.sum(axis=1)
    for one in range(speech.shape[1]):
        edges = np.diff(speech[:, one].astype(np.int8))
        stops, starts = np.flatnonzero(edges == -1) + 1, np.flatnonzero(edges == 1) + 1
        for stop in stops:
            after = starts[starts > stop]
            if len(after) and after[0] - stop <= longest and not others[stop : after[0]].any():
                filled[stop : after[0], one] = True
    return filled


def drawn_gain(decibels: tuple[float, float], random: np.random.Generator) -> float:
    """A factor of so many decibels, from least to most."""
    return float(10 ** (random.uniform(*decibels) / 20))


def faded(turns: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Turns ``[frames]`` as a gain ``[320 * frames]`` without steps, which would click: ramps in a turn's first and last 10 ms."""
    gain = np.repeat(turns.astype(np.float32), HOP)
    ramp = (np.arange(EDGE, dtype=np.float32) + 1) / EDGE
    edges = np.diff(turns.astype(np.int8))
    for first in np.flatnonzero(edges == 1) + 1:
        gain[first * HOP : first * HOP + EDGE] *= ramp
    for stop in np.flatnonzero(edges == -1) + 1:
        gain[stop * HOP - EDGE : stop * HOP] *= ramp[::-1]
    return gain


def _alone(turns: NDArray[np.bool_], random: np.random.Generator) -> None:
    """One person: all the time, with a pause, or only for a moment."""
    frames, kind = len(turns), random.random()
    first, stop = sorted(int(edge) for edge in random.integers(0, frames + 1, 2))
    if kind < 0.45:
        turns[:] = True
    elif kind < 0.7:
        turns[:] = True
        turns[first:stop] = False
    else:
        turns[first : max(stop, first + 15)] = True


def _at_once(turns: NDArray[np.bool_], random: np.random.Generator) -> None:
    """Everybody talks for most of the window, without regard for the others."""
    frames, count = turns.shape
    for one in range(count):
        first = int(random.integers(0, int(frames * 0.6))) if one else 0
        stop = int(random.integers(int(frames * 0.4), frames + 1))
        turns[first : max(first + 40, stop), one] = True


def _in_turn(turns: NDArray[np.bool_], random: np.random.Generator) -> None:
    """Turns of about two seconds, pauses, interruptions and words in between; the share of overlap differs from one to the next."""
    frames, count = turns.shape
    at, speaker, overlap = int(random.integers(-100, 20)), int(random.integers(count)), float(random.choice([0.0, 0.2, 0.45]))
    while at < frames:
        length = int(np.clip(random.gamma(1.6, 70.0), 15, 400))
        turns[max(at, 0) : max(at + length, 0), speaker] = True
        at += length
        if random.random() < overlap:
            at -= int(random.exponential(40.0))
        elif random.random() < 0.2:
            at += int(random.exponential(100.0))
        else:
            at += int(abs(random.normal(0, 15.0)))
        if random.random() < 0.85:
            speaker = int(random.choice([one for one in range(count) if one != speaker]))
        if random.random() < overlap:
            begin = max(at - int(random.integers(10, 60)), 0)
            turns[begin : max(at, 0), int(random.integers(count))] = True
