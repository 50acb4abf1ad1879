"""Recordings of federations that ran elsewhere: a folder that is written round by round and attacked like a run."""
