"""Files by UDP: TFTP (RFC 1350) with the options of RFC 2348, 2349 and 7440."""
