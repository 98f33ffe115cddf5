"""The page about the very request that it answers: its way through the layers, for a learner.

Every number is live. Everything that came from the peer passes through `safe`.
"""

from typing import Final

from pystack import __version__
from pystack.apps.http.ladder import ladder
from pystack.apps.http.story import Connection, Story
from pystack.apps.http.style import PAGE_STYLE
from pystack.apps.http.wording import count, counted, duration, host_port, safe
from pystack.apps.tls_stream import TlsInfo

_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect y='1' width='16' height='3' rx='1' fill='%23b02a63'/%3E"
    "%3Crect y='5' width='16' height='3' rx='1' fill='%233c4fc4'/%3E"
    "%3Crect y='9' width='16' height='3' rx='1' fill='%2300756a'/%3E"
    "%3Crect y='13' width='16' height='3' rx='1' fill='%23a35a00'/%3E%3C/svg%3E"
)
_NEVER: Final = 1 << 30  # a slow-start threshold from here on was never lowered


def page(story: Story) -> str:
    """Return the page."""
    below = _unknown() if story.connection is None else _below(story, story.connection)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The way of your request</title>
<link rel="icon" href="{_ICON}">
<style>{PAGE_STYLE}</style>
</head>
<body>
<div class="wrap">
<header>
<p class="eyebrow">pystack {__version__}</p>
<h1>This is how your request got here</h1>
<p class="lead">{_lead(story)}</p>
</header>
{below}
{"" if story.tls is None else _security(story.tls)}
{_application(story)}
{_footer()}
</div>
</body>
</html>
"""


def _lead(story: Story) -> str:
    what = f"<b>{safe(_short(story.target))}</b>"
    if story.connection is None:
        return f"You asked for {what}. This is what the server saw of it."
    host = safe(story.connection.local_address[0])
    return (
        f"You asked <b>{host}</b> for {what}. Every byte of your request, from the Ethernet frame "
        "to this page, was taken apart and put together by a few files of Python. The numbers "
        "below are those of the connection that carries this page to you."
    )


def _below(story: Story, connection: Connection) -> str:
    return "\n".join(
        (
            _envelopes(story, connection),
            _link(connection),
            _network(connection),
            _transport(story, connection),
        )
    )


def _unknown() -> str:
    return """<section>
<p class="eyebrow">Below HTTP</p>
<h2>Another TCP carried this</h2>
<p>The connection was made by a TCP implementation that does not tell what it did, such as that of
the operating system. Over a pystack host, you would see here the frame, the packet and the segments
that brought your request, with their addresses, sequence numbers and times.</p>
</section>"""


def _envelopes(story: Story, connection: Connection) -> str:
    link = connection.link
    remote, local = connection.remote_address, connection.local_address
    to = '<span class="arrow">\u2192</span>'
    line = f"{story.method} {_short(story.target)} HTTP/{story.version}"
    request = f"""<div class="box http"><b>HTTP request</b>
<span class="v">{safe(line)}</span>
</div>"""
    if story.tls is not None:
        request = f"""<div class="box sec"><b>TLS record</b>
<span class="v">{safe(story.tls.cipher)}</span>
{request}</div>"""
    return f"""<figure>
<div class="box link"><b>Ethernet frame</b>
<span class="v">{safe(link.remote_mac or "?")}{to}{safe(link.local_mac)}</span>
<div class="box net"><b>IP packet</b>
<span class="v">{safe(remote[0])}{to}{safe(local[0])}</span>
<div class="box tcp"><b>TCP segment</b>
<span class="v">port {remote[1]}{to}port {local[1]}</span>
{request}</div></div></div>
<figcaption>An envelope in an envelope in an envelope: each layer puts its own header before what
the layer above gives it, and looks at nothing else. The answer travels in the same way, with the
addresses turned round.</figcaption>
</figure>"""


def _link(connection: Connection) -> str:
    link = connection.link
    peer = safe(connection.remote_address[0])
    if link.via is None:
        neighbour = "you"
        how = (
            f"You are on the same link as this host. Which hardware address belongs to {peer} is "
            f"asked with ARP, aloud, of everybody on the link: who has {peer}? The owner answers."
        )
    else:
        via = safe(link.via)
        neighbour = f"the gateway {via}"
        how = (
            f"You are not on this link: the frames go to and come from the gateway {via}, which "
            "passes the packets on. Which hardware address belongs to it is asked with ARP, aloud, "
            f"of everybody on the link: who has {via}? The owner answers."
        )
    pair = _pair(
        (neighbour, safe(link.remote_mac or "not known")),
        (f"this host, {safe(link.interface)}", safe(link.local_mac)),
    )
    return f"""<section class="link">
