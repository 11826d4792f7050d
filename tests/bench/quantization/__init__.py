"""Post-training quantization side by side: edgert and its peers on the same samples, and what each algorithm gains."""
