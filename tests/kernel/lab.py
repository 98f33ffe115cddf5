"""What the tests of real programs in a lab share."""

import sys
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

import pystack

NGINX: Final = """
daemon off; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 80; root {folder}/site; }}
}}
"""

# Waits inside the namespace: what is asked for is the kernel's table of sockets there.
_UNTIL_LISTENING: Final = """
import sys, time
port = f":{int(sys.argv[1]):04X}"
for _ in range(3000):
    lines = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
    if any(local.endswith(port) and state == "0A" for _, local, _, state, *_ in lines):
        sys.exit(0)
    time.sleep(0.01)
sys.exit("nobody listens on that port")
"""


async def serve_with_nginx(namespace: pystack.Namespace, folder: Path) -> None:
    """Start nginx on port 80 with the files of `folder`/site; return when it listens."""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    await namespace.open_process(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    await until_listening(namespace, 80)


async def serve_with_python(namespace: pystack.Namespace, folder: Path) -> None:
    """Start Python's web server on port 80 with the files of `folder`/site."""
    argv = [sys.executable, "-m", "http.server", "80", "--directory", str(folder / "site")]
    await namespace.open_process(argv, stdout=DEVNULL, stderr=DEVNULL)
    await until_listening(namespace, 80)


async def until_listening(namespace: pystack.Namespace, port: int) -> None:
    """Wait until a program in the namespace listens on a TCP port (on IPv4)."""
    await namespace.run([sys.executable, "-I", "-c", _UNTIL_LISTENING, str(port)])
