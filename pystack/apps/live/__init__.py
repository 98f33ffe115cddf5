"""The live page: what happens in a host or a lab, while it happens, in a browser.

`tape` keeps the last of what was seen, `feed` cuts it into ticks for all who look, `viewer` talks
to one of them, `gate` says who may look and who may change something, `page` has the files.
"""
