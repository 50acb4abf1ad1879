"""Telling two inputs of a mechanism apart by its outputs: statistics that are learned on calls which judge nothing."""
