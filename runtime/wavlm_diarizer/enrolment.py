"""Clips of people in, their voices out: what has to be true of a clip before a voice is taken from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_diarizer.errors import VoicesError
from wavlm_diarizer.voices import Voice, Voices, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wavlm_diarizer.audio import AudioSource
    from wavlm_diarizer.diarizer import Diarizer

LEAST_SECONDS = 2.0
"""A clip with less speech does not make a voice known."""
SECOND_SHARE = 0.2
"""Who speaks for more than this share of the first speaker's time is a second person, and not an error of the model."""


def enroll(diarizer: Diarizer, model: str, clips: Mapping[str, AudioSource]) -> Voices:
    """What :meth:`wavlm_diarizer.Diarizer.enroll` says. ``model`` is what errors call it. Raises :class:`VoicesError`."""
    settings = diarizer.settings
    voices = Voices((), settings.weights_sha256, settings.speaker_weights_sha256)
    voices.check_model(settings, model)
    if not (settings.weights_sha256 and settings.speaker_weights_sha256):
        raise VoicesError(f"{model} does not say which weights it was made from, so its voices could not be told from another model's.")
    for name in clips:
        check_name(name)
    people = tuple(_voice(diarizer, name, clip) for name, clip in clips.items())
    return Voices(people, voices.weights_sha256, voices.speaker_weights_sha256)


def _voice(diarizer: Diarizer, name: str, clip: AudioSource) -> Voice:
    """The voice of the one person who speaks in a clip."""
    result = diarizer(clip)
    seconds = result.speaking_time()
    ranking = sorted(result.speakers, key=lambda speaker: -seconds[speaker])
    where = f"the clip of {name} ({result.name})"
    heard = seconds[ranking[0]] if ranking else 0.0
    if heard < LEAST_SECONDS or result.embeddings is None:
        raise VoicesError(f"In {where} one speaks for {heard:.1f} s, and a voice needs at least {LEAST_SECONDS:g} s: give a longer one.")
    if len(ranking) > 1 and seconds[ranking[1]] > SECOND_SHARE * heard:
        raise VoicesError(f"In {where} a second person speaks for {seconds[ranking[1]]:.1f} s: cut out a part in which only one does.")
    embedding = result.embeddings[result.speakers.index(ranking[0])]
    if not embedding.any():
        raise VoicesError(f"In {where} nobody is ever heard alone: give one in which only one person speaks.")
    return Voice(name, embedding, heard)
