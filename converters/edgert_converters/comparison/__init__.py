"""Engines against the integer interpreter: layer by layer (`isolated`) and as a whole (`end_to_end`).

`verify.py` is behind `edgert verify`; `table.py` writes the table of docs/engines.md.
"""
