"""Scripts in packetdrill's language, run in virtual time against a pystack host.

A script says what a peer sends, what a program asks of its sockets, and what must be seen on the
wire, each with its time. `lexer` and `parser` (with `parse_call`, `parse_options`,
`parse_packet`) read it into the values of `script`; `runner` and `play` play it: `world` is a host
on an emulated TUN device, `calls` is the program's side of it (over `streams` and `datagrams`),
`inject` makes what the peer sends, `compare` holds what was `seen` against what was to come. The
language is described in docs/packetdrill.md.
"""
