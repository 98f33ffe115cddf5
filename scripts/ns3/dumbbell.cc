// One dumbbell in ns-3, as scripts/beside_ns3 asks for it: words `name=value`, and one line of JSON.
//
// Senders l0..lN - router a === router b - receivers r0..rN. What differs by default is set as
// pystack has it: segments, windows, SACK, time stamps, delayed ACKs, the shortest time-out.

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/traffic-control-module.h"

#include <algorithm>
#include <ctime>
#include <deque>
#include <iostream>
#include <map>
#include <sstream>

using namespace ns3;

namespace
{
using Words = std::map<std::string, std::string>;

Words
ReadWords(int argc, char* argv[])
{
    Words words;
    for (int at = 1; at < argc; ++at)
    {
        const std::string word = argv[at];
        const auto sign = word.find('=');
        words[word.substr(0, sign)] = word.substr(sign + 1);
    }
    return words;
}

std::vector<std::string>
Split(const std::string& text)
{
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ',');)
    {
        parts.push_back(part);
    }
    return parts;
}

struct Found
{
    double settle;
    std::vector<uint64_t> received;                 // bytes of text, from `settle` on
    std::deque<double> enqueuedAt;                   // of what waits; pieces share a packet's number
    std::vector<double> waits;                      // seconds in the bottleneck's queue
    uint64_t drops = 0;
    uint64_t retransmits = 0;
    bool traces = false;

    bool Counts() const
    {
        return Simulator::Now().GetSeconds() >= settle;
    }
};

void
SetDefaults(uint32_t initialWindow)
{
    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1448));
    Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(initialWindow));
    Config::SetDefault("ns3::TcpSocket::DelAckCount", UintegerValue(2));
    Config::SetDefault("ns3::TcpSocket::DelAckTimeout", TimeValue(MilliSeconds(40)));
    Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(8 << 20));
    Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(8 << 20));
    Config::SetDefault("ns3::TcpSocketBase::MinRto", TimeValue(MilliSeconds(200)));
    Config::SetDefault("ns3::TcpSocketBase::ClockGranularity", TimeValue(MilliSeconds(1)));
    Config::SetDefault("ns3::TcpSocketBase::Sack", BooleanValue(true));
    Config::SetDefault("ns3::TcpSocketBase::Timestamp", BooleanValue(true));
    Config::SetDefault("ns3::TcpL4Protocol::RecoveryType",
                       TypeIdValue(TcpPrrRecovery::GetTypeId()));
}

void
UseControl(Ptr<Node> node, const std::string& control)
{
    const TypeId type = TypeId::LookupByName("ns3::" + control);
    node->GetObject<TcpL4Protocol>()->SetAttribute("SocketType", TypeIdValue(type));
}

void
OnRetransmit(Found* found,
             const Ptr<const Packet>,
             const TcpHeader&,
             const Address&,
             const Address&,
             const Ptr<const TcpSocketBase>)
{
    found->retransmits += found->Counts();
}

void
CountRetransmits(Ptr<BulkSendApplication> sender, Found* found)
{
    sender->GetSocket()->TraceConnectWithoutContext("Retransmission",
                                                    MakeBoundCallback(&OnRetransmit, found));
}

// `trace=1`: each change of a window, and each loss, on the standard error
void
Tell(const std::string& what, uint32_t old, uint32_t now)
{
    std::cerr << Simulator::Now().GetSeconds() << " " << what << " " << old << " " << now << "\n";
}

void
TraceWindow(Ptr<BulkSendApplication> sender, uint32_t flow)
{
    for (const std::string name : {"CongestionWindow", "SlowStartThreshold", "BytesInFlight"})
    {
        const std::string what = name + " " + std::to_string(flow);
        sender->GetSocket()->TraceConnectWithoutContext(
            name,
            Callback<void, uint32_t, uint32_t>(
                [what](uint32_t old, uint32_t now) { Tell(what, old, now); }));
    }
}

