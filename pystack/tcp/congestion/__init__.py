"""Congestion controls: how much may be on the way."""
