"""The targets that come with edgert: one folder each, found through the entry point group `edgert.targets`."""
