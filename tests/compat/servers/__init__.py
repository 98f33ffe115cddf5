"""Servers for the probes: as much of each protocol as they need. They run on hosts, on Trio."""
