"""What all Cortex-M boards share: kernels, firmware, building and flashing."""
