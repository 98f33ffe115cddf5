"""Toxics: what a proxy does to its connections, on their bytes or on the packets of its link."""
