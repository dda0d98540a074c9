"""A model's name in, its file and settings out.

A name is a path (a file, or a folder in the hub's layout), a hub id, or nothing for the built-in model. An existing path always wins.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer import hub
from wavlm_diarizer.errors import ModelFormatError, ModelNotFoundError, ModelSettingsError, OptionError
from wavlm_diarizer.settings import PREFIX, ModelSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnxruntime

BUILTIN = Path(__file__).with_name("builtin") / "model.onnx"
"""The model that comes with the package."""
SAMPLE = BUILTIN.with_name("sample.flac")
"""The recording that comes with it, half a minute of a meeting; its reference turns lie beside it."""
INPUT = "input_values"
OUTPUT = "logits"
EMBEDDINGS, EMBEDDING_FRAMES = "embeddings", "embedding_frames"
"""Outputs of a file with voices: one embedding for each label, and the number of frames that each was pooled from."""

NAMES = {"int8": ("model_quantized.onnx", "model_int8.onnx"), "fp32": ("model.onnx",)}
"""File names of the hub's layout (optimum, transformers.js), by precision."""
HUB_JSON = ("config.json", "preprocessor_config.json")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file on this machine."""

    path: Path

    @property
    def name(self) -> str:
        """What errors and reports call it."""
        return "the built-in model" if self.path == BUILTIN else str(self.path)

    def settings(self, session: onnxruntime.InferenceSession) -> ModelSettings:
        """The settings in the opened file, else those of the JSON files beside it or one folder up."""
        check_interface(session, self.name)
        embedded = ModelSettings.from_metadata(session.get_modelmeta().custom_metadata_map, self.name)
        if embedded is not None:
            return embedded
        return ModelSettings.from_hub_json(self._json("config.json"), self._json("preprocessor_config.json"), self.name)

    def _json(self, name: str) -> Mapping[str, Any]:
        """One of the hub's JSON files, beside the model or one folder up."""
        for folder in (self.path.parent, self.path.parent.parent):
            path = folder / name
            if not path.is_file():
                continue
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ModelSettingsError(f"{path} cannot be read as JSON: {error}") from error
            if isinstance(content, dict):
                return content
            raise ModelSettingsError(f"{path} holds no JSON object.")
        raise ModelSettingsError(
            f"{self.name} has no wavlm_diarizer metadata, and there is no {name} beside it or one folder up: put the checkpoint's there."
        )


def find(
    model: str | os.PathLike[str] | None = None,
    *,
    precision: str = "auto",
    revision: str | None = None,
    prefer: Callable[[Mapping[str, Path]], str] | None = None,
) -> ModelFile:
    """The file that ``model`` names.

    ``precision`` chooses among the files of a folder: ``fp32``, ``int8``, or ``auto`` for the one that ``prefer`` names of those that there
    are (a path for each precision), without it int8. The network is used only for a hub id that is not in the local cache. Raises
    :class:`ModelNotFoundError`, :class:`ModelFormatError` or :class:`OptionError`.
    """
    if precision not in {"auto", *NAMES}:
        raise OptionError(f"precision must be auto, fp32 or int8, not {precision!r}.")
    if model is None:
        if not BUILTIN.is_file():
            raise ModelNotFoundError(f"The built-in model is missing from this installation ({BUILTIN}): install wavlm-diarizer again.")
        return ModelFile(BUILTIN)
    path = Path(model).expanduser()
    if path.is_dir():
        return ModelFile(_preferred(path, precision, prefer) or _in_folder(path, precision))
    if path.exists():
        return ModelFile(path)
    if hub.is_hub_id(os.fspath(model)):
        cached = hub.cached_snapshot(os.fspath(model), revision)
        known = _preferred(cached, precision, prefer) if cached is not None else None
        return ModelFile(known or _from_hub(os.fspath(model), precision, revision))
    raise ModelNotFoundError(f"There is no model at {path}; name an .onnx file, a folder that holds one, or a hub id such as owner/model.")


