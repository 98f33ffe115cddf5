"""Loss recovery: what to send again, and when."""
