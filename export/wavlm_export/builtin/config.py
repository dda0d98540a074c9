"""A TOML file in, everything that a training run depends on out, as frozen dataclasses with their defaults."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wavlm_diarizer.clustering import Clustering
from wavlm_diarizer.decoding import Decoding
from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

RATE = 16_000
HOP = 320
"""Samples from one label to the next (20 ms), those of the WavLM convolution stack."""
LABELS = 3
"""Local speakers that the activity head tells apart."""


@dataclass(frozen=True)
class Data:
    """Which clips there are and how they are packed."""

    single: str = "recordings/single"
    """A folder with one folder of 16 kHz clips per voice."""
    synthetic: str = ""
    """A folder of the same kind for the synthesised voices that ``voices`` makes; empty: none."""
    synthetic_seconds: float = 40.0
    """So much of each synthesised voice."""
    kokoro: str = ""
    """A folder for the synthesiser Kokoro, fetched by ``voices``; empty: only the synthesisers that are installed."""
    packed: str = "train/packed"
    """Where ``prepare`` writes its arrays."""
    unseen: tuple[str, ...] = ()
    """Voices that are never trained on: kept apart for validation."""
    least_seconds: float = 20.0
    """A voice with less audio is left out."""
    most_seconds: float = 1e9
    """No more audio than this of one voice; 300 makes a pack of some voices small enough to be carried around."""
    teacher: str = ""
    """pyannote segmentation-3.0 as ONNX, which labels the speech of the clips; empty: by energy."""
    voice_teacher: str = ""
    """A speaker embedder as ONNX (CAM++ of 3D-Speaker), whose embeddings of the training's people are the centres of the voice head's
    space; empty: the centres are learned."""
    noises: str = ""
    """A folder of recordings without speech, mixed in beside the synthetic noises; empty: only synthetic ones."""


@dataclass(frozen=True)
class Simulation:
    """What simulated conversations are like. Probabilities, and ranges as ``(least, most)``."""

    seconds: float = 8.0
    """Length of a window."""
    speakers: tuple[float, ...] = (0.1, 0.22, 0.42, 0.2, 0.06)
    """How often 0, 1, 2, 3 and 4 people speak. Frames in which the fourth of them talks have no label to give and do not count."""
    alike: float = 0.0
    """How often the people of a window are among those that the voice teacher finds most alike."""
    full_overlap: float = 0.15
    """How often people talk at once without regard for each other, as in LibriMix, instead of taking turns."""
    laid_over: float = 0.2
    """How often recordings with pauses of their own are laid over each other, instead of people taking turns."""
    speeds: tuple[float, ...] = (1.0, 0.9, 1.1, 0.82, 1.2)
    """Each speed of each voice counts as another person,"""
    tracts: tuple[float, ...] = (1.0,)
    """and so does each of these lengths of the vocal tract at each speed: other formants at the same pitch."""
    unlike_itself: float = 0.0
    """How often somebody sounds a little different from the last time, by colour and by formants, and is the same person."""
    reverberation: float = 0.65
    one_room: float = 0.0
    """How often a room's reverberation time is the same for all who talk: otherwise it tells them apart, as no real room does."""
    noise: float = 0.85
    telephone: float = 0.2
    codec: float = 0.1
    speaker_gain_db: tuple[float, float] = (-11.0, 3.0)
    window_gain_db: tuple[float, float] = (-35.0, 6.0)
    noise_below_db: tuple[float, float] = (2.0, 40.0)
    """How far the noise lies below the speech."""
    events: float = 0.4
    """How often a noise or music is about as loud as the speech, for a moment."""
    bystander: float = 0.2
    """How often someone far away talks whom nobody would write down; twice as often where nobody else talks."""
    pause_seconds: float = 1.2
    """In conversations, pauses of one person up to this in which nobody else talks count as speech, as annotators have it; where
    recordings are laid over each other, as simulated mixtures have it, they do not. 0: never."""


@dataclass(frozen=True)
class Model:
    """Sizes of the small WavLM."""

    conv_dim: tuple[int, ...] = (64, 128, 128, 128, 128, 192, 192)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    """Their product has to be 320: a frame every 20 ms."""
    conv_bias: bool = False
    hidden: int = 192
    layers: int = 6
    heads: int = 6
    tdnn: tuple[int, ...] = (192, 192, 192, 192, 384)
    """Widths of the voice head (x-vector),"""
    tdnn_kernel: tuple[int, ...] = (5, 3, 3, 1, 1)
    """how many frames each of its layers hears at once,"""
    tdnn_dilation: tuple[int, ...] = (1, 2, 3, 1, 1)
    """and how far apart these are."""
    embedding: int = 192


