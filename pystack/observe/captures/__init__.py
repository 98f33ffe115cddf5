"""Captures: frames in files, written for Wireshark and read from wherever they come.

Written: `capture` (what is to go in) hands records to `pcap` and `pcapng` (as bytes), `output` and
`ring` (files). Read: `capture_file` (frames), `as_recording` (one conversation, as it was seen).
"""
