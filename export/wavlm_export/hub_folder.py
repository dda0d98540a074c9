"""Verified files in, a folder in the hub's layout out, as optimum and transformers.js read it: all of it, or nothing.

FOLDER/config.json, preprocessor_config.json, onnx/model.onnx (fp32), onnx/model_quantized.onnx (int8)
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import OutputError
from wavlm_diarizer.model_file import NAMES
from wavlm_diarizer.settings import PREFIX
from wavlm_export.checkpoint import CONFIG, PREPROCESSOR

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from wavlm_export.checkpoint import Checkpoint

ONNX = "onnx"


def refuse_other_weights(folder: Path, written: Collection[str], checkpoint: Checkpoint) -> None:
    """Raise :class:`OutputError` if a model of other weights, or of another speaker model, would stay in the folder.

    Whoever opens the folder could be given that one. ``written`` are the precisions that are about to be written.
    """
    own = checkpoint.weights_sha256, "" if checkpoint.speaker is None else checkpoint.speaker.weights_sha256
    paths = [folder / part / name for precision in NAMES if precision not in written for name in NAMES[precision] for part in (ONNX, ".")]
    for path in paths:
        if path.is_file() and _weights(path) != own:
            raise OutputError(
                f"{path} does not say that it was made from these weights: remove it, choose another folder, or export both precisions."
            )


def write_folder(folder: Path, checkpoint: Checkpoint, files: Mapping[str, bytes]) -> None:
    """Write the model files, by precision, and the checkpoint's two JSON files.

    Everything is written aside within the folder and renamed once all of it is there. Raises :class:`OutputError`, and leaves nothing then.
    """
    contents = {folder / ONNX / NAMES[precision][0]: data for precision, data in files.items()}
    contents |= {folder / name: (checkpoint.folder / name).read_bytes() for name in (CONFIG, PREPROCESSOR)}
    for path in contents:
        # Renaming would replace even a file that its owner made read-only.
        if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
            raise OutputError(f"{path} cannot be replaced: it is read-only or not a file; choose another folder.")
    made = [path for path in (folder / ONNX, folder, *folder.parents) if not path.exists()]
    new = [path for path in contents if not path.exists()]
    aside = folder / f".{secrets.token_hex(8)}.part"
    try:
        (folder / ONNX).mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        for path, data in contents.items():
            (aside / path.name).write_bytes(data)
        for path in contents:
            (aside / path.name).replace(path)
        aside.rmdir()
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        for path in new:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder that somebody else has put something into stays
            for path in made:
                path.rmdir()
        if isinstance(error, OSError):
            raise OutputError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error
        raise


def _weights(path: Path) -> tuple[str, str]:
    """The SHA-256 of the weights that a model file was made from, and of its speaker model's; empty if it does not say."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        metadata = onnx.load(path, load_external_data=False).metadata_props
    except (OSError, DecodeError):
        return "", ""
    known = {str(item.key): str(item.value) for item in metadata}
    return known.get(f"{PREFIX}weights_sha256", ""), known.get(f"{PREFIX}speaker_weights_sha256", "")