@dataclass(frozen=True)
class Takes:
    """What a training that learns a teacher's frames hears: takes of one person each, put together to conversations."""

    folder: str = "train/takes"
    count: int = 10_000
    seconds: float = 4.0
    """Length of a take; a window is some of them long."""
    speeds: tuple[float, ...] = (0.75, 1.33)
    """Least and most of the speed of a voice in a take,"""
    tracts: tuple[float, ...] = (0.82, 1.2)
    """and of the length of its vocal tract."""
    labels: str = "export/checkpoints/builtin-sd"
    """A Hugging Face folder (``sd``) that hears each take as it is, and says when somebody speaks, beside the labels of the clips; empty:
    only they do."""
    labels_weight: float = 0.5
    """What the labels of the clips count for; the rest is that checkpoint's."""


@dataclass(frozen=True)
class Training:
    """How the model is trained."""

    folder: str = "train/run"
    """State, log, curve and checkpoints."""
    start: str = ""
    """A Hugging Face folder (``sd``) whose weights the first step begins with; empty: from scratch."""
    steps: int = 20_000
    batch: int = 16
    peak_rate: float = 1.2e-3
    voice_rate: float = 1.0
    """How many times that rate the voice head learns with: more where it starts from nothing on a trained backbone."""
    warmup: int = 300
    decay_from: float = 0.6
    """Share of the steps after which the learning rate falls, in a straight line to a fiftieth."""
    weight_decay: float = 0.01
    clip: float = 1.0
    voice_weight: float = 0.1
    """Weight of naming the voice at every frame where one person speaks."""
    embedding_weight: float = 0.02
    """Weight of the x-vector head's loss."""
    margin_weight: float = 1.0
    """Within the x-vector head's loss, weight of telling everybody's centre from all others',"""
    place_weight: float = 10.0
    """of pointing to the voice teacher's centre of the person,"""
    heard_weight: float = 0.0
    """and of pointing to where the teacher puts the very speech of the window, heard without noise, room or others. It takes time."""
    frames_weight: float = 0.0
    """Weight of learning the voice teacher's frames, from conversations of takes; with it, of the other weights of losses only
    ``overlap_weight`` counts."""
    frames_place: float = 1.0
    """Within the loss of frames, weight of where the teacher's last layer puts what is pooled of them,"""
    frames_apart: float = 0.0
    """and of telling that place apart from those of other people's takes."""
    only_frames: bool = False
    """Convolutions and voice head learn these frames and nothing else; the transformer and the activity head stay as they are. Three times
    the audio in the same time."""
    voice_states: int = 0
    """Where frames are learned, the voice head hears so many of the backbone's states, from the one before the first layer on; 0: all."""
    pieces: int = 0
    """So many random pieces of what each one says alone in a window are embedded, besides the whole of it, as many are brief."""
    mel_weight: float = 0.1
    overlap_weight: float = 1.0
    """How much more than others a frame counts in which two or more people speak; there are few, and they are missed most."""
    frozen_convolutions: int = 0
    """So many of the first convolutions keep the weights that they started with. They run at the highest rates: with all seven frozen
    a step takes about half the time."""
    only_voice: bool = False
    """Train the voice head alone; backbone and activity head stay as they are. Twice the audio in the same time. With ``frames_weight`` it
    learns the teacher's frames."""
    heard_by: str = ""
    """With ``only_voice`` and ``frames_weight``: a model file of the same backbone, which makes the states that the head hears in half
    the time."""
    only_activity: bool = False
    """Train the transformer and the activity head alone; the voice head and all before the first layer stay as they are. For a voice head
    that hears that state and no other."""
    activity_teachers: tuple[str, ...] = ()
    """With ``only_activity``: Hugging Face folders (``sd``), or model files, which are faster, that say who speaks when in the very same
    windows,"""
    taught: float = 0.5
    """and what the mean of what they say counts for; the rest is the truth's."""
    places_weight: float = 0.0
    """With ``only_activity``: weight of naming at every frame where one person speaks, by the state before the last, whose of all voices in
    the batch this is, where the voice head puts them. For a head whose embeddings have a mean of about zero, as after ``project``."""
    places_margin: float = 0.0
    """By how much, in logits, the others of the same window have to be less likely there than those of other windows."""
    mean_steps: int = 0
    """The checkpoint has the mean of the weights of about so many steps, the last ones counting most; 0: the weights of the last step."""
    processes: int = 1
    """So many learn side by side, each with windows and weights of its own,"""
    meet_every: int = 40
    """which become the mean of all after so many steps."""
    seed: int = 0
    save_seconds: float = 120.0
    """The state is saved this often: what a killed run loses."""
    log_every: int = 25
    validate_every: int = 400
    workers: int = 1
    """Processes that simulate; 0: none beside the trainer."""
    threads: int = 2
    device: str = "auto"
    compile: bool = True


