"""Proxies: real clients and real upstreams, with an emulated link between two stacks of ours."""
