"""Clients on the stack: what `pystack get`, `ping` and `dig` do, as functions over a host.

They take the host that they stand on, and what they have to say goes to whoever calls, so that
they run in virtual time as in real time. Their exit statuses are those of curl, ping and dig.
"""
