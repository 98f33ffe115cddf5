"""Drivers: how the world's time passes, in real and in virtual time."""
