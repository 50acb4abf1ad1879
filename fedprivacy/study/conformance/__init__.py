"""Whether a part keeps what its kind promises, told in words: what ``fedprivacy check`` runs."""
