"""Queues in front of a transmitter, in tc(8)'s words."""