<p class="eyebrow">Layers 1 and 2 · physical, data link</p>
<h2>Ethernet: from one end of a link to the other</h2>
<p>Your request came in by the interface <code>{safe(link.interface)}</code>, as a frame: a packet,
and before it the hardware (MAC) addresses of the two ends of this one link. Beyond the link they
mean nothing. A frame here carries a packet of at most {count(link.mtu_bytes)} bytes, the MTU.</p>
{pair}
<p>{how}</p>
</section>"""


def _network(connection: Connection) -> str:
    remote, local = connection.remote_address[0], connection.local_address[0]
    kind = "IPv6" if ":" in local else "IPv4"
    pair = _pair(("you", safe(remote)), ("this host", safe(local)))
    return f"""<section class="net">
<p class="eyebrow">Layer 3 · network</p>
<h2>{kind}: from machine to machine</h2>
<p>An IP address says where a machine is, whatever links lie between. Every router on the way looks
up the destination and hands the packet to the next link. Nobody promises that a packet arrives, or
arrives once, or in order: that is left to the layer above.</p>
{pair}
</section>"""


def _transport(story: Story, connection: Connection) -> str:
    remote, local = connection.remote_address, connection.local_address
    pair = _pair(
        ("your socket address", f'{safe(_host(remote))}:<span class="port">{remote[1]}</span>'),
        ("the server's", f'{safe(_host(local))}:<span class="port">{local[1]}</span>'),
    )
    return f"""<section class="tcp">
<p class="eyebrow">Layer 4 · transport</p>
<h2>TCP: from program to program, nothing lost</h2>
<p>The address finds the machine, the port finds the program on it. Both together are a
<b>socket address</b>. Port {local[1]} is where this server listens; yours was chosen by your system
for this connection alone. The two socket addresses together name the connection: there is no other
with all four values the same.</p>
{pair}
<h3>The handshake</h3>
<p>Before the first byte, both sides say at which number they begin to count their bytes, so that
what is lost can be named and sent again. It takes three segments.</p>
{ladder(story, connection)}
<p>{_handshake_words(story, connection)}</p>
<h3>Agreed on</h3>
{_table(_agreed(connection))}
<h3>The connection now</h3>
<p>Before this page was sent, the state was <code>{connection.info.state.value}</code>.</p>
{_table(_variables(connection))}
</section>"""


def _handshake_words(story: Story, connection: Connection) -> str:
    info, segments = connection.info, connection.handshake
    words = (
        f"You began at <code>{info.irs}</code>, this host at <code>{info.iss}</code>, a number "
        "that a stranger cannot guess. "
        "A SYN takes one number itself, so your first byte has number "
        f"<code>{(info.irs + 1) % 2**32}</code>."
    )
    if len(segments) >= 2 and info.established_at is not None:
        took = duration(max(0.0, info.established_at - segments[0].at))
        ago = duration(max(0.0, story.now - segments[0].at))
        words += f" The handshake took {took}; it began {ago} before this page was written."
    return words


def _agreed(connection: Connection) -> list[tuple[str, str, str]]:
    info = connection.info
    if info.snd_wind_shift is None or info.rcv_wind_shift is None:
        scale = ("not used", "Without it, no more than 65,535 bytes can be under way.")
    else:
        ours, yours = 1 << info.rcv_wind_shift, 1 << info.snd_wind_shift
        scale = (
            f"&times;{count(yours)} / &times;{count(ours)}",
            "What the window field of your segments, and of ours, is multiplied with: "
            "16 bits are too few for today's networks.",
        )
    return [
        (
            "Segment size <small>MSS</small>",
            f"{count(info.snd_mss_bytes)} / {count(info.rcv_mss_bytes)} bytes",
            "The most that one segment carries: to you, and to this host.",
        ),
        ("Window scale <small>WSCALE</small>", *scale),
        (
            "Selective ACK <small>SACK</small>",
            _yes(info.sack_permitted),
            "Lets a receiver say which later segments it already has when one is missing.",
        ),
        (
            "Timestamps",
            _yes(info.timestamps),
            "Let the round trip be measured with every segment.",
        ),
    ]


def _variables(connection: Connection) -> list[tuple[str, str, str]]:
    info = connection.info
    srtt = "not yet measured" if info.srtt_s is None else duration(info.srtt_s)
    least = "" if info.min_rtt_s is None else f" The shortest was {duration(info.min_rtt_s)}."
    ssthresh = "" if info.ssthresh_bytes < _NEVER else " No loss has been seen so far."
    return [
        (
            "Round trip <small>SRTT</small>",
            srtt,
            "From here to you and back, smoothed over the measurements; it varies by "
            f"{duration(info.rttvar_s)}.{least}",
        ),
        (
            "Patience <small>RTO</small>",
            duration(info.rto_s),
            "The retransmission time-out: what is not acknowledged by then is sent again.",
        ),
        (
            "Congestion window <small>cwnd</small>",
            f"{count(info.cwnd_bytes)} bytes",
            f"How much may be under way without an acknowledgment, to spare the network. "
            f"{safe(info.congestion)} lets it grow until something is lost.{ssthresh}",
        ),
        (
            "Your window <small>SND.WND</small>",
            f"{count(info.snd_wnd_bytes)} bytes",
            "How much more your side is ready to take, to spare your memory.",
        ),
        (
            "Our window <small>RCV.WND</small>",
            f"{count(info.rcv_wnd_bytes)} bytes",
            "The same, as this host offers it to you.",
        ),
        (
            "Under way <small>flight size</small>",
            f"{count(info.flight_size_bytes)} bytes",
            "Sent and not yet acknowledged.",
        ),
        (
            "Received",
            f"{count(info.bytes_received)} bytes",
            f"In {counted(info.segments_received, 'segment')}, the handshake's included.",
        ),
        (
            "Sent",
            f"{count(info.bytes_sent)} bytes",
            f"In {counted(info.segments_sent, 'segment')}; "
            f"{counted(info.retransmits, 'segment')} sent again. This page comes on top of it.",
        ),
    ]


def _security(tls: TlsInfo) -> str:
    if tls.is_resumed:
        how = (
            "You have been here before: with a ticket from an earlier connection you have resumed "
            "its session, so no certificate had to be shown and nothing signed."
        )
    else:
        how = (
            "This host showed its certificate and signed the handshake with the key that belongs "
            "to it. Whether you believe that certificate is for your side to decide."
        )
    rows = [
        ("Version", safe(tls.version), "1.3 takes one round trip, 1.2 takes two."),
        ("Cipher", safe(tls.cipher), "What hides the bytes, and shows whether they were changed."),
        (
            "Name asked for <small>SNI</small>",
            safe(_short(tls.server_name)) if tls.server_name else "none",
            "Whom you said you wanted to talk to, in clear; an address is not said.",
        ),
        (
            "Protocol inside <small>ALPN</small>",
            safe(tls.alpn) if tls.alpn else "none",
            "Which of the protocols that you offered this host chose; h2 is HTTP/2.",
        ),
        ("Resumed", _yes(tls.is_resumed), "Whether keys of an earlier connection were built on."),
    ]
    return f"""<section class="sec">
