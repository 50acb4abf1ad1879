"""Figures that an attack tells of its own effort; reports say them in words, and no table shows them."""

THOROUGH = "work of the thorough grade over this one's"
"""Counted from what was seen and computed here, and not timed: a ratio of operations or of simulated rounds."""
FORETOLD = "AUC that the simulations foretell"
"""Of the grade that was computed."""
FIGURES = frozenset({THOROUGH, FORETOLD})
