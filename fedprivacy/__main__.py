"""``python -m fedprivacy`` is ``fedprivacy``."""

from fedprivacy.cli.main import main

if __name__ == "__main__":
    main()
