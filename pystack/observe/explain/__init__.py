"""`pystack explain`: what a run did, told step by step and layer by layer.

`story.py` has what a story is; the telling makes it of a recording, the renderers show it.
"""
