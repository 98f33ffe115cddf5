"""iperf3's protocol, as unmodified iperf3 3.12 and newer speak it, and the client.

A control connection, which begins with a cookie of 37 bytes, carries one byte for each step and
JSON with its length in front; data connections begin with the same cookie. The service is in
`pystack.apps.iperf3`.
"""
