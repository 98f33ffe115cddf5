"""Connections of the machine's kernel and of stack hosts, joined without a task for each."""
