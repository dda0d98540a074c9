"""A hub id or a local Hugging Face folder in, a loaded frame classifier and all that is known about it out.

The class always comes from the checkpoint's own ``config.json``: the model card of ``microsoft/wavlm-base-plus-sd`` loads WavLM weights
with ``UniSpeechSatForAudioFrameClassification``, which is the wrong one.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer import hub
from wavlm_diarizer.errors import CheckpointError, ModelNotFoundError
from wavlm_diarizer.settings import FRAME_CLASSIFIER, convolution_geometry
from wavlm_export.families import FAMILIES, frame_classifier
from wavlm_export.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from wavlm_export.speaker_model import SpeakerModel

SAMPLE_RATE = 16_000
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where weights are looked for, in this order: safetensors hold no code and are read without a copy."""
HUB_PATTERNS = (CONFIG, PREPROCESSOR, "README.md", "*.safetensors", "*.bin", "*.index.json")

MICROSOFT_LICENSE = "CC-BY-SA-3.0 (Microsoft UniSpeech, the licence that the model card links to)"
UNKNOWN_LICENSE = "unknown: see the source"

SPEAKER_LABEL = re.compile(
    r"(label|speaker|spk|spkr|talker|voice|person|s)[\s_-]*\d+|(speaker|spk|spkr|talker|voice|person)[\s_-]*[a-z]|[a-z]|\d+", re.IGNORECASE
)
"""Labels that name one speaker each: the default ``LABEL_0``, ``SPEAKER_0``, ``spk1``, ``speaker a``, ``A``, ``1``."""
UNUSED = re.compile(r"(^|\.)masked_spec_embed$")
"""Weights that only training uses."""


@dataclass(frozen=True)
class Checkpoint:
    """A frame classifier in PyTorch, and what an exported file records about it."""

    model: torch.nn.Module
    """In evaluation mode, float32, with eager attention."""
    config: Any
    """Its ``PretrainedConfig``."""
    source: str
    """Hub id, or the folder's name."""
    revision: str
    """The hub's commit, empty for a local folder."""
    weights_sha256: str
    architecture: str
    do_normalize: bool
    labels: tuple[str, ...]
    hop: int
    receptive_field: int
    license: str
    folder: Path
    """Where its JSON files are."""
    speaker: SpeakerModel | None = None
    """The speaker model whose embeddings the exported file gives as well."""

    def logits(self, input_values: Any) -> Any:
        """PyTorch's answer ``[batch, frames, labels]`` as float32 for normalised samples ``[batch, samples]``, both as NumPy arrays."""
        import torch

        with torch.inference_mode():
            return self.model(torch.from_numpy(input_values)).logits.float().numpy()


def load(source: str | Path, *, revision: str | None = None, head: str | None = None) -> Checkpoint:
    """Load a checkpoint. ``head="sigmoid"`` takes labels that do not look like speakers as one speaker each.

    Raises :class:`CheckpointError` for anything that is not a complete frame classifier for 16 kHz speech.
    """
    folder, name, commit = locate(source, revision)
    config_json = read_json(folder / CONFIG, name)
    preprocessor = read_json(folder / PREPROCESSOR, name)
    architecture = _architecture(config_json, name)
    do_normalize = normalisation(preprocessor, name)
    weights = weight_files(folder, name)
    model, config = load_model(folder, frame_classifier(FAMILIES[str(config_json["model_type"])]), name)
    labels = _labels(config, head, name)
    hop, receptive_field = convolution_geometry(list(config.conv_kernel), list(config.conv_stride))
    return Checkpoint(
        model=model,
        config=config,
        source=name,
        revision=commit,
        weights_sha256=digest(weights),
        architecture=architecture,
        do_normalize=do_normalize,
        labels=labels,
        hop=hop,
        receptive_field=receptive_field,
        license=license_of(name, folder),
        folder=folder,
    )


def normalisation(preprocessor: Mapping[str, Any], name: str) -> bool:
    """Whether a checkpoint wants its samples normalised; it has to say so, and to want them at 16 kHz."""
    if not isinstance(preprocessor.get("do_normalize"), bool):
        raise CheckpointError(f"The {PREPROCESSOR} of {name} does not say whether to normalise (do_normalize).")
    if preprocessor.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
        raise CheckpointError(f"{name} wants {preprocessor['sampling_rate']} Hz; only checkpoints for {SAMPLE_RATE} Hz are supported.")
    return bool(preprocessor["do_normalize"])


def digest(weights: list[Path]) -> str:
    """SHA-256 of one weights file; of several, of their digests in the order of their names."""
    digests = []
    for path in weights:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(one.digest() for one in digests)).hexdigest()


