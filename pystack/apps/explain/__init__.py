"""`pystack explain`: what is asked for, the small laboratory, and the recording of what happened.

`record` does it all: it needs neither root nor real time, and each run is the same for a seed.
"""
