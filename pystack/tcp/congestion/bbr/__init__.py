"""BBR, version 3, as draft-ietf-ccwg-bbr-06 has it: a model of the path, and not a loss, governs.

The names are the draft's. `state` holds its variables, `model` how ACKs update them, `loss` what
losses do to them; `phases` and `probe_bw` are its state machine, and `control` is what TCP sees.
"""
