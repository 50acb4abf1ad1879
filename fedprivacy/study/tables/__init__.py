"""Pages of the ordinary kind: rows of settings, each a run, and columns that say what of its result is shown."""
