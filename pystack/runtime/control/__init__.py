"""Control: looking into what runs, and acting on it, by calls with names.

`table.py` is the one table of calls; `control.py` makes them. `server.py` offers them on a Unix
socket, for `pystack ctl` and `pystack top`; the live page makes them itself.
"""
