"""How a federation runs: what a protocol writes, the engine of rounds, and the rounds that protocols share."""
