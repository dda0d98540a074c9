"""onnxruntime's policy, in one place: threads, spinning, memory, exact int8 arithmetic, and no telemetry.

In: a model's path or bytes. Out: an ``onnxruntime.InferenceSession`` on the CPU.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import ModelFormatError, OptionError
from wavlm_diarizer.machine import cpu, usable_cores

if TYPE_CHECKING:
    from types import ModuleType

    import onnxruntime

EXACT_INT8 = "session.x64quantprecision"
"""Makes u8 x s8 products exact on x86 CPUs without VNNI, where they would saturate; onnxruntime ignores it on the others.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html (section on data types)
"""


NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""Since 1.29, onnxruntime's packages for Linux and macOS send usage data over the network unless this is set before they are loaded.

https://github.com/microsoft/onnxruntime/pull/27379
"""


def load_onnxruntime() -> ModuleType:
    """onnxruntime, with its telemetry off: nothing that this package does uses the network unasked.

    A value of ``ORT_DISABLE_TELEMETRY`` that the user has set is left alone. If onnxruntime was loaded before, its own switch has to do.
    """
    os.environ.setdefault(NO_TELEMETRY, "1")
    import onnxruntime

    if os.environ[NO_TELEMETRY] == "1":
        onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


def session_options(*, threads: int | None = None, spin: bool = False, low_memory: bool = False) -> onnxruntime.SessionOptions:
    """The options that every session of this project is opened with.

    ``threads``: at most this many; ``None``: as many as this process may use. ``spin``: idle threads wait busily, which saves a few per
    cent of one stream's time and takes a whole core each from everything else. ``low_memory``: weights are used as they lie in the file
    instead of a second, rearranged copy, and the arena grows by what is asked for only.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads(threads)
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors only: what matters to a user is raised
    # A plan of all buffers, made for each new length, keeps more than are ever needed at once: 810 MB instead of 674 for 30 s in full size.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if cpu().may_saturate:
        options.add_session_config_entry(EXACT_INT8, "1")
    if low_memory:
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return options


def open_session(
    model: str | Path | bytes,
    *,
    threads: int | None = None,
    spin: bool = False,
    low_memory: bool = False,
) -> onnxruntime.InferenceSession:
    """Open a model file (or its bytes) on the CPU.

    No custom-operator library is loaded, and onnxruntime itself refuses external data outside the file's folder. Raises
    :class:`ModelFormatError` if onnxruntime cannot read or run it.
    """
    onnxruntime = load_onnxruntime()
    name = "The model" if isinstance(model, bytes) else str(model)
    options = session_options(threads=threads, spin=spin, low_memory=low_memory)
    if cpu().may_saturate:
        model = _exact(model)
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), sess_options=options, providers=["CPUExecutionProvider"]
        )
    # onnxruntime's exceptions have no common base but Exception; nothing else can happen in that one call.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFormatError(f"{name} is not an ONNX model that onnxruntime {onnxruntime.__version__} can run: {reason}") from error


def _threads(wanted: int | None) -> int:
    """So many as are wanted; those that this process may use if nothing is said."""
    if wanted is not None and (isinstance(wanted, bool) or wanted < 1):
        raise OptionError(f"threads must be at least 1, not {wanted}.")
    return wanted or usable_cores()


SMALL_MODEL = 40_000_000
"""Bytes of a model file below which windows are worked on side by side, one thread each.

Two windows at once, one thread each, against one window with two threads, on two cores: 1.8 times as fast with a model of 5 MB;
1.1 times with a full-size one (100 MB), which would take twice the memory for it.
"""


def windows_at_once(model: Path, *, threads: int | None = None, low_memory: bool = False) -> int:
    """How many windows to work on at the same time, each with one thread of ``threads``; 1: all threads work on one window."""
    threads = _threads(threads)
    if low_memory or threads == 1:
        return 1
    # Weights may lie in a file of their own beside the model: model.onnx_data, model.onnx.data.
    size = sum(part.stat().st_size for part in model.parent.glob(f"{glob.escape(model.name)}*") if part.is_file())
    return threads if size < SMALL_MODEL else 1


def _exact(model: str | Path | bytes) -> str | Path | bytes:
    """The model as it must be opened for :data:`EXACT_INT8` to reach all its products."""
    from wavlm_diarizer.exact_int8 import with_weights_in_bodies

    try:
        return with_weights_in_bodies(model if isinstance(model, bytes) else Path(model).read_bytes()) or model
    except OSError:
        return model  # onnxruntime says what is wrong with the file


def run_options(*, low_memory: bool = False) -> onnxruntime.RunOptions:
    """Options of one run: with ``low_memory`` what the arena no longer needs goes back to the system after it."""
    options = load_onnxruntime().RunOptions()
    options.log_severity_level = 3
    if low_memory:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options
