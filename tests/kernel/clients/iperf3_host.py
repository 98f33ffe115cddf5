"""A host of ours on a TAP that runs iperf3 against the machine: iperf3_host.py WORD=VALUE ...

Prints what iperf3 would, and then the totals as JSON.
"""

import json
import sys

import trio

import pystack


async def main() -> None:
    words = {name: int(value) for name, value in (word.split("=") for word in sys.argv[2:])}
    for name in ("udp", "reverse", "bidirectional", "server_output"):
        if name in words:
            words[name] = bool(words[name])
    offload = sys.argv[1] == "--offload"
    config = pystack.TapHostConfig("tap0", seed=1, offload=offload)
    async with pystack.tap_host(config) as host:
        result = await host.iperf3("10.77.0.1", on_line=print, **words)  # type: ignore[arg-type]
    print(
        json.dumps([result.sent.total_bytes, result.received.total_bytes, result.received.packets])
    )


trio.run(main)
