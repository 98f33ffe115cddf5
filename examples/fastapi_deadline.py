"""A FastAPI server that asks another one: whose time-out is longer, the inner or the outer one?

Run it with `python examples/fastapi_deadline.py`. All of it is asyncio: FastAPI on uvicorn, httpx,
`pystack.run_asyncio`. The shop asks the stock and gives it 5 seconds, the customer gives the shop
3. The line between shop and stock is down. The customer hears nothing and gives up, while the shop
goes on for nobody; unless it has less patience than its customer.
"""

import asyncio
import time

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException

import pystack


async def shop(patience_s: float) -> None:
    """Serve the shop, which asks the stock, on uvicorn."""
    app = FastAPI()

    @app.get("/kettles")
    async def kettles() -> dict[str, int]:
        try:
            async with httpx.AsyncClient(timeout=patience_s) as client:
                return dict((await client.get("http://stock/kettles")).json())
        except httpx.TransportError as error:
            print(f"  {time.monotonic():.2f} s: the shop has no answer ({type(error).__name__})")
            raise HTTPException(503, "ask again later") from error

    await uvicorn.Server(uvicorn.Config(app, "0.0.0.0", 80, log_level="critical")).serve()


async def ask() -> str:
    """Ask the shop, as a customer with 3 seconds of patience."""
    try:
        async with httpx.AsyncClient(timeout=3) as client:
            return (await client.get("http://shop/kettles")).text
    except httpx.TransportError as error:
        return f"nothing ({type(error).__name__})"


async def main(patience_s: float) -> None:
    """Let the customer ask while the shop cannot reach the stock."""
    async with pystack.Network(seed=1) as net:
        customer, front, stock = net.host("customer"), net.host("shop"), net.host("stock")
        net.link(customer, front, delay="30ms")
        net.link(front, stock, delay="5ms").down()
        await front.start_asyncio(shop, patience_s, port=80)
        answer = await customer.run_asyncio(ask)
        print(f"  {net.now():.2f} s: the customer hears {answer}")
        await asyncio.sleep(3)


if __name__ == "__main__":
    for patience_s in (5, 2):
        print(f"The shop's patience: {patience_s} s")
        pystack.run_asyncio(main, patience_s)
