"""Links to other machines: Ethernet frames in the datagrams of a socket of the machine."""
