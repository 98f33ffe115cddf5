"""Fixtures of the tests of applications."""

from collections.abc import AsyncIterator

import pytest
from api_talk import REDIS, ask

from pystack.apps.proxy.api.routes import Api
from pystack.apps.proxy.proxies import Proxies


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Yield an API of proxies, of which there are none."""
    async with Proxies() as proxies:
        yield Api(proxies)


@pytest.fixture
async def redis(api: Api) -> Api:
    """Return an API with one proxy, which does not listen."""
    assert (await ask(api, "POST", "/proxies", REDIS)).status == 201
    return api
