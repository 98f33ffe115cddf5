"""The command `pystack`: words only; what they do is elsewhere."""
