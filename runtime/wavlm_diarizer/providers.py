"""The name of an execution provider in, a session on it out: whatever the installed onnxruntime or a plugin package offers.

Other providers compute in other arithmetic (bf16, half floats, tensor cores), so a model's answer there is compared with the CPU's once, on
speech, and the provider is refused if it differs by more than int8 may from fp32.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.agreement import Agreement, Limits, compare
from wavlm_diarizer.cache import cache_folder
from wavlm_diarizer.errors import MissingExtraError, ModelFormatError, OptionError, OutputError, VerificationError
from wavlm_diarizer.sessions import load_onnxruntime, open_session, session_options
from wavlm_diarizer.writing import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    import onnxruntime
    from numpy.typing import NDArray

    from wavlm_diarizer.model_file import ModelFile
    from wavlm_diarizer.settings import ModelSettings

CPU = "cpu"
PROVIDERS = {
    CPU: ("CPUExecutionProvider", "onnxruntime"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-ep-openvino"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime, in its build for macOS"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "qnn": ("QNNExecutionProvider", "onnxruntime-qnn"),
    "migraphx": ("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
}
"""Short names, onnxruntime's own, and the package that has it. Any other provider goes by onnxruntime's own name.

https://onnxruntime.ai/docs/execution-providers/
"""
PLUGIN = "onnxruntime_ep_"
"""Plugin packages are modules of this name and the provider's short one, with ``get_library_path()``."""


def full_name(provider: str) -> str:
    """Onnxruntime's name of a provider. Raises :class:`OptionError` for a name that is none."""
    if provider.lower() in PROVIDERS:
        return PROVIDERS[provider.lower()][0]
    known = next((name for name, _ in PROVIDERS.values() if name.lower() == provider.lower()), None)
    if known or provider.endswith("ExecutionProvider"):
        return known or provider
    raise OptionError(
        f"There is no provider {provider!r}; there are {', '.join(PROVIDERS)}, and any other that onnxruntime names ...ExecutionProvider."
    )


def open_on(file: ModelFile, provider: str, *, threads: int | None = None, low_memory: bool = False) -> onnxruntime.InferenceSession:
    """A session of a model file on a provider other than the CPU's.

    Raises :class:`OptionError` for a name that is none, :class:`MissingExtraError`, which names the package, if the provider is not here,
    and :class:`ModelFormatError` if it does not take the model.
    """
    name = full_name(provider)
    runtime = load_onnxruntime()
    options = session_options(threads=threads, low_memory=low_memory)
    arguments: dict[str, Any] = {}
    if name in runtime.get_available_providers():
        arguments["providers"] = [name, "CPUExecutionProvider"]
    else:
        options.add_provider_for_devices(_plugin_devices(runtime, name, provider), {})
    try:
        session = runtime.InferenceSession(str(file.path), sess_options=options, **arguments)
    # onnxruntime's exceptions have no common base but Exception.
    except Exception as error:
        raise ModelFormatError(f"{file.name} cannot be run by {name}: {' '.join(str(error).split())[:300]}") from error
    if name not in session.get_providers():
        raise ModelFormatError(f"{name} is installed, but did not start here, and onnxruntime took {', '.join(session.get_providers())}.")
    return session


def _plugin_devices(runtime: ModuleType, name: str, provider: str) -> Sequence[Any]:
    """The devices of a provider that comes as a plugin package."""
    short = next((short for short, (long, _) in PROVIDERS.items() if long == name), provider)
    package = PROVIDERS.get(short, (name, f"a package with {name}"))[1]
    found = [device for device in runtime.get_ep_devices() if device.ep_name == name]
    if not found:
        try:
            plugin = importlib.import_module(f"{PLUGIN}{short}")
        except ImportError as error:
            raise MissingExtraError(f"{name} is not in this onnxruntime: pip install {package}.") from error
        try:
            runtime.register_execution_provider_library(name, plugin.get_library_path())
        except Exception as error:
            raise ModelFormatError(f"{package} is installed, but its library cannot be loaded: {' '.join(str(error).split())}.") from error
        found = [device for device in runtime.get_ep_devices() if device.ep_name == name]
    if not found:
        raise MissingExtraError(f"{package} is installed, but {name} finds no device on this machine that it can use.")
    return found


def check(session: onnxruntime.InferenceSession, file: ModelFile, settings: ModelSettings, provider: str) -> Agreement:
    """Compare a provider's answer with the CPU's on the speech that comes with the package, once for each file and onnxruntime.

    Raises :class:`VerificationError` if it is outside :class:`wavlm_diarizer.agreement.Limits`.
    """
    name = full_name(provider)
    path = cache_folder() / f"provider-{_key(file.path, name)}.json"
    agreement = _remembered(path)
    if agreement is None:
        windows = _speech(settings)
        agreement = compare(_answers(open_session(file.path), windows), _answers(session, windows))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, json.dumps({"file": str(file.path), "provider": name, **asdict(agreement)}, indent=2).encode())
        except (OSError, OutputError):
            pass  # it will be compared again next time
    if not agreement.within(Limits()):
        raise VerificationError(
            f"{name} answers otherwise than the CPU on {file.name} (relative RMS {agreement.relative_rms:.3f}, labels equal "
            f"{agreement.labels_equal:.2%}, mean probability difference {agreement.mean_probability_difference:.3f}): use the CPU."
        )
    return agreement


def _speech(settings: ModelSettings) -> list[NDArray[np.float32]]:
    """The sample recording in windows of the model's length, as the model wants them."""
    from wavlm_diarizer.audio import open_audio
    from wavlm_diarizer.model_file import SAMPLE
    from wavlm_diarizer.windows import cut, normalise

    with open_audio(SAMPLE, rate=settings.sampling_rate) as stream:
        found = [window.samples[:, 0] for window in cut(stream.blocks(), settings.windows, settings.time_base)]
    return [normalise(window) if settings.do_normalize else window for window in found]


def _answers(session: onnxruntime.InferenceSession, windows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """All logits ``[frames, labels]``, one window after the other."""
    from wavlm_diarizer.model_file import INPUT, OUTPUT

    return np.concatenate([session.run([OUTPUT], {INPUT: window[None]})[0][0] for window in windows])


def _key(file: Path, provider: str) -> str:
    status = file.stat()
    found = [load_onnxruntime().__version__, provider, str(file.resolve()), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _remembered(path: Path) -> Agreement | None:
    """What was measured before, if it can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Agreement(*(float(content[name]) for name in ("relative_rms", "labels_equal", "mean_probability_difference")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
