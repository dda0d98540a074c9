"""``-m`` with a PyTorch checkpoint: exported once into the user's cache, and taken from there afterwards."""

from __future__ import annotations

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer import __version__
from wavlm_diarizer.cache import cache_folder
from wavlm_diarizer.errors import MissingExtraError
from wavlm_diarizer.model_file import HUB_JSON, is_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

EXPORT_NEEDS = ("torch", "transformers", "optimum.exporters.onnx", "onnx", "safetensors")


def exported(model: str | None, precision: str, *, quiet: bool) -> str | None:
    """``model`` itself, unless it is a checkpoint's folder: then what was exported from it, now or earlier.

    That is one file, or for ``auto`` a folder with both precisions, of which the faster one here is taken. Raises
    :class:`MissingExtraError` if it has to be exported and the ``export`` extra is not installed.
    """
    if model is None or not (folder := Path(model).expanduser()).is_dir() or not is_checkpoint(folder):
        return model
    stem = f"{folder.resolve().name}-{_fingerprint(folder)}"
    target = cache_folder() / (stem if precision == "auto" else f"{stem}-{precision}.onnx")
    # Of a folder's files, the last that is put in its place.
    if not (target / HUB_JSON[-1] if precision == "auto" else target).is_file():
        export = load_exporter()
        if not quiet:
            print(f"wavlm-diarizer: exporting {folder} to {target}, once", file=sys.stderr)  # noqa: T201
        target.parent.mkdir(parents=True, exist_ok=True)
        export(folder, target, precision=None if precision == "auto" else precision)
    return str(target)


def load_exporter() -> Callable[..., Any]:
    """The export function, from the other half of the distribution. Raises :class:`MissingExtraError` without the ``export`` extra."""
    require_export_extra()
    from wavlm_export.exporter import export  # noqa: TID251 - the door from the command line to the exporter

    return export


def require_export_extra() -> None:
    """Raise :class:`MissingExtraError` if anything that the exporter needs is not installed."""
    for name in EXPORT_NEEDS:
        try:
            found = find_spec(name) is not None
        except (ImportError, ValueError):  # a parent package that is missing, or a module that was blocked
            found = False
        if not found:
            raise MissingExtraError(f"This needs the export extra ({name} is missing): pip install 'wavlm-diarizer[export]'.")


def _fingerprint(folder: Path) -> str:
    """A short digest of the checkpoint's files and of this version, so that a changed checkpoint is exported anew."""
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(path for path in folder.iterdir() if path.suffix in {".json", ".safetensors", ".bin"}):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
