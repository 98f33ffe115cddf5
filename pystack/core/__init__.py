"""Values and time: what everything above is made of. Imports the standard library only."""
