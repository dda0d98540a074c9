"""Utterances in, a recording and its turns out, streamed: nothing is held longer than the utterances that still sound.

Everything is drawn from a seed and the recording's number: the same on any run of the same versions of NumPy and libsndfile.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from recordings import sound, turns
from recordings.mixtures import FILLED_FRAMES, LOUDNESS, MEAN_PAUSE
from simulation import clips, rooms
from simulation.channel import BLOCK, Channel, steady
from simulation.talk import Conversation, TurnTaking, independent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recordings.turns import Turn
    from simulation.talk import Utterance

    Read = Callable[[Path], NDArray[np.float32]]

BABBLE = 6
"""Voices of those who are not in the recording that make its babble, if there are as many."""
STREAMS = ("cast", "talk", "voices", "levels", "room", "noise", "babble")
"""Each has random numbers of its own: a noisy set holds the same conversations as the clean one of its seed."""


@dataclass(frozen=True)
class Surroundings:
    """Where a conversation takes place and what it is recorded with."""

    reverberation: tuple[float, float] | None = None
    """Reverberation times in seconds that a recording's is drawn from; None: everybody speaks into the microphone."""
    snr_db: tuple[float, float] | None = None
    """How far the noise lies under speech at 0 dB, root mean squares, drawn for each recording; None: no noise."""
    babble: float = 0.3
    """Share of the noise's power that is far voices, on average; the rest is steady."""
    channel: Channel = field(default_factory=Channel)
    levels_db: float = 2.5
    """Voices differ by up to this from 0 dB, either way."""
    base_db: float = -3.0
    """The level of all: leaves room for several loud voices at once."""


@dataclass(frozen=True)
class Scene:
    """What to simulate."""

    speakers: int
    seconds: float
    habits: TurnTaking | None = field(default_factory=TurnTaking)
    """None: everybody talks without regard for the others, as in LibriMix."""
    surroundings: Surroundings = field(default_factory=Surroundings)
    away: bool = False
    """Whether each person takes no turn for a tenth of the recording, one after the other."""


@dataclass(frozen=True)
class Written:
    """What became of a scene."""

    name: str
    voices: tuple[str, ...]
    seconds: float
    turns: tuple[Turn, ...]
    overlap: float
    """Share of the time with speech in which two or more speak."""
    clipped: int
    """Samples that were beyond full scale."""


def write(
    folder: Path, name: str, scene: Scene, folders: Mapping[str, Sequence[Path]], cast: Sequence[str], seed: Sequence[int], read: Read
) -> Written:
    """Write ``NAME.flac`` and ``NAME.rttm``: both whole, or neither. ``cast``: whom the speakers are drawn from; others may babble.

    Raises :class:`ValueError` if there are fewer voices than speakers.
    """
    if len(cast) < scene.speakers:
        raise ValueError(f"A recording of {scene.speakers} needs as many voices, and there are {len(cast)}.")
    random = {stream: np.random.default_rng([*seed, number]) for number, stream in enumerate(STREAMS)}
    who = tuple(sorted(str(one) for one in random["cast"].choice(sorted(cast), scene.speakers, replace=False)))
    length = round(scene.seconds * sound.RATE)
    voices = [clips.Voice(one, list(folders[one]), random["voices"].spawn(1)[0], read) for one in who]
    if scene.habits is None:
        spoken = independent(voices, MEAN_PAUSE, random["talk"])
    else:
        spoken = iter(Conversation(voices, scene.habits, random["talk"], _absences(scene, length)))
    others = {one: paths for one, paths in folders.items() if one not in who}
    heard = _Said(_until(spoken, length))
    blocks = even(_mixed(heard, scene.surroundings, others, random, len(who), read), length)
    clipped = write_flac(folder / f"{name}.flac", scene.surroundings.channel(blocks))
    found = joined(heard.spans, length)
    labelled = [(start / sound.RATE, stop / sound.RATE, who[person]) for start, stop, person in found]
    turns.write_text(folder / f"{name}.rttm", turns.to_rttm(name, labelled))
    return Written(name, who, scene.seconds, tuple(labelled), overlap(found), clipped)


def write_flac(path: Path, blocks: Iterable[NDArray[np.float32]]) -> int:
    """Write blocks as a 16-bit FLAC file, aside and renamed; returns how many samples were beyond full scale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    clipped = 0
    try:
        with soundfile.SoundFile(aside, "w", sound.RATE, 1, "PCM_16", format="FLAC") as file:
            for block in blocks:
                clipped += int(np.count_nonzero(np.abs(block) > 1))
                file.write(np.clip(block, -1, 1))
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return clipped


def joined(spans: Iterable[tuple[int, int, int]], length: int) -> list[tuple[int, int, int]]:
    """Each person's speech ``(first, stop, person)`` cut at the recording's end; gaps that count as speech within a clip do so here too."""
    most = FILLED_FRAMES * clips.STEP
    latest: dict[int, tuple[int, int, int]] = {}
    found = []
    for first, stop, person in sorted(spans):
        if first >= length:
            continue
        before = latest.get(person)
        if before is not None and first - before[1] <= most:
            latest[person] = (before[0], max(before[1], min(stop, length)), person)
        else:
            found += [before] if before is not None else []
            latest[person] = (first, min(stop, length), person)
    return sorted([*found, *latest.values()])


def overlap(spans: Iterable[tuple[int, int, int]]) -> float:
    """The share of the time with speech in which two or more speak."""
    edges = sorted(edge for first, stop, _ in spans for edge in ((first, 1), (stop, -1)))
    once = twice = 0
    speaking, at = 0, 0
    for place, change in edges:
        once += (place - at) * (speaking > 0)
        twice += (place - at) * (speaking > 1)
        speaking, at = speaking + change, place
    return twice / once if once else 0.0


class _Said:
    """Utterances that pass, and the speech in them."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        self._utterances = utterances
        self.spans: list[tuple[int, int, int]] = []

    def __iter__(self) -> Iterator[Utterance]:
        for utterance in self._utterances:
            self.spans += [(*span, utterance.person) for span in utterance.spans()]
            yield utterance


