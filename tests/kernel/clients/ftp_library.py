"""Python's ftplib against a host: argument 1 is its address, 2 a CA's file for TLS ("-": none)."""

import ftplib
import io
import ssl
import sys
from contextlib import suppress

host, ca = sys.argv[1:3]
big = bytes(range(251)) * 8000
if ca == "-":
    ftp = ftplib.FTP(host, timeout=30)
    ftp.login()
else:
    tls = ftplib.FTP_TLS(host, timeout=30, context=ssl.create_default_context(cafile=ca))
    tls.login()
    tls.prot_p()
    ftp = tls

for passive in (True, False):
    ftp.set_pasv(passive)
    ftp.mkd("dir é")
    assert ftp.pwd() == "/"
    ftp.cwd("dir é")
    assert ftp.pwd() == "/dir é", ftp.pwd()
    ftp.storbinary("STOR up", io.BytesIO(big))
    assert ftp.size("up") == len(big)
    back = io.BytesIO()
    ftp.retrbinary("RETR up", back.write)
    assert back.getvalue() == big
    back = io.BytesIO()
    ftp.retrbinary("RETR up", back.write, rest=1_000_000)
    assert back.getvalue() == big[1_000_000:]
    ftp.storbinary("STOR up", io.BytesIO(big[1_000_000:]), rest=1_000_000)
    ftp.storbinary("APPE up", io.BytesIO(b"end"))
    back = io.BytesIO()
    ftp.retrbinary("RETR up", back.write)
    assert back.getvalue() == big + b"end"
    ftp.storlines("STOR lines", io.BytesIO(b"one\ntwo\n"))
    lines: list[str] = []
    ftp.retrlines("RETR lines", lines.append)
    assert lines == ["one", "two"]
    ftp.voidcmd("TYPE I")
    assert ftp.size("lines") == 8
    assert ftp.nlst() == ["lines", "up"]
    facts = dict(ftp.mlsd())
    assert facts["up"]["type"] == "file"
    assert facts["up"]["size"] == str(len(big) + 3)
    listed: list[str] = []
    ftp.dir(listed.append)
    assert [line.split()[-1] for line in listed] == ["lines", "up"]
    ftp.rename("up", "renamed")
    ftp.delete("renamed")
    ftp.delete("lines")
    ftp.cwd("..")
    ftp.rmd("dir é")
    for wrong in ("../../etc/passwd", "/etc/passwd", "nothing"):
        with suppress(ftplib.error_perm):
            ftp.retrbinary(f"RETR {wrong}", print)
            raise AssertionError(wrong)
print(ftp.quit())
