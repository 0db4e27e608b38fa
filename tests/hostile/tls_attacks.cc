// TLS: handshakes that stall or never end, keys that change without end, records of one byte.
#include "tests/hostile/memory_bounds.h"
#include "tests/hostile/plan.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using Tls = Plan::Tls;

const std::string kAsk = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

void renegotiate(TlsClient& client) {
    if (SSL_renegotiate(client.ssl()) == 1) SSL_do_handshake(client.ssl());
}

void updateKeys(TlsClient& client) {
    SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED);  // which fails once the server has refused it
    SSL_do_handshake(client.ssl());
}

// A record that announces 16 KiB of a ClientHello of 64 KiB.
std::string largeHello() {
    using namespace std::string_literals;
    return "\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03"s + std::string(4096, 'h');
}

}  // namespace

std::vector<Attack> tlsAttacks() {
    const TargetLimits usual;
    const TcpServer::Settings tcp = usual.server().tcp;
    const milliseconds handshake = tcp.checker.connectTimeout + tcp.checker.interval;
    const size_t session = headBytes(usual) + kTlsSessionBytes + kHandshakeBytes;
    return {
        {.name = "tls-stall",
         .sentence = "begins a handshake, and does not answer",
         .connections = 500,
         .plan = [](uint64_t) { return Plan{.tls = Tls::Stall}; },
         .bytesPerConnection = session,
         .heldAtMost = handshake,
         .isTurnedAway = true},
        {.name = "tls-trickle",
         .sentence = "sends its ClientHello byte by byte",
         .connections = 500,
         .plan =
             [](uint64_t) { return Plan{.pieceBytes = 1, .pause = milliseconds(50), .tls = Tls::Session}; },
         .bytesPerConnection = session,
         .heldAtMost = handshake,
         .isTurnedAway = true},
        {.name = "tls-large-hello",
         .sentence = "announces a ClientHello of 64 KiB, and sends it slowly",
         .connections = 500,
         .plan =
             [](uint64_t) {
                 return Plan{
                     .first = largeHello(), .pieceBytes = 64, .pause = milliseconds(50), .tls = Tls::Raw};
             },
         .bytesPerConnection = session,
         .heldAtMost = handshake,
         .isTurnedAway = true},
        {.name = "tls-garbage",
         .sentence = "sends what is neither TLS nor HTTP",
         .connections = 100,
         .plan = [](uint64_t) { return Plan{.first = std::string(600, '\x99'), .tls = Tls::Raw}; },
         .bytesPerConnection = session,
         .heldAtMost = handshake},
        {.name = "tls-handshakes",
         .sentence = "handshakes, resets, and begins anew",
         .connections = 20,
         .plan = [](uint64_t) { return Plan{.tls = Tls::Handshake}; },
         .bytesPerConnection = session,
         .heldAtMost = handshake},
        {.name = "tls-renegotiation",
         .sentence = "asks for a renegotiation, again and again",
         .connections = 20,
         .plan =
             [](uint64_t) {
                 return Plan{.tls = Tls::Session, .tlsVersion = TlsVersion::Tls12, .tlsTurn = renegotiate};
             },
         .bytesPerConnection = session},
        {.name = "tls-key-updates",
         .sentence = "changes its key without end, and asks for the server's",
         .connections = 50,
         .plan = [](uint64_t) { return Plan{.tls = Tls::Session, .tlsTurn = updateKeys}; },
         .bytesPerConnection = session,
         .heldAtMost = milliseconds(5000)},
        {.name = "tls-tiny-records",
         .sentence = "sends requests in records of one byte, as fast as they are taken",
         .connections = 20,
         .plan =
             [](uint64_t) {
                 return Plan{.more = [](uint64_t turn) { return kAsk.substr(turn % kAsk.size(), 1); },
                             .tls = Tls::Session};
             },
         .bytesPerConnection = session,
         .answers = {200}},
        {.name = "tls-bytewise",
         .sentence = "sends handshake and records byte by byte, fast enough",
         .connections = 50,
         .plan =
             [](uint64_t) {
                 return Plan{.more = [](uint64_t) { return kAsk; },
                             .pieceBytes = 1,
                             .pause = milliseconds(1),
                             .tls = Tls::Session};
             },
         .bytesPerConnection = session,
         .answers = {200},
         .leastTime = milliseconds(3000)},
    };
}

}  // namespace tnet
