"""What a model file tells the runtime about itself: the metadata keys ``wavlm_diarizer.*``, or the two JSON files of a hub folder.

In: ``metadata_props`` of an ONNX file, or ``config.json`` and ``preprocessor_config.json``. Out: :class:`ModelSettings`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from math import prod
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.clustering import Clustering
from wavlm_diarizer.decoding import Decoding
from wavlm_diarizer.errors import ModelFormatError, ModelSettingsError, ModelVersionError, OptionError
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.windows import WindowSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "wavlm_diarizer."
FORMAT_VERSION = 1
"""The version of the metadata that this package writes, and the newest that it reads."""

WINDOW_SECONDS = 10.0
OVERLAP_SECONDS = 5.0
SINGLE_PASS_SECONDS = 30.0

FRAME_CLASSIFIER = "ForAudioFrameClassification"


@dataclass(frozen=True)
class ModelSettings:
    """Everything that the runtime has to know of a model. One metadata key for each field: text as it is, all else as JSON."""

    source: str
    """Hub id or folder name of the checkpoint that the file was made from."""
    revision: str
    """The hub's revision of it, empty for a local folder."""
    weights_sha256: str
    """SHA-256 of the checkpoint's weights; what voices and caches are keyed by. Empty for a file that others exported."""
    architecture: str
    """The checkpoint's class in transformers."""
    do_normalize: bool
    """Whether each window is brought to zero mean and unit variance before the model sees it."""
    labels: tuple[str, ...]
    """One name for each column of the logits."""
    sampling_rate: int = 16_000
    hop: int = 320
    """Samples from one frame to the next."""
    receptive_field: int = 400
    """Samples that one frame is computed from."""
    head: str = "sigmoid"
    """What the logits become probabilities by: one sigmoid for each label."""
    window_seconds: float = WINDOW_SECONDS
    overlap_seconds: float = OVERLAP_SECONDS
    single_pass_seconds: float = SINGLE_PASS_SECONDS
    """Recordings up to this length are one window."""
    decoding: Decoding = field(default_factory=Decoding.card)
    graph: str = "foreign"
    """How the graph was made: ``portable`` (optimum's), ``fast`` (ours), ``foreign`` (exported by others)."""
    precision: str = "unknown"
    """``fp32`` or ``int8``; ``unknown`` for a file that others exported."""
    batch_independent: bool = False
    """Whether a window's answer is the same whatever else is in its batch."""
    cpus: str = "any"
    """The CPUs that the arithmetic is right for."""
    verification: Mapping[str, Any] = field(default_factory=dict)
    """The report of the comparison with PyTorch, and for int8 with fp32, made before the file was written."""
    license: str = "unknown"
    """Licence of the weights."""
    embedding_size: int = 0
    """Numbers in the voice embedding of each label; 0: the graph gives none."""
    speaker_source: str = ""
    """Hub id or folder name of the speaker model that the embeddings come from; empty without one."""
    speaker_weights_sha256: str = ""
    """SHA-256 of its weights."""
    clustering: Clustering = field(default_factory=Clustering)
    """How voices become people; of use only with embeddings."""
    format_version: int = FORMAT_VERSION

    @property
    def time_base(self) -> TimeBase:
        """Samples, frames and seconds of this model."""
        return TimeBase(self.sampling_rate, self.hop, self.receptive_field)

    @property
    def windows(self) -> WindowSettings:
        """The window lengths in samples."""
        return WindowSettings.from_seconds(self.window_seconds, self.overlap_seconds, self.single_pass_seconds, self.time_base)

    def to_metadata(self) -> dict[str, str]:
        """The settings as ``metadata_props`` of an ONNX file."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {"decoding": self.decoding.as_dict(), "clustering": self.clustering.as_dict()}
        return {
            PREFIX + name: value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
            for name, value in values.items()
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], name: str) -> ModelSettings | None:
        """The settings in ``metadata_props``; ``None`` if there are none of ours. ``name`` is the file, for the errors."""
        ours = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
        if not ours:
            return None
        version = _whole_number(ours.get("format_version", ""))
        if version is None:
            raise ModelFormatError(f"{name} has wavlm_diarizer metadata without a format version; export it again.")
        if version > FORMAT_VERSION:
            raise ModelVersionError(
                f"{name} has format version {version}, and this version of wavlm-diarizer reads up to {FORMAT_VERSION}: "
                "upgrade wavlm-diarizer."
            )
        try:
            # Unknown keys are left alone, so that a newer minor release may add some.
            return cls(**{item.name: _read(item.name, ours[item.name]) for item in fields(cls) if item.name in ours}).checked(name)
        except (TypeError, ValueError, OptionError) as error:
            raise ModelFormatError(f"The wavlm_diarizer metadata of {name} is damaged ({error}); export it again.") from error

    @classmethod
    def from_hub_json(cls, config: Mapping[str, Any], preprocessor: Mapping[str, Any], name: str) -> ModelSettings:
        """The settings of a file that others exported, from the ``config.json`` and ``preprocessor_config.json`` of its checkpoint.

        Raises :class:`ModelSettingsError` if the checkpoint is of another task or does not say what has to be known.
        """
        architecture = next(iter(config.get("architectures") or [""]), "")
        if not architecture.endswith(FRAME_CLASSIFIER):
            raise ModelSettingsError(f"{name} is a {architecture or 'model of an unnamed class'}; only {FRAME_CLASSIFIER} models diarize.")
        if not isinstance(preprocessor.get("do_normalize"), bool):
            raise ModelSettingsError(f"The preprocessor_config.json of {name} does not say whether to normalise (do_normalize).")
        kernels, strides = config.get("conv_kernel"), config.get("conv_stride")
        hop, receptive_field = convolution_geometry(kernels, strides) if kernels and strides else (320, 400)
        labels = {int(index): str(label) for index, label in (config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}).items()}
        return cls(
            source=str(config.get("_name_or_path") or name),
            revision="",
            weights_sha256="",
            architecture=architecture,
            do_normalize=preprocessor["do_normalize"],
            labels=tuple(labels[index] for index in sorted(labels)),
            sampling_rate=int(preprocessor.get("sampling_rate", 16_000)),
            hop=hop,
            receptive_field=receptive_field,
        ).checked(name)

    def checked(self, name: str) -> ModelSettings:
        """This object, if its values make sense together, else :class:`ModelFormatError`; ``name`` is the file, for the error."""
        if self.head != "sigmoid":
            raise ModelFormatError(
                f"{name} has a {self.head} head, and this version knows one sigmoid per speaker only: upgrade wavlm-diarizer."
            )
        if min(self.sampling_rate, self.hop, self.receptive_field, len(self.labels)) < 1:
            raise ModelFormatError(f"{name} states a sampling rate, hop, receptive field or number of labels below 1; export it again.")
        if self.embedding_size < 0:
            raise ModelFormatError(f"{name} states an embedding size below 0; export it again.")
        _ = self.windows
        return self


def convolution_geometry(kernels: list[int], strides: list[int]) -> tuple[int, int]:
    """Hop and receptive field in samples of a stack of convolutions without padding."""
    receptive_field = 1 + sum((kernel - 1) * prod(strides[:index]) for index, kernel in enumerate(kernels))
    return prod(strides), receptive_field


def _whole_number(text: str) -> int | None:
    """The whole number that ``text`` is, ``None`` if it is none."""
    try:
        return int(text)
    except ValueError:
        return None


_KINDS: dict[str, tuple[type, ...]] = {
    "do_normalize": (bool,),
    "batch_independent": (bool,),
    "sampling_rate": (int,),
    "hop": (int,),
    "receptive_field": (int,),
    "format_version": (int,),
    "embedding_size": (int,),
    "window_seconds": (int, float),
    "overlap_seconds": (int, float),
    "single_pass_seconds": (int, float),
    "verification": (dict,),
    "labels": (list,),
    "decoding": (dict,),
    "clustering": (dict,),
}
_DATACLASSES: dict[str, type[Decoding | Clustering]] = {"decoding": Decoding, "clustering": Clustering}


def _read(name: str, text: str) -> Any:
    """The value of one metadata key, with its type checked: a file is data that may come from anywhere."""
    if name not in _KINDS:
        return text
    value: Any = json.loads(text)
    if type(value) not in _KINDS[name]:  # not isinstance, by which true would be a whole number
        raise ValueError(f"{name} is {text[:40]!r}")
    if name == "labels":
        return tuple(str(label) for label in value)
    return _DATACLASSES[name].from_dict(value) if name in _DATACLASSES else value
