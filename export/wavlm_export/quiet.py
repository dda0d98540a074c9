"""Silence for libraries that talk: the user of the command line sees our few lines, not theirs."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wavlm_diarizer.sessions import load_onnxruntime

if TYPE_CHECKING:
    from collections.abc import Iterator

TALKERS = ("transformers", "optimum", "torch", "torch.onnx", "onnxruntime", "root")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no log lines below an error while this is open; their levels are as before afterwards."""
    load_onnxruntime()  # before optimum loads it, with its telemetry off
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in TALKERS]
    levels = [logger.level for logger in loggers]
    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bar:
            transformers_logging.enable_progress_bar()