template <typename Item>
void
WatchQueue(Ptr<Object> queue, Found* found)
{
    queue->TraceConnectWithoutContext("Enqueue", Callback<void, Item>([found](Item) {
        found->enqueuedAt.push_back(Simulator::Now().GetSeconds());
    }));
    queue->TraceConnectWithoutContext("Dequeue", Callback<void, Item>([found](Item) {
        if (found->Counts())
        {
            found->waits.push_back(Simulator::Now().GetSeconds() - found->enqueuedAt.front());
        }
        found->enqueuedAt.pop_front();
    }));
}

template <typename Item>
void
OnDrop(Found* found, Item)
{
    found->drops += found->Counts();
    if (found->traces)
    {
        Tell("lost", found->enqueuedAt.size(), 0);
    }
}

NetDeviceContainer
Join(Ptr<Node> a, Ptr<Node> b, const std::string& rate, const std::string& delay, uint32_t limit)
{
    PointToPointHelper line;
    line.SetDeviceAttribute("DataRate", StringValue(rate));
    line.SetChannelAttribute("Delay", StringValue(delay));
    line.SetQueue("ns3::DropTailQueue<Packet>",
                  "MaxSize",
                  QueueSizeValue(QueueSize(QueueSizeUnit::PACKETS, limit)));
    return line.Install(a, b);
}
// A queue that marks whatever has waited longer than `threshold`, and drops only what it cannot hold
Ptr<QueueDisc>
MarkAbove(Ptr<NetDevice> device, const std::string& threshold, uint32_t limit)
{
    Config::SetDefault("ns3::TcpSocketBase::UseEcn", StringValue("On"));
    auto queue = DynamicCast<PointToPointNetDevice>(device)->GetQueue();
    queue->SetMaxSize(QueueSize(QueueSizeUnit::PACKETS, 1));
    TrafficControlHelper traffic;
    traffic.SetRootQueueDisc("ns3::CoDelQueueDisc",
                             "MaxSize",
                             QueueSizeValue(QueueSize(QueueSizeUnit::PACKETS, limit)),
                             "Target",
                             StringValue("500ms"),
                             "UseEcn",
                             BooleanValue(true),
                             "CeThreshold",
                             StringValue(threshold));
    return traffic.Install(device).Get(0);
}
} // namespace

