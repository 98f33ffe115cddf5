"""A whole lab as a plain user. Prints what curl fetched, who it was, and the round trip in ms."""

import sys

import trio
from lab import until_listening

import pystack


async def main() -> None:
    """Fetch a page from one namespace in another, through a router and 50 ms each way."""
    async with pystack.Network(seed=7) as net:
        browser, router, web = net.namespace("browser"), net.router("r1"), net.namespace("web")
        net.link(browser, router, delay="50ms")
        net.link(router, web)
        argv = [sys.executable, "-c", SERVER]
        await web.open_process(argv)
        await until_listening(web, 80)
        print((await browser.run(["curl", "-sS", "http://web/"])).stdout, end="")
        print((await browser.run(["id", "-u"])).stdout, end="")
        line = (await browser.run(["ping", "-n", "-c", "1", "-W", "9", "web"])).stdout
        print(line.split("time=")[1].split()[0])


SERVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a page\\n")

    def log_message(self, *words):
        pass

HTTPServer(("", 80), Page).serve_forever()
"""

trio.run(main)
