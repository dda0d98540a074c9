"""The recipe of the built-in model: ``python -m wavlm_export.builtin prepare|train|project|evaluate|build --config FILE.toml``.

voices -> conversations -> a small WavLM with two heads -> Hugging Face checkpoints ``sd`` and ``sv`` -> the model file
"""
