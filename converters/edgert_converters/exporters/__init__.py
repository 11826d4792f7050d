"""From the graph to files that an engine reads."""
