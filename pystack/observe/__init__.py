"""What was seen: every frame, every change of state, every drop. Imports core and wire."""
