"""The part of edgert that a Linux board runs before anything is installed there: the standard library and nothing else.

The laptop sends it over SSH, found again by hash, and starts it with the board's own Python (edgert.devices.ssh). It
keeps uploads, makes the private environment, and starts the workers; it ends when the laptop falls silent.
"""
