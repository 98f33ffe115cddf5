"""Sockets as BSD has them, over a host's stack: what `trio.socket` gives a program."""
