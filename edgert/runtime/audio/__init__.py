"""Features of sound in whole numbers only: MFCC and micro_frontend, the same bits here as in the generated C.

The arithmetic is specified in docs/numerics.md; edgert_converters.exporters.c.frontend writes the C.
"""
