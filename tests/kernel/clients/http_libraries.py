"""Python's own http.client and urllib against the server; prints "ok" when all was right."""

import hashlib
import http.client
import json
import urllib.error
import urllib.request

PERIOD = bytes(range(251))


def pattern(count: int) -> bytes:
    return (PERIOD * (count // 251 + 1))[:count]


def one_connection() -> None:
    """GET, HEAD, POST and errors, one after the other on one connection."""
    connection = http.client.HTTPConnection("10.77.0.2", timeout=60)
    connection.connect()
    local = connection.sock.getsockname()
    for _ in range(3):
        connection.request("GET", "/bytes/100000")
        assert connection.getresponse().read() == pattern(100000)
        connection.request("HEAD", "/bytes/100000")
        answer = connection.getresponse()
        assert (answer.read(), answer.getheader("Content-Length")) == (b"", "100000")
        data = pattern(50000)
        connection.request("POST", "/upload", body=data)
        told = json.load(connection.getresponse())
        assert told == {"bytes": 50000, "sha256": hashlib.sha256(data).hexdigest()}
        chunks = iter([b"one", b"two", b"three"])
        connection.request("POST", "/upload", body=chunks, encode_chunked=True)
        assert json.load(connection.getresponse())["bytes"] == 11
        connection.request("GET", "/nothing/here")
        answer = connection.getresponse()
        assert answer.status == 404
        answer.read()
    assert connection.sock.getsockname() == local
    connection.close()


def urls() -> None:
    """Urllib: a request and a connection each time."""
    with urllib.request.urlopen("http://10.77.0.2/", timeout=60) as answer:
        assert answer.headers.get_content_type() == "text/html"
        assert b"10.77.0.1" in answer.read()
    with urllib.request.urlopen("http://10.77.0.2/connection.json", timeout=60) as answer:
        json.load(answer)
    ranged = urllib.request.Request(
        "http://10.77.0.2/bytes/1000", headers={"Range": "bytes=100-199"}
    )
    with urllib.request.urlopen(ranged, timeout=60) as answer:
        assert (answer.status, answer.read()) == (206, pattern(1000)[100:200])
    status = 0
    try:
        urllib.request.urlopen("http://10.77.0.2/nothing/here", timeout=60)
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    assert status == 404


one_connection()
urls()
print("ok")
