"""A dishonest server's traps: rows, the layer they are laid in, the forged model, when it is sent, what is read."""
