"""The transfers of bench_virtual.py in other simulators: wall seconds of the simulation alone.

    python3 -m venv PEER && PEER/bin/pip install ns3        # or ns.py: both call themselves `ns`
    PEER/bin/python scripts/bench_peers.py ns3|ns.py bulk|dumbbell [--mb N]

Run it in turns with `scripts/bench_virtual.py bulk dumbbell`, for machines differ from minute to
minute. ns-3 is set as pystack is: buffers of up to 8 MiB, drop-tail queues of 1000 packets, no
queueing discipline; SACK, timestamps, CUBIC and an ACK for every second segment are its defaults.
ns.py has neither headers nor bytes nor a receive window, and acknowledges every segment; its Reno
is told where to leave slow start, for it hardly recovers from many losses.
"""

import argparse
import random
import time
from collections.abc import Callable
from typing import Any, Final

MSS: Final = 1460
DELAY_S: Final = 0.02
RATE_BPS: Final = 100e6
FLOWS: Final = 10
LIMIT_PACKETS: Final = 1000


def ns3_world() -> Any:  # noqa: ANN401 - what cppyy makes has no types
    """Return ns-3's namespace, set as pystack is."""
    from ns import ns

    for name, value in (("SegmentSize", MSS), ("SndBufSize", 8 << 20), ("RcvBufSize", 1 << 20)):
        ns.Config.SetDefault(f"ns3::TcpSocket::{name}", ns.UintegerValue(value))
    return ns


def ns3_cable(ns: Any, a: Any, b: Any, subnet: str, rate: str, delay: str) -> Any:  # noqa: ANN401
    """Join two nodes; return their interfaces."""
    helper = ns.PointToPointHelper()
    helper.SetDeviceAttribute("DataRate", ns.StringValue(rate))
    helper.SetChannelAttribute("Delay", ns.StringValue(delay))
    size = ns.QueueSizeValue(ns.QueueSize(f"{LIMIT_PACKETS}p"))
    helper.SetQueue("ns3::DropTailQueue<Packet>", "MaxSize", size)
    devices = helper.Install(a, b)
    addresses = ns.Ipv4AddressHelper()
    addresses.SetBase(ns.Ipv4Address(subnet), ns.Ipv4Mask("255.255.255.0"))
    interfaces = addresses.Assign(devices)
    ns.TrafficControlHelper().Uninstall(devices)
    return interfaces


def ns3_flow(ns: Any, sender: Any, receiver: Any, address: Any, size_bytes: int) -> Any:  # noqa: ANN401
    """Send so much; return the application that receives it."""
    factory = "ns3::TcpSocketFactory"
    anywhere = ns.InetSocketAddress(ns.Ipv4Address.GetAny(), 9).ConvertTo()
    sinks = ns.PacketSinkHelper(factory, anywhere).Install(receiver)
    source = ns.BulkSendHelper(factory, ns.InetSocketAddress(address, 9).ConvertTo())
    source.SetAttribute("MaxBytes", ns.UintegerValue(size_bytes))
    source.SetAttribute("SendSize", ns.UintegerValue(256 * 1024))
    for applications in (sinks, source.Install(sender)):
        applications.Start(ns.Seconds(0))
        applications.Stop(ns.Seconds(1000))
    return sinks.Get(0)