<p class="eyebrow">Between layers 4 and 7 · security</p>
<h2>TLS: nobody on the way can read or change it</h2>
<p>After the TCP handshake came another: both sides agreed on keys that nobody who was listening can
know. Since then whatever TCP carries is cut into records, each encrypted and sealed. {how}</p>
{_table(rows)}
</section>"""


def _application(story: Story) -> str:
    lines = "".join(
        f'\n<span class="n">{safe(name)}:</span> {safe(value)}' for name, value in story.headers
    )
    if story.number == 1:
        nth = "It is the first request on its connection. Reload the page: if your browser keeps "
        nth += "the connection, the handshake above stays the same and the counts go on."
    else:
        nth = (
            f"It is request number {story.number} on its connection: the handshake was done once, "
        )
        nth += "for all of them."
    return f"""<section class="http">
<p class="eyebrow">Layers 5 to 7 · application</p>
<h2>HTTP: what you asked for</h2>
<p>To TCP, this is {"just" if story.connection else "only"} a row of bytes. {_form(story)}</p>
<pre><b>{safe(story.method)} {safe(story.target)} HTTP/{safe(story.version)}</b>{lines}</pre>
<p>{nth}</p>
</section>"""


def _form(story: Story) -> str:
    if story.version == "2":
        return (
            "The server and your program read it as frames, each of which belongs to a numbered "
            "stream, so that many questions can be under way at once. This one came as a HEADERS "
            "frame: fields only, and compressed; the method and the target are fields too."
        )
    return (
        "The server and your program read it as a question: a line with a method, a target and a "
        "version; then headers; then an empty line."
    )


def _footer() -> str:
    return """<footer>
<h3>More to try here</h3>
<ul>
<li><a href="/connection.json">/connection.json</a> has all of this as data.</li>
<li><code>curl -O http://…/bytes/1000000</code> fetches a million bytes, ranges of them too.</li>
<li><code>curl -T file http://…/upload</code> sends a file; the answer is its length and its
SHA-256.</li>
<li><code>--pcap run.pcap</code> records every frame, for Wireshark.</li>
</ul>
</footer>"""


def _pair(left: tuple[str, str], right: tuple[str, str]) -> str:
    """Return two labelled values; both are HTML already."""
    (left_label, left_value), (right_label, right_value) = left, right
    return (
        f'<div class="pair"><div><small>{left_label}</small><span class="v">{left_value}</span>'
        f'</div><span class="mid">\u2192</span><div><small>{right_label}</small>'
        f'<span class="v">{right_value}</span></div></div>'
    )


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Return names, values and what they mean; all are HTML already."""
    body = "".join(
        f'<tr><th scope="row">{name}</th><td class="v">{value}</td><td>{meaning}</td></tr>\n'
        for name, value, meaning in rows
    )
    return f'<table class="meaning"><tbody>\n{body}</tbody></table>'


def _yes(agreed: bool) -> str:
    return "yes" if agreed else "no"


def _host(address: tuple[str, int]) -> str:
    return host_port(address).rpartition(":")[0]


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "\u2026"
