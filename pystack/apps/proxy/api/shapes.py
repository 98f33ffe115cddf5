"""Proxies and toxics in JSON, both ways: the fields of Toxiproxy in its order, then ours.

Ours are shown only where they say something, so that programs which know Toxiproxy alone see what
they know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pystack.apps.proxy.api.links import link_fields, read_link
from pystack.apps.proxy.api.notation import Json, as_list, as_object, number, switch, text
from pystack.apps.proxy.errors import BadRequestError
from pystack.apps.proxy.model import PROTOCOLS, LinkWords, Protocol, Proxy, ProxySpec
from pystack.apps.proxy.toxics.spec import DOWNSTREAM, STREAMS, Stream, ToxicSpec


def proxy_fields(proxy: Proxy) -> dict[str, object]:
    """Return a proxy as it is shown."""
    fields: dict[str, object] = {
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": proxy.enabled,
        "toxics": toxics_of(proxy),
    }
    if proxy.protocol != "tcp":
        fields["protocol"] = proxy.protocol
    link = link_fields(proxy.words)
    if link:
        fields["link"] = link
    return fields


def toxics_of(proxy: Proxy) -> list[dict[str, object]]:
    """Return the toxics of a proxy as they are shown: first those upstream, each in their order."""
    return [
        toxic_fields(toxic)
        for stream in STREAMS
        for toxic in proxy.toxics
        if toxic.stream == stream
    ]


def toxic_fields(toxic: ToxicSpec) -> dict[str, object]:
    """Return a toxic as it is shown."""
    return {
        "attributes": toxic.attributes,
        "name": toxic.name,
        "type": toxic.type,
        "stream": toxic.stream,
        "toxicity": toxic.toxicity,
    }


# reading


def read_proxy(value: Json, what: str = "the body") -> ProxySpec:
    """Read what a new proxy is to be. Raises BadRequestError.

    Names, toxics and words that are not what they should be are for others to find.
    """
    fields = as_object(value, what)
    enabled = switch(fields, "enabled")
    toxics = as_list(fields.get("toxics"), "toxics")
    return ProxySpec(
        name=text(fields, "name"),
        upstream=text(fields, "upstream"),
        listen=text(fields, "listen"),
        enabled=True if enabled is None else enabled,
        protocol=_read_protocol(fields),
        words=read_link(fields) or LinkWords(),
        toxics=tuple(read_toxic(each) for each in toxics),
    )


def read_proxies(value: Json) -> list[ProxySpec]:
    """Read a list of new proxies. Raises BadRequestError."""
    return [read_proxy(each, "a proxy") for each in as_list(value)]


def _read_protocol(fields: Mapping[str, Json]) -> Protocol:
    protocol = text(fields, "protocol") or "tcp"
    if protocol not in PROTOCOLS:
        raise BadRequestError(f"protocol is {' or '.join(PROTOCOLS)}, not {protocol[:40]}")
    return protocol


def read_toxic(value: Json) -> ToxicSpec:
    """Read what a new toxic is to be. Raises BadRequestError."""
    fields = as_object(value)
    toxicity = number(fields, "toxicity")
    return ToxicSpec(
        name=text(fields, "name"),
        type=text(fields, "type"),
        stream=cast(Stream, text(fields, "stream") or DOWNSTREAM),
        toxicity=1.0 if toxicity is None else toxicity,
        attributes=read_attributes(fields),
    )


def read_attributes(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return the attributes of a toxic. Raises BadRequestError."""
    return as_object(fields.get("attributes"), "attributes")
