"""Is sharing predictions private? One page on anybody's data: leakage over what the adversary knows, at equal power."""
