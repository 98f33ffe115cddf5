"""A retry that orders twice: the order arrives, but its answer is lost on the way back.

Run it with `python examples/retry_httpx.py`. For 1.5 seconds the link loses what comes back from
the shop. The client waits a second, takes the order for lost, and sends it again: now the shop has
two. Unless both carry the same key, and the shop remembers it.
"""

import httpx
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import pystack
from pystack.apps import asgi


async def buy(headers: dict[str, str]) -> None:
    """Order a kettle; what does not answer in a second is tried again."""
    for _ in range(3):
        try:
            async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=1)) as client:
                reply = await client.post("http://shop/", content="a kettle", headers=headers)
        except httpx.TransportError as error:
            print(f"  {trio.current_time():.2f} s: {type(error).__name__}, trying again")
        else:
            print(f"  {trio.current_time():.2f} s: {reply.text}")
            return


async def story(headers: dict[str, str]) -> None:
    """Buy while the link fails in one direction."""
    orders: dict[str, bytes] = {}

    async def take(request: Request) -> PlainTextResponse:
        key = request.headers.get("Idempotency-Key", f"order {len(orders) + 1}")
        orders[key] = await request.body()
        return PlainTextResponse("thank you")

    async with pystack.Network(seed=1, seal=True) as net:
        customer, shop = net.host("customer"), net.host("shop")
        link = net.link(customer, shop, delay="20ms")
        app = Starlette(routes=[Route("/", take, methods=["POST"])])
        await shop.start(asgi.serve, app, 80)
        net.at(0.1, lambda: link.down("b_to_a"))  # the order is on its way
        net.at(1.6, lambda: link.up("b_to_a"))
        await customer.run(buy, headers)
    print(f"  the shop has {len(orders)} in its book")


if __name__ == "__main__":
    for words in ({}, {"Idempotency-Key": "7f3a"}):
        print(f"Ordering with {words or 'no key'}:")
        pystack.run(story, words)
