"""Lower bounds of epsilon measured by an attack, each under the assumptions that it names."""
