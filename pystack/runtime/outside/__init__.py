"""The real network behind a host: what arrives for the world leaves by the machine's sockets."""