def ns3(scenario: str, total_bytes: int) -> tuple[float, int]:
    """Return wall seconds, and the bytes that arrived."""
    ns = ns3_world()
    flows = FLOWS if scenario == "dumbbell" else 1
    nodes = ns.NodeContainer()
    nodes.Create(2 + 2 * FLOWS if flows > 1 else 2)
    ns.InternetStackHelper().Install(nodes)
    node = [nodes.Get(index) for index in range(nodes.GetN())]
    middle = ns3_cable(ns, node[0], node[1], "10.1.0.0", "100Mbps", "20ms")
    sinks = []
    if flows == 1:
        sinks.append(ns3_flow(ns, node[0], node[1], middle.GetAddress(1), total_bytes))
    else:
        for number in range(flows):
            sender, receiver = node[2 + 2 * number], node[3 + 2 * number]
            ns3_cable(ns, sender, node[0], f"10.2.{number}.0", "1Gbps", "0ms")
            ends = ns3_cable(ns, receiver, node[1], f"10.3.{number}.0", "1Gbps", "0ms")
            address = ends.GetAddress(0)
            sinks.append(ns3_flow(ns, sender, receiver, address, total_bytes // flows))
        ns.Ipv4GlobalRoutingHelper.PopulateRoutingTables()
    ns.Simulator.Stop(ns.Seconds(30))
    began = time.perf_counter()
    ns.Simulator.Run()
    took_s = time.perf_counter() - began
    return took_s, sum(sink.GetObject[ns.PacketSink]().GetTotalRx() for sink in sinks)


class Demux:
    """Gives each of ns.py's packets to the end that its flow's number names."""

    def __init__(self, ends: list[Any], first: int) -> None:
        self._ends, self._first = ends, first

    def put(self, packet: Any) -> None:  # noqa: ANN401
        """Take a packet."""
        self._ends[packet.flow_id - self._first].put(packet)


def ns_py(scenario: str, total_bytes: int) -> tuple[float, int]:
    """Return wall seconds, and the bytes that arrived."""
    import simpy
    from ns.flow.cc import TCPReno
    from ns.flow.flow import Flow
    from ns.packet.tcp_generator import TCPPacketGenerator
    from ns.packet.tcp_sink import TCPSink
    from ns.port.port import Port
    from ns.port.wire import Wire

    random.seed(1)
    env = simpy.Environment()
    flows = FLOWS if scenario == "dumbbell" else 1
    size_bytes = -(-total_bytes // flows // MSS) * MSS
    forth = Port(env, RATE_BPS, qlimit=LIMIT_PACKETS)
    back = Port(env, RATE_BPS, qlimit=LIMIT_PACKETS)
    there, here = Wire(env, lambda: DELAY_S), Wire(env, lambda: DELAY_S)
    forth.out, back.out = there, here
    senders: list[Any] = []
    sinks: list[Any] = []
    receivers: list[Any] = []
    for number in range(flows):
        flow = Flow(fid=number, src="a", dst="b", size=size_bytes, finish_time=1000)
        control = TCPReno(mss=MSS, cwnd=10 * MSS, ssthresh=500_000 // flows)
        sender = TCPPacketGenerator(env, flow=flow, cc=control, element_id=number)
        sender.mss = MSS
        sink = TCPSink(env, rec_arrivals=False, rec_waits=False, rec_flow_ids=False)
        receivers.append(sink)
        if flows == 1:
            sender.out, sink.out = forth, back
            senders.append(sender)
            sinks.append(sink)
            continue
        # An access line at each end, as in the other simulators
        ins, outs = [Port(env, 1e9) for _ in range(2)], [Port(env, 1e9) for _ in range(2)]
        (sender.out, sink.out), (ins[0].out, ins[1].out) = ins, (forth, back)
        outs[0].out, outs[1].out = sink, sender
        sinks.append(outs[0])
        senders.append(outs[1])
    there.out, here.out = Demux(sinks, 0), Demux(senders, 10000)  # as ns.py numbers its ACKs
    began = time.perf_counter()
    while any(sink.next_seq_expected < size_bytes for sink in receivers) and env.peek() < 1000:
        env.run(until=env.now + 0.5)
    return time.perf_counter() - began, sum(sink.next_seq_expected for sink in receivers)


PEERS: Final[dict[str, Callable[[str, int], tuple[float, int]]]] = {"ns3": ns3, "ns.py": ns_py}


def main() -> None:
    """Run one scenario in one simulator, and print one line."""
    parser = argparse.ArgumentParser(description="The same transfers in other simulators.")
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("scenario", choices=("bulk", "dumbbell"))
    parser.add_argument("--mb", type=float, default=100, help="in all")
    options = parser.parse_args()
    took_s, arrived = PEERS[options.peer](options.scenario, round(options.mb * 1e6))
    print(f"{options.peer} {options.scenario}: {took_s:.2f} s for {arrived:,} bytes")


if __name__ == "__main__":
    main()
