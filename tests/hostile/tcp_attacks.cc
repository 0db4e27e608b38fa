// Connections as such: many, useless, unanswered, broken off.
#include "tests/hostile/memory_bounds.h"
#include "tests/hostile/plan.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;

const std::string kAsk = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

// An ordinary client that keeps its connection.
Plan ordinary(uint64_t) {
    return {.first = kAsk, .more = [](uint64_t) { return kAsk; }, .pause = milliseconds(1000)};
}

Plan brokenOff(uint64_t number) {
    static const std::string big = "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // Before anything is sent, within a request, before, in the middle of and behind the answer.
    const std::string& request = number % 2 == 0 ? big : kAsk;
    return {.first = request.substr(0, number * 7 % (request.size() + 1)),
            .reading = number % 3 == 0 ? Plan::Reading::Nothing : Plan::Reading::All,
            .resetAfter = milliseconds(number * 11 % 23)};
}

}  // namespace

std::vector<Attack> tcpAttacks() {
    const TargetLimits usual;
    const milliseconds idle = usual.server().limits.idleTimeout;
    const TargetLimits full{.maxConnections = 2000};
    const TargetLimits perAddress{.connectionsPerAddress = 20};
    const TargetLimits requests{.requestsPerSecond = 400};
    return {
        {.name = "half-open",
         .sentence = "connects, and says nothing",
         .connections = 3000,
         .plan = [](uint64_t) { return Plan{}; },
         .bytesPerConnection = kIdleBytes,
         .heldAtMost = idle,
         .isTurnedAway = true},
        {.name = "syn-flood",
         .sentence =
             "begins connections of addresses that are nobody's, and more of them than there is room for",
         .connections = 1,
         .plan = [](uint64_t) { return Plan{}; },
         .isSynFlood = true,
         .bytesPerConnection = kIdleBytes},
        {.name = "connection-flood",
         .sentence = "connects more often than maxConnections allows, and asks now and then",
         .connections = 3500,
         .limits = full,
         .plan = ordinary,
         .bytesPerConnection = headBytes(full),
         .answers = {200},
         .hasRoomForOthers = false},
        {.name = "address-connections",
         .sentence = "connects from one address more often than maxConnectionsPerAddress allows",
         .connections = 500,
         .limits = perAddress,
         .plan = ordinary,
         .sources = 1,
         .bytesPerConnection = headBytes(perAddress),
         .answers = {200},
         .isTurnedAway = true},
        {.name = "address-connections-v6",
         .sentence = "the same from 200 addresses of one /64",
         .connections = 500,
         .limits = perAddress,
         .plan = ordinary,
         .sources = 200,
         .isIpv6 = true,
         .bytesPerConnection = headBytes(perAddress),
         .answers = {200},
         .isTurnedAway = true},
        {.name = "address-requests",
         .sentence =
             "asks from one address, on many connections, more often than addressRequestsPerSecond allows",
         .connections = 100,
         .limits = requests,
         .plan =
             [](uint64_t) { return Plan{.more = [](uint64_t) { return kAsk; }, .pause = milliseconds(4)}; },
         .sources = 1,
         .bytesPerConnection = headBytes(requests),
         .answers = {200, 429}},
        {.name = "address-requests-v6",
         .sentence = "the same from 200 addresses of one /64",
         .connections = 200,
         .limits = requests,
         .plan =
             [](uint64_t) { return Plan{.more = [](uint64_t) { return kAsk; }, .pause = milliseconds(8)}; },
         .sources = 200,
         .isIpv6 = true,
         .bytesPerConnection = headBytes(requests),
         .answers = {200, 429}},
        {.name = "reset-storm",
         .sentence = "connects, sends some of a request, and resets, at any moment",
         .connections = 200,
         .plan = brokenOff,
         .bytesPerConnection = answerBytes(usual, kBigAnswerBytes),
         .heldAtMost = milliseconds(500)},
    };
}

}  // namespace tnet
