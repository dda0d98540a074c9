"""A recording in, a :class:`Diarization` out: the stages in their order, and nothing else.

audio -> windows -> model -> speakers -> decoding -> Diarization
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer import model_file
from wavlm_diarizer.audio import open_audio
from wavlm_diarizer.clustering import SpeakerCount
from wavlm_diarizer.decoding import decode
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.errors import AudioContentError, ModelFormatError, ModelSettingsError, OptionError
from wavlm_diarizer.in_flight import answered
from wavlm_diarizer.precision_choice import faster
from wavlm_diarizer.settings import ModelSettings
from wavlm_diarizer.silence import is_silence
from wavlm_diarizer.speakers import ACTIVE, JoinedActivity, SpeakerJoin
from wavlm_diarizer.voice_join import VoiceJoin, WindowAnswer
from wavlm_diarizer.windows import Window, cut, normalise

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import onnxruntime
    from numpy.typing import NDArray

    from wavlm_diarizer.audio import AudioSource, AudioStream
    from wavlm_diarizer.clustering import Clustering, LocalSpeakers
    from wavlm_diarizer.decoding import Decoding
    from wavlm_diarizer.timebase import TimeBase
    from wavlm_diarizer.voices import Voices


Progress = Callable[[float, float | None], None]
"""Called with the seconds done and the seconds in all (``None`` if the recording does not say) after every window."""

LOUDEST = 1e15
"""Samples larger than this overflow float32 where the model squares and sums them; even 32-bit integers without a scale are far below."""


@dataclass(frozen=True)
class Activity:
    """Who speaks with which probability, before decoding."""

    channels: tuple[JoinedActivity, ...]
    """One for each channel that was diarized on its own; one in all unless ``per_channel``."""
    samples: int
    """Length of the recording in samples of the model's rate."""
    name: str
    complete: bool
    """False if the recording turned out to be truncated."""
    warnings: tuple[str, ...]
    skipped_windows: int = 0
    """Windows, of all channels together, that the model was not asked about because nobody can speak in them."""


@dataclass(frozen=True)
class Heard:
    """What a model said about every window of a recording."""

    windows: tuple[tuple[int, WindowAnswer], ...]
    """First frame and answer of each, in order of time."""
    samples: int
    """Length of the recording in samples of the model's rate."""
    name: str
    complete: bool
    """False if the recording turned out to be truncated."""
    warnings: tuple[str, ...]


