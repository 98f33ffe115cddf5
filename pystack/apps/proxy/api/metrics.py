"""What proxies have done, in the text that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

from pystack.apps.proxy.model import Proxy, Traffic
from pystack.apps.proxy.toxics.spec import STREAMS
from pystack.core.counters import Counters

if TYPE_CHECKING:
    from pystack.apps.proxy.proxies import Proxies

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

COUNTED: Final = "pystack_counted_total"
_COUNTED_ABOUT: Final = (
    "What listening sockets, hosts and links have counted, drops and retransmissions too, by the "
    "names of docs/counters.md."
)
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True, slots=True)
class _Metric:
    """A family: its samples for one proxy are a value for each set of labels."""

    name: str
    kind: Literal["counter", "gauge"]
    about: str
    samples: Callable[[Proxy], Iterable[tuple[Mapping[str, str], int]]]


def text(proxies: Iterable[Proxy], counted: Iterable[Mapping[str, int]] = ()) -> str:
    """Return all of it, proxies in the order of their names.

    `counted`: the counters of hosts, links and others, which are added up.
    """
    by_name = sorted(proxies, key=lambda proxy: proxy.name)
    lines = [line for metric in METRICS for line in _lines(metric, by_name)]
    lines += [f"# HELP {COUNTED} {_COUNTED_ABOUT}", f"# TYPE {COUNTED} counter"]
    total = Counters()
    for counters in counted:
        for name, count in counters.items():
            total[name] += count
    lines += [f'{COUNTED}{{counter="{name}"}} {total[name]}' for name in sorted(total)]
    return "\n".join([*lines, ""])


def text_of(proxies: Proxies) -> str:
    """Return all of it, with what the listening sockets, hosts and links have counted."""
    network = proxies.network
    hosts = (host.counters for host in network.hosts.values())
    links = (link.counters for link in network.links)
    return text(proxies, chain([proxies.counters], hosts, links))


def _lines(metric: _Metric, proxies: Iterable[Proxy]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.about}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for proxy in proxies:
        for labels, value in metric.samples(proxy):
            shown = ",".join(f'{name}="{_escaped(each)}"' for name, each in labels.items())
            yield f"{metric.name}{{{shown}}} {value}"


def _escaped(value: str) -> str:
    return value.encode("utf-8", "replace").decode().translate(_ESCAPES)


def _traffic(
    proxy: Proxy, value: Callable[[Traffic], int]
) -> Iterator[tuple[Mapping[str, str], int]]:
    # The names and labels are Toxiproxy's: the dashboards that people have go on showing them.
    for stream in STREAMS:
        labels = {
            "direction": stream,
            "listener": proxy.listen,
            "proxy": proxy.name,
            "upstream": proxy.upstream,
        }
        yield labels, value(proxy.counts.traffic[stream])


def _one(value: Callable[[Proxy], int]) -> Callable[[Proxy], list[tuple[Mapping[str, str], int]]]:
    return lambda proxy: [({"proxy": proxy.name}, value(proxy))]


METRICS: Final = (
    _Metric(
        "toxiproxy_proxy_received_bytes_total",
        "counter",
        "Bytes taken from the client (upstream) or from the upstream (downstream).",
        lambda proxy: _traffic(proxy, lambda traffic: traffic.received_bytes),
    ),
    _Metric(
        "toxiproxy_proxy_sent_bytes_total",
        "counter",
        "Bytes handed to the upstream (upstream) or to the client (downstream).",
        lambda proxy: _traffic(proxy, lambda traffic: traffic.sent_bytes),
    ),
    _Metric(
        "pystack_proxy_connections_total",
        "counter",
        "Connections accepted, of UDP sessions.",
        _one(lambda proxy: proxy.counts.connections),
    ),
    _Metric(
        "pystack_proxy_open_connections",
        "gauge",
        "Connections that there are now, of UDP sessions.",
        _one(lambda proxy: proxy.counts.open),
    ),
    _Metric(
        "pystack_proxy_refused_connections_total",
        "counter",
        "Connections that the upstream did not take.",
        _one(lambda proxy: proxy.counts.refused),
    ),
    _Metric(
        "pystack_proxy_dropped_connections_total",
        "counter",
        "Connections that were turned away or cut: limits of files and memory, toxics.",
        _one(lambda proxy: proxy.counts.dropped),
    ),
    _Metric(
        "pystack_proxy_enabled",
        "gauge",
        "1 for a proxy that is enabled.",
        _one(lambda proxy: int(proxy.enabled)),
    ),
    _Metric(
        "pystack_proxy_toxics",
        "gauge",
        "Toxics that a proxy has now.",
        _one(lambda proxy: len(proxy.toxics)),
    ),
)
