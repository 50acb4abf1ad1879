"""A Flower app as anybody writes it, and the five lines that let fedprivacy record it."""
