"""One host's layers, synchronous. Read `ingress.py` and `egress.py` first, then `host.py`."""