class Diarizer:
    """Answers who spoke when, with one model. May be used by several threads at once.

    ``model``: nothing for the built-in model, an ``.onnx`` file, a folder in the hub's layout, or a hub id whose files are in the local
    cache (or can be downloaded: needs ``huggingface_hub``). ``session``: an opened onnxruntime session instead, with ``settings`` unless
    they are in its metadata.

    ``precision`` chooses among the files of a folder: ``fp32``, ``int8``, or ``auto`` for the faster one on this machine, measured once and
    kept in the user's cache. ``provider`` names another of onnxruntime's execution providers than the CPU's; its answer is compared with
    the CPU's once (:mod:`wavlm_diarizer.providers`). ``threads``, ``spin`` and ``low_memory`` are those of
    :func:`wavlm_diarizer.sessions.session_options`. ``decoding``, ``clustering`` and the window lengths replace the file's own.
    Windows that hold nothing but steady noise are not given to the model (:mod:`wavlm_diarizer.silence`) unless ``skip_silence`` is false.

    Raises :class:`ModelError` subclasses for a file that is missing or cannot be run, :class:`OptionError` for arguments without sense.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        session: onnxruntime.InferenceSession | None = None,
        settings: ModelSettings | None = None,
        precision: str = "auto",
        revision: str | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        spin: bool = False,
        low_memory: bool = False,
        decoding: Decoding | None = None,
        clustering: Clustering | None = None,
        window_seconds: float | None = None,
        overlap_seconds: float | None = None,
        single_pass_seconds: float | None = None,
        skip_silence: bool = True,
    ) -> None:
        from wavlm_diarizer.sessions import open_session, run_options, windows_at_once

        self._at_once = 1
        if session is None:
            on_cpu = provider.lower() in {"cpu", "cpuexecutionprovider"}
            # Other providers have faster ways to round than the bytes of a file that was made for CPUs.
            prefer = partial(faster, threads=threads, low_memory=low_memory) if on_cpu else lambda _: "fp32"
            file = model_file.find(model, precision=precision, revision=revision, prefer=prefer)
            self._name = file.name
            if on_cpu:
                self._at_once = windows_at_once(file.path, threads=threads, low_memory=low_memory)
                each = threads if self._at_once == 1 else 1
                self._session = open_session(file.path, threads=each, spin=spin, low_memory=low_memory)
                own = settings or file.settings(self._session)
            else:
                from wavlm_diarizer import providers

                self._session = providers.open_on(file, provider, threads=threads, low_memory=low_memory)
                own = settings or file.settings(self._session)
                providers.check(self._session, file, own, provider)
        else:
            if model is not None:
                raise OptionError("Give a model or a session, not both.")
            self._name = "the session's model"
            self._session = session
            model_file.check_interface(session, self._name)
            embedded = settings or ModelSettings.from_metadata(session.get_modelmeta().custom_metadata_map, self._name)
            if embedded is None:
                raise ModelSettingsError(
                    "The session's model has no wavlm_diarizer metadata: "
                    "pass settings=ModelSettings.from_hub_json(config, preprocessor, name)."
                )
            own = embedded
        if decoding is not None:
            own = replace(own, decoding=decoding)
        if clustering is not None:
            own = replace(own, clustering=clustering)
        self._settings = _with_windows(own, window_seconds, overlap_seconds, single_pass_seconds)
        self._windows = self._settings.windows
        self._skip_silence = skip_silence
        self._outputs = [model_file.OUTPUT]
        if own.embedding_size:
            self._outputs += [model_file.EMBEDDINGS, model_file.EMBEDDING_FRAMES]
        self._run_options = run_options(low_memory=low_memory)

    @property
    def settings(self) -> ModelSettings:
        """What is known of the model, with the decoding and the windows that this diarizer uses."""
        return self._settings

    @property
    def time_base(self) -> TimeBase:
        """Samples, frames and seconds of the model."""
        return self._settings.time_base

    @property
    def at_once(self) -> int:
        """How many windows, or recordings, it can work on at the same time; 1: a second thread would gain nothing."""
        return self._at_once

    def with_decoding(self, decoding: Decoding) -> Diarizer:
        """A diarizer with the same opened model and another decoding."""
        return self._with(decoding=decoding)

    def with_clustering(self, clustering: Clustering) -> Diarizer:
        """A diarizer with the same opened model that makes people of voices in another way."""
        return self._with(clustering=clustering)

    def _with(self, **changes: Any) -> Diarizer:
        other = copy(self)
        other._settings = replace(self._settings, **changes)  # noqa: SLF001 - a copy of this very object
        return other

    def __call__(
        self,
        source: AudioSource,
        *,
        channel: int | None = None,
        per_channel: bool = False,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        voices: Voices | None = None,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> Diarization:
        """Diarize one recording: a path, a binary file object, bytes, or ``(samples, rate)`` with samples ``[n]`` or ``[n, channels]``.

        Several channels are mixed down, unless ``channel`` (counted from 1) picks one or ``per_channel`` diarizes each on its own, for
        calls whose channels are different people. A recording shorter than one frame gives an empty result.

        ``num_speakers`` is how many people there are, if that is known (with ``per_channel``: on each channel); else ``min_speakers`` and
        ``max_speakers`` bound the number that is found. The result is the same as without, if that number is found anyway; there are
        fewer people if fewer voices were heard. A model without voice embeddings tells at most as many people apart as it has labels.

        ``voices``: known people, who get their names; everybody else keeps ``SPEAKER_00`` and so on. The result's ``known`` says how
        similar each voice is. Raises :class:`VoicesError` for voices of another model.

        Raises :class:`AudioError` subclasses for a recording that cannot be read. A truncated one is diarized as far as it goes; the result
        is then not ``complete`` and says why in its ``warnings``.
        """
        if voices is not None:
            voices.check_model(self._settings, self._name)
        wanted = {"num_speakers": num_speakers, "min_speakers": min_speakers, "max_speakers": max_speakers}
        result = self.decoded(self.activity(source, channel=channel, per_channel=per_channel, **wanted, name=name, progress=progress))
        return result if voices is None else voices.recognise(result, self._settings)

    def enroll(self, clips: Mapping[str, AudioSource]) -> Voices:
        """The voices of people, from a clip of each by name: some seconds, better half a minute, in which nobody else speaks.

        Raises :class:`VoicesError` for a name that nobody can have, for a clip with too little speech or with a
        second person, and for a model without a speaker head; :class:`AudioError` subclasses for a clip that cannot be read.
        """
        from wavlm_diarizer.enrolment import enroll

        return enroll(self, self._name, clips)

    def activity(
        self,
        source: AudioSource,
        *,
        channel: int | None = None,
        per_channel: bool = False,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> Activity:
        """The probabilities ``[frames, people]`` of a recording, windows joined, before decoding. Arguments as for a call."""
        time_base = self.time_base
        wanted = SpeakerCount.of(num_speakers, min_speakers, max_speakers)
        if not self._settings.embedding_size:
            wanted.check_labels(len(self._settings.labels), self._name)
        with open_audio(source, name=name, channel=channel, per_channel=per_channel, rate=time_base.sample_rate) as stream:
            joins = [self._join(wanted) for _ in range(stream.channels if per_channel else 1)]
            length = _Length()
            identical = len(joins) > 1
            skipped = [0] * len(joins)
            windows = cut(length.count(stream), self._windows, time_base)
            for window, answers in answered(windows, self._each_channel, self._at_once):
                identical = identical and not np.any(window.samples != window.samples[:, :1])
                first_frame = time_base.frame_at(window.start)
                for index, (join, answer) in enumerate(zip(joins, answers, strict=True)):
                    skipped[index] += not np.any(answer.probabilities)
                    _add(join, first_frame, answer)
                if progress is not None:
                    total = time_base.seconds(length.samples) if window.last else stream.seconds_hint
                    progress(time_base.seconds(window.start + len(window.samples)), total)
            warnings = list(stream.warnings)
            if identical and length.samples:
                warnings.append(f"All {len(joins)} channels of {stream.name} are identical; they were diarized as one.")
                joins = joins[:1]
            channels = tuple(join.result() for join in joins)
            return Activity(channels, length.samples, stream.name, stream.complete, tuple(warnings), sum(skipped[: len(joins)]))

    def heard(self, source: AudioSource, *, name: str | None = None) -> Heard:
        """What the model answers for every window of a recording, to be joined and decoded in several ways by :meth:`understood`."""
        with open_audio(source, name=name, rate=self.time_base.sample_rate) as stream:
            length = _Length()
            cuts = cut(length.count(stream), self._windows, self.time_base)
            windows = [
                (self.time_base.frame_at(window.start), answers[0]) for window, answers in answered(cuts, self._each_channel, self._at_once)
            ]
            return Heard(tuple(windows), length.samples, stream.name, stream.complete, tuple(stream.warnings))

    def understood(self, heard: Heard) -> Activity:
        """The activity that a call with the same recording would give, from the answers of the same model."""
        join = self._join(SpeakerCount())
        for first_frame, answer in heard.windows:
            _add(join, first_frame, answer)
        return Activity((join.result(),), heard.samples, heard.name, heard.complete, heard.warnings)

    def local_speakers(self, heard: Heard) -> LocalSpeakers | None:
        """The local speakers of a recording's windows; None for an empty one and from a model without voices."""
        join = self._join(SpeakerCount())
        if not isinstance(join, VoiceJoin):
            return None
        for first_frame, answer in heard.windows:
            join.add(first_frame, answer)
        return join.local_speakers()

    def logits(self, samples: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The model's logits ``[frames, labels]`` for one window ``[n]`` at the model's rate, normalised as the model wants it.

        Raises :class:`OptionError` for fewer samples than one frame needs, :class:`ModelFormatError` if the answer has another shape, and
        :class:`AudioContentError` for samples beyond :data:`LOUDEST`.
        """
        logits: NDArray[np.float32] = self._run(samples)[0]
        return logits

    def answer(self, samples: NDArray[np.floating[Any]]) -> WindowAnswer:
        """The model's probabilities and voices for one window; arguments and errors as for :meth:`logits`."""
        logits, *voices = self._run(samples)
        return WindowAnswer(sigmoid(logits), *voices)

    def _run(self, samples: NDArray[np.floating[Any]]) -> list[NDArray[Any]]:
        """Everything that the model answers for one window, without the batch axis."""
        frames = self.time_base.frames(len(samples))
        if np.ndim(samples) != 1 or frames == 0:
            least = self.time_base.receptive_field
            raise OptionError(f"A window has one axis and at least {least} samples, not the shape {np.shape(samples)}.")
        if (peak := float(np.abs(samples).max())) > LOUDEST:
            raise AudioContentError(f"The model has no answer for samples as large as {peak:.3g}; audio lies between -1 and 1.")
        window = normalise(samples) if self._settings.do_normalize else np.asarray(samples, dtype=np.float32)
        try:
            answers = self._session.run(self._outputs, {model_file.INPUT: window[None]}, self._run_options)
        # onnxruntime's exceptions have no common base but Exception.
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelFormatError(f"{self._name} failed on a window of {len(samples)} samples: {reason}") from error
        labels = len(self._settings.labels)
        expected = [(1, frames, labels), (1, labels, self._settings.embedding_size), (1, labels)][: len(answers)]
        for name, answer, shape in zip(self._outputs, answers, expected, strict=True):
            if answer.shape != shape:
                raise ModelFormatError(
                    f"{self._name} answered a window of {len(samples)} samples with {name} of shape {answer.shape}, not {shape}."
                )
        return [answer[0] for answer in answers]

    def _join(self, wanted: SpeakerCount) -> SpeakerJoin | VoiceJoin:
        """What makes the speakers of one channel's windows the people of the recording: their voices, if the model tells them."""
        labels = len(self._settings.labels)
        if not self._settings.embedding_size:
            return SpeakerJoin(labels, self.time_base, wanted.most)
        return VoiceJoin(labels, self.time_base, self._settings.clustering, wanted, min(ACTIVE, self._settings.decoding.onset))

    def _each_channel(self, window: Window) -> list[WindowAnswer]:
        """The answers for every channel of a window; equal channels are computed once."""
        answers: list[WindowAnswer] = []
        for index in range(window.samples.shape[1]):
            samples = np.ascontiguousarray(window.samples[:, index])
            same = next((other for other in range(index) if np.array_equal(samples, window.samples[:, other])), None)
            answers.append(self._answer(samples) if same is None else answers[same])
        return answers

    def _answer(self, samples: NDArray[np.float32]) -> WindowAnswer:
        """The answer for one window; where nobody can speak the probabilities are 0, and the model is not asked."""
        if is_silence(samples, self.time_base) if self._skip_silence else np.all(samples == samples[0]):
            return WindowAnswer.silence(self.time_base.frames(len(samples)), len(self._settings.labels), self._settings.embedding_size)
        return self.answer(samples)

    def decoded(self, activity: Activity) -> Diarization:
        """An :meth:`activity` as turns: decodes every channel, names the speakers in the order of their first turns, keeps activity."""
        per_channel = len(activity.channels) > 1
        found = []
        for channel, joined in enumerate(activity.channels, start=1):
            frames = len(joined.probabilities)
            for label, runs in enumerate(decode(joined.probabilities, self._settings.decoding, self.time_base)):
                spans = [self.time_base.span(first, stop, frames, activity.samples) for first, stop in runs]
                if spans:
                    found.append((spans[0][0], channel, label, spans))
        found.sort(key=lambda one: one[:3])
        turns, columns, voices, counts = [], [], [], dict.fromkeys(range(1, len(activity.channels) + 1), 0)
        speakers: list[str] = []
        for _, channel, label, spans in found:
            number = counts[channel] if per_channel else len(speakers)
            counts[channel] += 1
            speaker = f"CH{channel}_SPEAKER_{number:02d}" if per_channel else f"SPEAKER_{number:02d}"
            speakers.append(speaker)
            turns += [Turn(start, end, speaker, channel) for start, end in spans]
            joined = activity.channels[channel - 1]
            columns.append(joined.probabilities[:, label])
            if joined.embeddings is not None:
                voices.append(joined.embeddings[label])
        frames = len(activity.channels[0].probabilities)
        joins = {second for joined in activity.channels for second in joined.uncertain_joins}
        return Diarization(
            turns=tuple(turns),
            speakers=tuple(speakers),
            duration=self.time_base.seconds(activity.samples),
            name=activity.name,
            activity=np.stack(columns, axis=1) if columns else np.zeros((frames, 0), dtype=np.float32),
            time_base=self.time_base,
            embeddings=self._voices(voices, len(columns)),
            complete=activity.complete,
            warnings=activity.warnings,
            uncertain_joins=tuple(sorted(joins)),
            skipped_windows=activity.skipped_windows,
            model={
                "source": self._settings.source,
                "weights_sha256": self._settings.weights_sha256,
                "graph": self._settings.graph,
                "precision": self._settings.precision,
            },
        )

    def _voices(self, voices: list[NDArray[np.float32]], speakers: int) -> NDArray[np.float32] | None:
        """The speakers' embeddings ``[speakers, dim]``, zeros for who was never heard alone; None from a model without them."""
        if not self._settings.embedding_size:
            return None
        if len(voices) < speakers or not voices:  # nobody was ever heard alone
            return np.zeros((speakers, self._settings.embedding_size), dtype=np.float32)
        return np.stack(voices)


class _Length:
    """Counts the samples that pass."""

    def __init__(self) -> None:
        self.samples = 0

    def count(self, stream: AudioStream) -> Any:
        for block in stream.blocks():
            self.samples += len(block)
            yield block


def _add(join: SpeakerJoin | VoiceJoin, first_frame: int, answer: WindowAnswer) -> None:
    """Add a window's answer to a join, which takes the voices too if it goes by them."""
    if isinstance(join, VoiceJoin):
        join.add(first_frame, answer)
    else:
        join.add(first_frame, answer.probabilities)


def sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The probability of each logit, in float64, without overflow at either end."""
    small = np.exp(-np.abs(np.asarray(logits, dtype=np.float64)))
    probabilities: NDArray[np.float64] = np.where(np.asarray(logits) >= 0, 1.0, small) / (1.0 + small)
    return probabilities


def _with_windows(settings: ModelSettings, window: float | None, overlap: float | None, single_pass: float | None) -> ModelSettings:
    """The settings with other window lengths; what does not fit a new window and was not given follows it."""
    if window is not None:
        settings = replace(
            settings,
            window_seconds=window,
            overlap_seconds=min(settings.overlap_seconds, window / 2),
            single_pass_seconds=max(settings.single_pass_seconds, window),
        )
    if overlap is not None:
        settings = replace(settings, overlap_seconds=overlap)
    if single_pass is not None:
        settings = replace(settings, single_pass_seconds=single_pass)
    return settings
