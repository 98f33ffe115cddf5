"""How much, and for how long, one FTP session may ask of the server."""

from typing import Final

LINE_BYTES: Final = 4096 + 512  # of a command: a path as long as the system has them, and a verb
LOGIN_S: Final = 60.0  # from the greeting, or the last command, until somebody has logged in
IDLE_S: Final = 300.0  # between commands
LISTEN_S: Final = 60.0  # how long a passive port waits for the client
CONNECT_S: Final = 20.0  # for a data connection, once there is something to transfer
DATA_S: Final = 60.0  # the longest silence in an upload; what 64 KiB of a download may take
LINGER_S: Final = 60.0  # for the client to take the last of a download
LINGER_BYTES: Final = 64 * 1024  # of what it sends meanwhile
LINGERING: Final = 4  # downloads whose last part is on its way; one more waits
DISCARDED_BYTES: Final = 256 * 1024 * 1024  # of an upload that cannot be kept; then it is cut off
DISCARDS: Final = 4  # such uploads beside the session; one more is cut off at once

WRONG_PASSWORD_S: Final = 2.0  # until a wrong password is answered
WRONG_PASSWORDS: Final = 3  # in one session; then it is over
WRONG_COMMANDS: Final = 10  # in a row that are none; then it is over: a peer of another protocol
PIPELINED: Final = 16  # commands that are read during a transfer, to find ABOR among them
BACKLOG: Final = 4  # connections to a passive port that wait to be looked at

LISTED: Final = 200_000  # names of one directory that are sorted and listed
STOU_TRIES: Final = 10_000
PATTERN_BYTES: Final = 255
