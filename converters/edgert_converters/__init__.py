"""From a trained model to a bundle: importers -> passes -> quantize -> exporters. Never imported on a board."""
