"""FTP (RFC 959) as a service of a host."""
