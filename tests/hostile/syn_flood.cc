#include "tests/hostile/syn_flood.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

namespace tnet {
namespace {

struct Packet {
    iphdr ip;
    tcphdr tcp;
};

// RFC 1071.
uint16_t checksum(const void* bytes, size_t size, uint32_t sum) {
    const auto* const words = static_cast<const uint8_t*>(bytes);
    for (size_t i = 0; i + 1 < size; i += 2) sum += static_cast<uint32_t>(words[i] << 8 | words[i + 1]);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return htons(static_cast<uint16_t>(~sum));
}

}  // namespace

SynFlood::SynFlood(const Address& server)
    : m_server(server), m_socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)) {
    if (isPossible()) m_thread = std::thread([this] { run(); });
}

SynFlood::~SynFlood() { stop(); }

void SynFlood::stop() {
    m_isOver = true;
    if (m_thread.joinable()) m_thread.join();
}

void SynFlood::run() {
    sockaddr_in to{};
    std::memcpy(&to, m_server.data(), sizeof(to));
    for (uint32_t number = 1; !m_isOver; ++number) {
        Packet packet{};
        packet.ip.version = 4;
        packet.ip.ihl = 5;
        packet.ip.ttl = 64;
        packet.ip.protocol = IPPROTO_TCP;
        packet.ip.saddr = htonl(0x0a000000U | (number & 0xffffffU));
        packet.ip.daddr = to.sin_addr.s_addr;
        packet.tcp.source = htons(static_cast<uint16_t>(1024 + number % 60000));
        packet.tcp.dest = to.sin_port;
        packet.tcp.seq = htonl(number * 2654435761U);
        packet.tcp.doff = 5;
        packet.tcp.syn = 1;
        packet.tcp.window = htons(65535);
        const uint32_t pseudo = IPPROTO_TCP + sizeof(tcphdr);
        uint32_t sum = pseudo;
        for (const uint32_t address : {ntohl(packet.ip.saddr), ntohl(packet.ip.daddr)})
            sum += (address >> 16) + (address & 0xffff);
        packet.tcp.check = checksum(&packet.tcp, sizeof(tcphdr), sum);
        if (::sendto(m_socket.get(), &packet, sizeof(packet), 0, reinterpret_cast<const sockaddr*>(&to),
                     sizeof(to)) > 0)
            ++m_sent;
    }
}

}  // namespace tnet
