"""What crosses the wire: payloads, their encoding, the channel between parties, and the log of all messages."""
