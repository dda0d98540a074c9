"""A hub id in, a local folder with its files out: from the local cache, or downloaded when ``huggingface_hub`` is installed.

The layout of the cache is public: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
DEFAULT_REVISION = "main"


def is_hub_id(name: str) -> bool:
    """Whether ``name`` looks like ``owner/model``: one slash, no ending of a model file, and nothing that only a path has."""
    return HUB_ID.fullmatch(name) is not None and not name.endswith(".onnx")


def cache_folder() -> Path:
    """Where the hub's client keeps its files, by the same environment variables that it reads."""
    if folder := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(folder).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def cached_snapshot(hub_id: str, revision: str | None = None) -> Path | None:
    """The folder of ``hub_id`` at ``revision`` (a branch, a tag or a commit) in the local cache, ``None`` if it is not there."""
    folder = cache_folder() / ("models--" + hub_id.replace("/", "--"))
    wanted = revision or DEFAULT_REVISION
    reference = folder / "refs" / wanted
    try:
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else wanted
    except OSError:
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def snapshot(hub_id: str, patterns: Sequence[str], needed: Sequence[str], revision: str | None = None) -> Path:
    """A local folder with the files of ``hub_id`` that match ``patterns``.

    The cache alone answers if it holds at least one file that matches one of ``needed`` (so a machine without a network works); otherwise
    they are downloaded if ``huggingface_hub`` is installed. Raises :class:`ModelNotFoundError` if neither works.
    """
    cached = cached_snapshot(hub_id, revision)
    if cached is not None and any(next(cached.glob(pattern), None) for pattern in needed):
        return cached
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ModelNotFoundError(
            f"There is no folder {hub_id}, and the hub's model of that name is not in the local cache ({cache_folder()}): "
            "pip install huggingface_hub to download it."
        ) from None
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns)))
    # The client raises errors of several libraries (HTTP, its own, OSError); all of them mean that the model cannot be had.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelNotFoundError(
            f"There is no folder {hub_id}, and the hub's model of that name could not be downloaded: {type(error).__name__}: {reason}"
        ) from error
