"""fedprivacy: run a federated protocol, record what crosses the wire, attack it, and account for privacy.

Importing this package costs nothing: no torch, no numpy. The rooms below it are imported by name.
"""

__version__ = "0.1.0"
