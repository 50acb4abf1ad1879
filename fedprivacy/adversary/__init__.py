"""Who attacks: position, power, view and knowledge, and what the examiner alone knows."""
