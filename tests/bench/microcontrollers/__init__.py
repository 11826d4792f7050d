"""Generated C for Cortex-M in QEMU: instructions, modelled cycles, memory, exactness, beside what others need."""
