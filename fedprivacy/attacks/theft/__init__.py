"""Model theft: a copy of each client's model from the predictions that it shares."""
