"""Servers that others have written, on the kernel's sockets: nginx and vsftpd, where they are."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmark import identity, ports

NGINX: Final = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen {http}; listen {https} ssl http2; root {root};
    ssl_certificate {certificate}; ssl_certificate_key {key};
  }}
}}
"""
VSFTPD: Final = """
listen=YES
background=NO
listen_port={ftp}
anonymous_enable=YES
no_anon_password=NO
anon_root={root}
seccomp_sandbox=NO
pasv_enable=YES
secure_chroot_dir={root}
ftp_username={user}
nopriv_user={user}
"""


def start(folder: Path, root: Path) -> list[subprocess.Popen[bytes]]:
    """Start what is installed."""
    started = []
    # All that writes is in a folder of its own; vsftpd wants its root to be nobody's to write to.
    if path := shutil.which("nginx"):
        certificate, key = identity.written_to(folder, "bench.test")
        text = NGINX.format(
            folder=folder,
            root=root,
            certificate=certificate,
            key=key,
            http=ports.HTTP,
            https=ports.HTTPS,
        )
        file = folder / "nginx.conf"
        file.write_text(text)
        started.append(_run([path, "-p", str(folder), "-c", str(file)]))
    if path := shutil.which("vsftpd"):
        file = folder / "vsftpd.conf"
        file.write_text(VSFTPD.format(ftp=ports.FTP, root=root, user="daemon"))
        started.append(_run([path, os.fspath(file)]))
    return started


def end(started: list[subprocess.Popen[bytes]]) -> None:
    """End what was started."""
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run(argv: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
