"""A Flower app as anybody writes it, and the six lines that let fedprivacy record it."""