int
main(int argc, char* argv[])
{
    auto words = ReadWords(argc, argv);
    const auto controls = Split(words["controls"]); // of ns-3's classes, one for each flow
    const auto delays = Split(words["access"]);     // of each flow's line to the first router
    const auto starts = Split(words["starts"]);     // seconds
    const double seconds = std::stod(words["seconds"]);
    const double loss = std::stod(words["loss"]);
    RngSeedManager::SetRun(std::stoul(words["seed"]));
    SetDefaults(10);

    NodeContainer routers(2);
    NodeContainer left(controls.size());
    NodeContainer right(controls.size());
    InternetStackHelper internet;
    internet.SetIpv6StackInstall(false);
    internet.InstallAll();
    Ipv4AddressHelper addresses("10.0.0.0", "255.255.255.0");

    Found found{std::stod(words["settle"]), std::vector<uint64_t>(controls.size())};
    found.traces = words["trace"] == "1";
    const auto line = Join(routers.Get(0),
                           routers.Get(1),
                           words["rate"],
                           words["delay"],
                           std::stoul(words["limit"]));
    line.Get(1)->SetAttribute("DataRate", StringValue(words["back"]));
    DynamicCast<PointToPointNetDevice>(line.Get(1))->GetQueue()->SetMaxSize(
        QueueSize(QueueSizeUnit::PACKETS, 1000));
    TrafficControlHelper traffic;
    std::vector<NetDeviceContainer> all{line};
    std::vector<Ipv4Address> targets;
    addresses.Assign(line);
    for (uint32_t flow = 0; flow < controls.size(); ++flow)
    {
        all.push_back(Join(left.Get(flow), routers.Get(0), "100Gbps", delays[flow], 10000));
        addresses.NewNetwork();
        addresses.Assign(all.back());
        all.push_back(Join(routers.Get(1), right.Get(flow), "100Gbps", "0ms", 10000));
        addresses.NewNetwork();
        targets.push_back(addresses.Assign(all.back()).GetAddress(1));
        UseControl(left.Get(flow), controls[flow]);
    }
    for (const auto& devices : all)
    {
        traffic.Uninstall(devices); // Assign puts FqCoDel in front of each
    }
    if (loss > 0)
    {
        auto errors = CreateObject<RateErrorModel>();
        errors->SetUnit(RateErrorModel::ERROR_UNIT_PACKET);
        errors->SetRate(loss);
        line.Get(1)->SetAttribute("ReceiveErrorModel", PointerValue(errors));
        line.Get(1)->TraceConnectWithoutContext("PhyRxDrop",
                                                MakeBoundCallback(&OnDrop<Ptr<const Packet>>, &found));
    }
    Ipv4GlobalRoutingHelper::PopulateRoutingTables();
    if (words["mark"] == "0")
    {
        const auto device = DynamicCast<PointToPointNetDevice>(line.Get(0));
        WatchQueue<Ptr<const Packet>>(device->GetQueue(), &found);
        routers.Get(0)->GetObject<TrafficControlLayer>()->TraceConnectWithoutContext(
            "TcDrop",
            MakeBoundCallback(&OnDrop<Ptr<const Packet>>, &found));
    }
    else
    {
        auto queue = MarkAbove(line.Get(0), words["mark"], std::stoul(words["limit"]));
        WatchQueue<Ptr<const QueueDiscItem>>(queue, &found);
        queue->TraceConnectWithoutContext("Drop",
                                          MakeBoundCallback(&OnDrop<Ptr<const QueueDiscItem>>,
                                                            &found));
    }

    for (uint32_t flow = 0; flow < controls.size(); ++flow)
    {
        PacketSinkHelper sink("ns3::TcpSocketFactory",
                              InetSocketAddress(Ipv4Address::GetAny(), 9));
        auto sinks = sink.Install(right.Get(flow));
        sinks.Get(0)->TraceConnectWithoutContext(
            "Rx",
            Callback<void, Ptr<const Packet>, const Address&>(
                [&found, flow](Ptr<const Packet> packet, const Address&) {
                    found.received[flow] += found.Counts() ? packet->GetSize() : 0;
                }));
        BulkSendHelper bulk("ns3::TcpSocketFactory", InetSocketAddress(targets[flow], 9));
        bulk.SetAttribute("SendSize", UintegerValue(14480));
        auto senders = bulk.Install(left.Get(flow));
        const double start = std::stod(starts[flow]);
        senders.Start(Seconds(start));
        Simulator::Schedule(Seconds(start) + MicroSeconds(1),
                            CountRetransmits,
                            DynamicCast<BulkSendApplication>(senders.Get(0)),
                            &found);
        if (found.traces)
        {
            Simulator::Schedule(Seconds(start) + MicroSeconds(1),
                                TraceWindow,
                                DynamicCast<BulkSendApplication>(senders.Get(0)),
                                flow);
        }
    }

    Simulator::Stop(Seconds(seconds));
    const auto before = std::clock();
    Simulator::Run();
    const double cpu = double(std::clock() - before) / CLOCKS_PER_SEC;
    const auto events = Simulator::GetEventCount();
    std::sort(found.waits.begin(), found.waits.end());
    double sum = 0;
    for (const double wait : found.waits)
    {
        sum += wait;
    }
    const auto count = found.waits.size();
    std::cout << "{\"goodput_bps\": [";
    for (uint32_t flow = 0; flow < controls.size(); ++flow)
    {
        std::cout << (flow ? ", " : "") << found.received[flow] * 8 / (seconds - found.settle);
    }
    std::cout << "], \"queue_mean_s\": " << (count ? sum / count : 0)
              << ", \"queue_p95_s\": " << (count ? found.waits[size_t(0.95 * (count - 1))] : 0)
              << ", \"drops\": " << found.drops << ", \"retransmits\": " << found.retransmits
              << ", \"frames\": " << count << ", \"events\": " << events << ", \"cpu_s\": " << cpu
              << "}\n";
    Simulator::Destroy();
}
