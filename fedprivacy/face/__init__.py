"""The public face: what ``import fedprivacy`` offers, one verb a file. Live objects in, results with tables out."""