def _preferred(folder: Path, precision: str, prefer: Callable[[Mapping[str, Path]], str] | None) -> Path | None:
    """The preferred one of a folder's precisions, ``None`` where there is nothing to choose."""
    if precision != "auto" or prefer is None:
        return None
    files: dict[str, Path] = {}
    for kind, names in NAMES.items():
        found = next((path for name in names for path in (folder / "onnx" / name, folder / name) if path.is_file()), None)
        if found is not None:
            files[kind] = found
    return files[prefer(files)] if len(files) > 1 else None


def _from_hub(hub_id: str, precision: str, revision: str | None) -> Path:
    """The file of that precision of a hub id: whatever fits in the local cache, else the first that can be downloaded.

    Repositories of exported models hold many precisions, so only the files that are asked for are downloaded.
    """
    kinds = [precision] if precision != "auto" else ["int8", "fp32"]
    files = {kind: tuple(folder + name for name in NAMES[kind] for folder in ("onnx/", "")) for kind in kinds}
    cached = hub.cached_snapshot(hub_id, revision)
    if cached is not None:
        for names in files.values():
            for name in names:
                if (cached / name).is_file():
                    return cached / name
    for names in files.values():
        folder = hub.snapshot(hub_id, (*HUB_JSON, *names, *(f"{name}_data" for name in names)), names, revision)
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return _in_folder(folder, precision)


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a PyTorch checkpoint and no exported model."""
    return (
        (folder / "config.json").is_file()
        and any((folder / name).is_file() for name in WEIGHTS)
        and not any(folder.glob("*.onnx"))
        and not any(folder.glob("onnx/*.onnx"))
    )


def _in_folder(folder: Path, precision: str) -> Path:
    """The model of that precision in a folder of the hub's layout."""
    wanted = NAMES[precision] if precision != "auto" else (*NAMES["int8"], *NAMES["fp32"])
    for name in wanted:
        for path in (folder / "onnx" / name, folder / name):
            if path.is_file():
                return path
    found = sorted(path for pattern in ("*.onnx", "onnx/*.onnx") for path in folder.glob(pattern))
    if len(found) == 1 and precision == "auto":
        return found[0]
    if found:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found)
        raise ModelNotFoundError(f"{folder} has no {' or '.join(wanted)} but {names}: name the file itself.")
    if is_checkpoint(folder):
        raise ModelFormatError(
            f"{folder} is a PyTorch checkpoint, not an ONNX model: export it with 'wavlm-diarizer export {folder} -o model.onnx'."
        )
    raise ModelNotFoundError(f"{folder} holds no ONNX model: name an .onnx file, or a folder that holds one.")


def check_interface(session: onnxruntime.InferenceSession, name: str) -> None:
    """Raise :class:`ModelFormatError` unless the graph takes ``input_values`` (float32, two axes) and answers with ``logits``.

    Other outputs are left alone, but embeddings that the metadata promises have to be there.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [item.name for item in inputs]
    if names != [INPUT]:
        raise ModelFormatError(
            f"{name} takes {', '.join(names) or 'nothing'}, not just {INPUT}: it is not a frame classifier for raw audio."
        )
    if inputs[0].type != "tensor(float)":
        raise ModelFormatError(f"{name} takes {INPUT} as {inputs[0].type}, not as float32: export it in fp32 or int8.")
    if len(inputs[0].shape) != 2:
        raise ModelFormatError(f"{name} takes {INPUT} with {len(inputs[0].shape)} axes, not two (batch, samples).")
    if OUTPUT not in [item.name for item in outputs]:
        raise ModelFormatError(f"{name} answers with {', '.join(item.name for item in outputs)}, not with {OUTPUT}.")
    promised = session.get_modelmeta().custom_metadata_map.get(f"{PREFIX}embedding_size", "0")
    missing = {EMBEDDINGS, EMBEDDING_FRAMES}.difference(item.name for item in outputs)
    if promised != "0" and missing:
        raise ModelFormatError(
            f"{name} promises voice embeddings in its metadata, but its graph has no {' and no '.join(sorted(missing))}: export it again."
        )
