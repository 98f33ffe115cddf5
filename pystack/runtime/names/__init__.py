"""Names: getaddrinfo on a host, the resolver behind it, and servers that answer."""
