"""From a PyTorch checkpoint to a verified ONNX file: what needs torch, transformers, optimum and onnx (extra ``export``).

checkpoint -> reference graph -> verification -> quantization -> guard -> file

Nothing heavy is imported here; :func:`wavlm_export.exporter.export` does the whole way, :func:`wavlm_export.verification.verify` repeats
the comparison with PyTorch later.
"""
