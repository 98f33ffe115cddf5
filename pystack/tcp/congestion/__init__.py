"""Congestion controls: how much may be in flight."""
