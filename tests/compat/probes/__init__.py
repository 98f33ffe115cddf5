"""The probes, by what the libraries are for. `registry.py` puts them together."""
