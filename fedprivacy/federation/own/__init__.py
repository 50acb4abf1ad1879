"""A federation of one's own: a plain function ``federate(game, wire)`` in the place of a protocol."""
