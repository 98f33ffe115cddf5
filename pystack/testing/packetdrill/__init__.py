"""Scripts in packetdrill's language, run in virtual time against a host of ours.

A script says what a peer sends, what a program asks of its sockets, and what must be seen on the
wire, each with its time. `lexer` and `parser` read it into the values of `script`; `runner` plays
it: `world` is a host on an emulated TUN device, `sockets` and `calls` are the program's side of it
(BSD sockets over the stack), `packets` makes and compares what is on the wire. The language is
described in docs/packetdrill.md.
"""
