"""Whole batches from the gradient of a dense ReLU layer: its factors, sparse vectors in their span, the right basis."""
