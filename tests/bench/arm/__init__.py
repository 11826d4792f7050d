"""Instructions that ONNX Runtime and LiteRT execute per inference on 64-bit ARM cores, counted in QEMU."""
