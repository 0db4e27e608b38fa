// Plan: what one hostile connection does. Attack: many of them at once, and what the server may be made to spend.
//
//     {.name = "slow-header",
//      .sentence = "begins a request, and goes on with a header's byte now and then",
//      .connections = 2000,
//      .plan = [](uint64_t) { return Plan{.first = "GET / HTTP/1.1\r\n", .more = ..., .pause = ...}; }, ...}
//
// Threads: a plan's functions run on the attackers' thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/hostile/target_limits.h"
#include "tests/support/tls_client.h"

namespace tnet {

struct Plan {
    using Milliseconds = std::chrono::milliseconds;

    // --- What is sent ---

    std::string first{};                               // once connected
    std::function<std::string(uint64_t turn)> more{};  // then these, for ever; null: nothing
    size_t pieceBytes = SIZE_MAX;                      // per write; and between two writes this much time;
    Milliseconds pause{0};                             // zero: as fast as the server takes it

    // --- What is read ---

    enum class Reading : uint8_t { All, Drip, Nothing };
    Reading reading = Reading::All;  // Drip: a few bytes every quarter of a second
    int receiveBuffer = 0;           // SO_RCVBUF; zero: the kernel's choice

    // --- How it ends ---

    std::optional<Milliseconds> resetAfter{};  // by a reset, so long after it was connected
    bool neverCloses = false;                  // stays when the server has ended its direction

    // --- TLS: all of the above inside of it ---

    enum class Tls : uint8_t {
        None,
        Raw,        // to the server that speaks it, but without
        Session,    // handshake, then what is to be sent
        Handshake,  // handshake, then a reset: over and over
        Stall,      // the server's flight is not answered
    };
    Tls tls = Tls::None;
    TlsVersion tlsVersion = TlsVersion::Tls13;
    std::function<void(SSL_CTX*)> tlsSetUp{};
    std::function<void(TlsClient&)> tlsTurn{};  // instead of `more`: what is done once established, for ever
};

struct Attack {
    using Milliseconds = std::chrono::milliseconds;

    std::string_view name;
    std::string_view sentence;
    size_t connections = 0;  // at once, at full intensity
    TargetLimits limits{};
    // `number`: how many were opened before.
    std::function<Plan(uint64_t number)> plan{};

    bool isSynFlood = false;  // no connections, but SYNs of nobody's addresses

    // --- The attackers' addresses: 127.0.0.2 and so on, or fd00:1::1 and so on, one /64 ---

    size_t sources = 8;
    bool isIpv6 = false;

    // --- What the server may be made to spend ---

    size_t bytesPerConnection = 0;  // at most, beyond what it had before
    // How long it may keep one of them at most; zero: as long as it likes, they are clients like others.
    Milliseconds heldAtMost{0};

    // --- What must be seen ---

    // Statuses and close codes; at least one of them. Empty: anything.
    std::vector<int> answers{};
    Milliseconds leastTime{0};     // what it takes for that
    bool isTurnedAway = false;     // some must be closed without any answer
    bool hasRoomForOthers = true;  // false: all connections are taken, and only who has one is served
};

std::vector<Attack> tcpAttacks();
std::vector<Attack> httpAttacks();
std::vector<Attack> webSocketAttacks();
std::vector<Attack> tlsAttacks();
std::vector<Attack> turnAttacks();

}  // namespace tnet
