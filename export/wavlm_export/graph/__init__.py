"""A loaded checkpoint in, the fast ONNX graph out: the same answer as PyTorch, written as matrix products.

checkpoint -> architecture and weights -> conv stack -> projection -> positional convolution -> layers -> head

Each file writes one block of the architecture with the operators that a CPU runs fastest; :mod:`wavlm_export.graph.build` puts them
together.
"""
