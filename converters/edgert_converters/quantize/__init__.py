"""Post-training quantization: statistics -> ranges -> plan -> QuantizeLinear/DequantizeLinear in the graph."""
