"""Services that a host can run: HTTP, and the simple services of RFC 862, 863, 864 and 867.

`service` says what a service is and knows them by name, `serving` runs one on a host, `simple` and
`http` are the built-in ones.
"""