def locate(source: str | Path, revision: str | None) -> tuple[Path, str, str]:
    """The checkpoint's folder, its name, and the hub's commit."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path, path.resolve().name, ""
    if path.exists():
        raise CheckpointError(f"{path} is a file; name the folder that holds config.json and the weights, or a hub id.")
    if not hub.is_hub_id(str(source)):
        raise CheckpointError(f"There is no checkpoint at {path}; name a folder with config.json and the weights, or a hub id.")
    try:
        folder = hub.snapshot(str(source), HUB_PATTERNS, ("*.safetensors", "*.bin"), revision)
    except ModelNotFoundError as error:
        raise CheckpointError(str(error)) from error
    if not (folder / PREPROCESSOR).is_file():
        # Programs that only load the model leave this file out of the cache. If it cannot be had, its absence is the error, further down.
        with suppress(ModelNotFoundError):
            folder = hub.snapshot(str(source), HUB_PATTERNS, (PREPROCESSOR,), revision)
    return folder, str(source), folder.name


def read_json(path: Path, name: str) -> Mapping[str, Any]:
    """One of the checkpoint's JSON files."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{name} has no {path.name}: take it from where the checkpoint comes from.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The {path.name} of {name} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"The {path.name} of {name} holds no JSON object.")
    return content


def _architecture(config: Mapping[str, Any], name: str) -> str:
    """The class that the config names, if it is a frame classifier of a family that we know."""
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if not architecture.endswith(FRAME_CLASSIFIER):
        raise CheckpointError(f"{name} is a {architecture or 'model of an unnamed class'}; only {FRAME_CLASSIFIER} models diarize.")
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None or family.architecture != architecture:
        known = ", ".join(family.architecture for family in FAMILIES.values())
        raise CheckpointError(f"{name} is a {architecture} of type {config.get('model_type')}; supported are {known}.")
    if config.get("add_adapter"):
        raise CheckpointError(f"{name} has an adapter between encoder and classifier (add_adapter), which is not supported.")
    return architecture


def weight_files(folder: Path, name: str) -> list[Path]:
    """The files that hold the weights."""
    for candidate in WEIGHTS:
        path = folder / candidate
        if not path.is_file():
            continue
        if path.suffix != ".json":
            return [path]
        weight_map = read_json(path, name).get("weight_map")
        named = list(weight_map.values()) if isinstance(weight_map, dict) else []
        if not named or not all(isinstance(shard, str) and Path(shard).name == shard for shard in named):
            raise CheckpointError(f"The {candidate} of {name} does not say which files beside it hold the weights.")
        shards = sorted({folder / shard for shard in named})
        missing = [shard.name for shard in shards if not shard.is_file()]
        if missing:
            raise CheckpointError(f"{name} lacks {', '.join(missing)} that its {candidate} names.")
        return shards
    raise CheckpointError(f"{name} has no weights: none of {', '.join(WEIGHTS)} is in its folder.")


def load_model(folder: Path, model_class: Any, name: str, unused: re.Pattern[str] = UNUSED) -> tuple[torch.nn.Module, Any]:
    """A model with every one of its weights from the checkpoint, never one left as it was initialised, but for ``unused`` ones."""
    import torch

    try:
        with quiet():
            model, loading = model_class.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32, attn_implementation="eager", weights_only=True
            )
    # transformers, safetensors and pickle each raise their own kinds for a damaged file; all of them mean that it cannot be loaded.
    except Exception as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        if _holds_code(error):
            reason = "its pickle holds more than tensors, which could run code; save it as safetensors where it comes from"
        raise CheckpointError(f"The weights of {name} cannot be loaded: {reason}.") from error
    missing = sorted(key for key in loading["missing_keys"] if not unused.search(key))
    mismatched = sorted(str(entry[0]) for entry in loading["mismatched_keys"])
    if missing or mismatched:
        keys = [*missing, *mismatched]
        raise CheckpointError(f"The weights of {name} lack {len(keys)} of the model's tensors or have others' shapes, first {keys[0]}.")
    return model.eval(), model.config


def _holds_code(error: BaseException | None) -> bool:
    """Whether PyTorch's weights-only reader refused a pickle, which transformers wraps in errors of its own."""
    while error is not None:
        if "weights_only" in str(error) or "Weights only" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _labels(config: Any, head: str | None, name: str) -> tuple[str, ...]:
    """The labels in the order of their columns, if each can be one speaker."""
    labels = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
    if head not in {None, "sigmoid"}:
        raise CheckpointError(f"There is no head {head!r}; the only one is sigmoid.")
    strange = [label for label in labels if not SPEAKER_LABEL.fullmatch(label.strip())]
    if strange and head is None:
        raise CheckpointError(
            f"The labels of {name} do not look like speakers ({', '.join(map(repr, strange[:4]))}): if each is one speaker with a sigmoid "
            "of its own, pass --head sigmoid."
        )
    return labels


def license_of(name: str, folder: Path) -> str:
    """The licence of the weights as far as it is known."""
    if name.startswith("microsoft/wavlm"):
        return MICROSOFT_LICENSE
    readme = folder / "README.md"
    if readme.is_file():
        front = re.match(r"---\s*\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
        found = re.search(r"^license:\s*(\S.*)$", front.group(1), re.MULTILINE) if front else None
        if found:
            return found.group(1).strip().strip("'\"")
    return UNKNOWN_LICENSE
