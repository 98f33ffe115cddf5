"""Opens COUNT connections to the echo service, and then talks on all of them at the same time.

Prints how many were open at once, and how many got all of their own bytes back, ROUNDS times.
"""

import os
import resource
import selectors
import socket
import sys

COUNT, ROUNDS = map(int, sys.argv[1:])
MESSAGE_BYTES = 2000


class Talk:
    """One connection: what it has sent lately, and what has come back of that."""

    def __init__(self) -> None:
        self.socket = socket.create_connection(("10.77.0.2", 7), 60)
        self.socket.setblocking(False)
        self.rounds = 0

    def say(self) -> None:
        self.said, self.heard = os.urandom(MESSAGE_BYTES), b""
        assert self.socket.send(self.said) == MESSAGE_BYTES

    def hear(self) -> bool:
        """Take what is there; True when the last round is over."""
        data = self.socket.recv(MESSAGE_BYTES)
        assert data, "the server has hung up"
        self.heard += data
        if len(self.heard) == MESSAGE_BYTES:
            assert self.heard == self.said
            self.rounds += 1
            if self.rounds < ROUNDS:
                self.say()
        return self.rounds == ROUNDS


limit = COUNT + 100
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, resource.getrlimit(7)[1])))
talks = [Talk() for _ in range(COUNT)]
print(len(talks), flush=True)
poll = selectors.DefaultSelector()
for talk in talks:
    poll.register(talk.socket, selectors.EVENT_READ, talk)
    talk.say()
done = 0
while done < COUNT:
    ready = poll.select(60)
    assert ready, f"only {done} of {COUNT} were served"
    for key, _ in ready:
        if key.data.hear():
            poll.unregister(key.fileobj)
            done += 1
print(done, flush=True)