def _until(utterances: Iterable[Utterance], length: int) -> Iterator[Utterance]:
    """Those that begin before the recording ends."""
    for utterance in utterances:
        if utterance.start >= length:
            return
        yield utterance


def _absences(scene: Scene, length: int) -> dict[int, tuple[int, int]]:
    if not scene.away:
        return {}
    step = length // (scene.speakers + 1)
    return {person: ((person + 1) * step - length // 20, (person + 1) * step + length // 20) for person in range(scene.speakers)}


def _mixed(
    said: Iterable[Utterance],
    around: Surroundings,
    others: Mapping[str, Sequence[Path]],
    random: Mapping[str, np.random.Generator],
    speakers: int,
    read: Read,
) -> Iterator[NDArray[np.float32]]:
    """Everything that the microphone hears, without end, in blocks of any length."""
    gains = [_gain(around.base_db + random["levels"].uniform(-around.levels_db, around.levels_db)) for _ in range(speakers)]
    responses: list[NDArray[np.float32] | None] = [None] * speakers
    room = None
    if around.reverberation is not None:
        room = rooms.furnished(random["room"], around.reverberation)
        responses = [room.response(rooms.seat(room, random["room"])) for _ in range(speakers)]
    voices = ((one.start, _heard(one, gains[one.person], responses[one.person])) for one in said)
    if around.snr_db is None:
        return summed(voices)
    power = _gain(2 * (around.base_db - random["noise"].uniform(*around.snr_db))) * LOUDNESS**2
    share = min(1.0, 2 * around.babble * random["noise"].random()) if others else 0.0
    hall = rooms.furnished(random["babble"], (0.5, 0.8))
    names = [str(one) for one in random["babble"].permutation(sorted(others))[:BABBLE]]
    each = float(np.sqrt(power * share / max(len(names), 1))) / LOUDNESS
    far = [hall.response(rooms.seat(hall, random["babble"])) for _ in names]
    talkers = [clips.Voice(one, list(others[one]), random["babble"].spawn(1)[0], read) for one in names]
    babble = ((one.start, _heard(one, each, far[one.person])) for one in independent(talkers, 0.1, random["babble"]))
    sounds = heapq.merge(voices, babble, key=lambda one: one[0])
    level = np.float32(np.sqrt(power * (1 - share)))
    background = steady(random["noise"], random["noise"].uniform(0, 9))
    return _plus(summed(sounds), background, level)


def _heard(utterance: Utterance, gain: float, response: NDArray[np.float32] | None) -> NDArray[np.float32]:
    dry = utterance.piece.samples * np.float32(gain)
    return dry if response is None else rooms.convolve(dry, response)


def summed(sounds: Iterable[tuple[int, NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
    """The sum of sounds ``(first sample, [n])`` that come in order of time, in blocks; silence without end after the last."""
    buffer, done = np.zeros(0, dtype=np.float32), 0
    for start, samples in sounds:
        # Nothing that is still to come begins before this one.
        ready = start - done
        if ready > 0:
            missing = max(0, ready - len(buffer))
            yield np.concatenate((buffer[:ready], np.zeros(missing, dtype=np.float32))) if missing else buffer[:ready]
            buffer, done = buffer[ready:], start
        stop = start + len(samples) - done
        # A new array in any case: what was given away stays as it is.
        buffer = np.concatenate((buffer, np.zeros(max(0, stop - len(buffer)), dtype=np.float32)))
        buffer[start - done : stop] += samples
    yield buffer
    while True:
        yield np.zeros(BLOCK, dtype=np.float32)


def even(blocks: Iterable[NDArray[np.float32]], length: int) -> Iterator[NDArray[np.float32]]:
    """The first ``length`` samples of a stream in blocks of one size, so that filters compute the same however it came."""
    waiting: list[NDArray[np.float32]] = []
    held, left = 0, length
    source = iter(blocks)
    while left:
        want = min(BLOCK, left)
        while held < want:
            waiting.append(next(source))
            held += len(waiting[-1])
        whole = np.concatenate(waiting)
        yield whole[:want]
        waiting, held, left = [whole[want:]], held - want, left - want


def _plus(
    blocks: Iterable[NDArray[np.float32]], background: Iterator[NDArray[np.float32]], level: np.float32
) -> Iterator[NDArray[np.float32]]:
    """A stream with another one added at a level."""
    rest = np.zeros(0, dtype=np.float32)
    for block in blocks:
        while len(rest) < len(block):
            rest = np.concatenate((rest, next(background)))
        yield block + level * rest[: len(block)]
        rest = rest[len(block) :]


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))
