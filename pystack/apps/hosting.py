"""Services on the hosts of a network: what a lab's file asks for with `serve`, or a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from pystack.apps.options import ServiceOptions
from pystack.apps.service import Request, Service, ServiceLike, place_services
from pystack.apps.serving import start
from pystack.apps.words import ServiceWords, read_request, read_words
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.runtime.host import Host


async def serve(host: Host, *services: ServiceLike, **words: Unpack[ServiceWords]) -> list[Service]:
    """Serve on a host until the network ends or its power goes; return when all answer.

    Returns the services in the requested order, for programs that look into one:
    `SmtpService.messages`, for example.

    `services`: names as `pystack up --serve` takes them ("https", "ftp:2121"), tables of a lab's
    file ({"name": "ftp", "port": 2121}), subclasses of `Service` or services themselves. The words
    are those of the command's other options (`--root`: `root=`), and hold for all of them. Raises
    ConfigError, OSError.
    """
    if not services:
        raise ConfigError("no service was named")
    options = read_words(words, _options(host, host.seed))
    placements = place_services(_requests(services, options, Path()))
    await start(host, placements)
    return [placement.service for placement in placements]


async def start_services(host: Host, asked: Sequence[ServiceLike], folder: Path, seed: int) -> None:
    """Start services on a host ("http", {"name": "ftp", "port": 2121}), until they answer.

    `folder`: files that the words name are relative to it. Raises ConfigError, OSError.
    """
    await start(host, place_services(_requests(asked, _options(host, seed), folder)))


def check_services(asked: Sequence[ServiceLike], folder: Path) -> None:
    """Raise ConfigError for services that there are not, or that claim one port."""
    if asked:
        place_services(_requests(asked, ServiceOptions(), folder))


def _requests(asked: Sequence[ServiceLike], options: ServiceOptions, folder: Path) -> list[Request]:
    return [read_request(each, options, folder) for each in asked]


def _options(host: Host, seed: int) -> ServiceOptions:
    return ServiceOptions(
        rng=component_rng(seed, f"services/{host.name}"),
        host_name=host.name,
        addresses=host.addresses,
    )
