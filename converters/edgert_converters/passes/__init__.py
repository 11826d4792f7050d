"""Clean-up passes over the imported graph: same outputs, fewer and simpler nodes (pipeline.py holds the order)."""
