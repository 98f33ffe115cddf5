"""A lab that only runs, until it is killed. Prints the ids of what runs in it."""

import trio

import pystack


async def main() -> None:
    """Start a program that is our child and one that is nobody's, and wait for ever."""
    async with pystack.Network(seed=7) as net:
        machine = net.namespace("machine")
        net.link(machine, net.host("host"))
        child = await machine.open_process(["sleep", "1000"])
        done = await machine.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"])
        # And the process that holds the namespace open: its pid is the one the command names.
        assert machine._holder is not None
        print(child.pid, done.stdout.strip(), machine._holder._process.pid, flush=True)
        await trio.sleep_forever()


trio.run(main)
