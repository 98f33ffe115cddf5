"""The TCP engine (RFC 9293): sans-IO and clock-free. Imports core and wire.

`connection.py` is what the rest of the stack sees. `arrives.py` is the heart: the eight checks of
section 3.10.7, in the RFC's order. Sequence numbers in here are *unwrapped*: see `seq.py`.
"""
