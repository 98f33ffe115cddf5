"""The Trio boundary: drivers that let time pass, devices, and the stack as Trio programs see it."""
