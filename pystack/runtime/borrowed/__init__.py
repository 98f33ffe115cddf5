"""Names of the standard library that are a host's where the code is on one: clock, chance, I/O."""
