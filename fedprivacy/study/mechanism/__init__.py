"""A mechanism of one's own, as a function that is called many times: what it claims, and what its outputs tell."""
