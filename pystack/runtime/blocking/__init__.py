"""Blocking code on hosts: threads of a world, of which one runs at a time."""
