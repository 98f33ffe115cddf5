"""WebSocket (RFC 6455) with permessage-deflate (RFC 7692), for handlers of `pystack.apps.http`.

    async def talk(socket: WebSocket) -> None:
        while parts := await socket.receive():
            await socket.send(*parts)

    async def handler(request: Request) -> Response:
        return web_socket(request, talk)

`handshake` answers the upgrade, `offers` agrees on the extension, `payloads` bounds and inflates
what frames hold, `connection` is the open WebSocket, `endpoints` what every site has below `/ws/`.
wsproto takes frames apart; it is the extra `ws`.
"""