@dataclass(frozen=True)
class Bands:
    """How a filter bank learns to take the place of other convolutions."""

    steps: int = 800
    peak_rate: float = 2e-3


@dataclass(frozen=True)
class Projection:
    """How the voice head is projected, once it is trained."""

    width: int = 48
    """Numbers of an embedding afterwards."""
    pooled: bool = False
    """Project what the head pools, and so take the place of its last layer, instead of following it."""
    taught: bool = False
    """Instead of discriminants, take the voice teacher's last layer in place of the head's, less the mean of what it makes of the voices
    that are heard: for a head that learned the teacher's frames. Neither width nor shrinkage counts then."""
    shrinkage: float = 0.2
    """Share of the variance within people that is taken for the same in all directions."""
    alone: int = 4000
    """Windows of one person that it is learned on,"""
    conversations: int = 1200
    """and windows of conversations."""


@dataclass(frozen=True)
class Evaluation:
    """How a checkpoint is scored."""

    sets: tuple[str, ...] = ("recordings/real", "recordings/mix")
    """Folders of audio files with an RTTM of the same name beside each."""
    worsened: tuple[str, ...] = ("recordings/mix",)
    """Those of them that are scored once more under each of ``conditions``."""
    conditions: tuple[str, ...] = ("noisy_reverberant",)
    """Of :mod:`conditions`: noisy, reverberant, noisy_reverberant, telephone."""
    window_seconds: float = 8.0
    overlap_seconds: float = 4.0
    onset: float = 0.6
    """A turn begins above it; it and the six that follow are written into the model file as its defaults."""
    offset: float = 0.4
    """And ends below this."""
    median_seconds: float = 0.22
    min_on: float = 0.2
    min_off: float = 0.3
    likeness: float = 0.4
    """From which two people are one: :attr:`wavlm_diarizer.clustering.Clustering.threshold`."""
    half_seconds: float = 1.5
    """:attr:`wavlm_diarizer.clustering.Clustering.half_seconds` of the voices."""
    collar: float = 0.0
    skip_overlap: bool = False

    @property
    def decoding(self) -> Decoding:
        """How probabilities become turns."""
        return Decoding(self.onset, self.offset, self.median_seconds, self.min_off, self.min_on)

    @property
    def clustering(self) -> Clustering:
        """How voices become people."""
        return Clustering(threshold=self.likeness, half_seconds=self.half_seconds)


@dataclass(frozen=True)
class Recipe:
    """One run, from clips to the model file."""

    data: Data = field(default_factory=Data)
    simulation: Simulation = field(default_factory=Simulation)
    takes: Takes = field(default_factory=Takes)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    bands: Bands = field(default_factory=Bands)
    projection: Projection = field(default_factory=Projection)
    evaluation: Evaluation = field(default_factory=Evaluation)


Section = TypeVar("Section")


def read(path: str | Path) -> Recipe:
    """Read a recipe; a table or a key that does not exist, or a value of another type, raises :class:`OptionError`."""
    return from_tables(tables(path), str(path))


def tables(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file; one that cannot be read raises :class:`OptionError`."""
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise OptionError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"The recipe {path} is not TOML: {error}.") from error


def from_tables(tables: Mapping[str, Any], name: str = "the recipe") -> Recipe:
    """A recipe from nested mappings; what is not named keeps its default."""
    kinds: dict[str, type[Any]] = {
        "data": Data,
        "simulation": Simulation,
        "takes": Takes,
        "model": Model,
        "training": Training,
        "bands": Bands,
        "projection": Projection,
        "evaluation": Evaluation,
    }
    unknown = sorted(set(tables) - set(kinds))
    if unknown:
        raise OptionError(f"{name} has a table [{unknown[0]}]; there are only {', '.join(kinds)}.")
    return Recipe(**{key: _section(kinds[key], values, f"[{key}] of {name}") for key, values in tables.items()})


def _section(kind: type[Section], values: Any, where: str) -> Section:
    if not isinstance(values, dict):
        raise OptionError(f"{where} is not a table.")
    defaults = kind()
    known = {one.name: getattr(defaults, one.name) for one in fields(kind)}  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise OptionError(f"{where} has no setting {key}.")
        given[key] = _like(known[key], value, f"{key} in {where}")
    return kind(**given)


def _like(default: Any, value: Any, where: str) -> Any:
    """The value as its default's type; integers are fine where a fraction is expected."""
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise OptionError(f"{where} should be a {type(default).__name__}, not {value!r}.")
    return value
