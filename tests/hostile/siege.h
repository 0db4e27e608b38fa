// Siege: one attack on one server, beside a well-behaved client; and what came of it.
//
//     server starts -> client asks -> attack, for `time` -> no new connections -> all gone in time -> client asks
//
// Threads: the maker's.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "tests/hostile/good_client.h"
#include "tests/hostile/plan.h"
#include "tests/hostile/server_process.h"
#include "tests/hostile/swarm.h"
#include "tnet/result.h"

namespace tnet {

struct SiegeSettings {
    std::chrono::milliseconds time{5000};
    double scale = 1;                          // of the attack's connections
    double boundMillis = 100;                  // for the client's p99
    bool judgesMemory = true;                  // not under a sanitizer, which needs its own
    std::chrono::milliseconds lateness{1000};  // beyond which a deadline has not been kept
};

struct SiegeOutcome {
    size_t connections = 0;  // at once
    Swarm::Figures attackers{};
    uint64_t syns = 0;
    GoodClient::Figures good{};
    size_t bytesBefore = 0;
    size_t bytesPeak = 0;
    size_t bytesMaximum = 0;  // computed, for the peak
    size_t bytesAfter = 0;
    size_t bytesKept = 0;  // computed, for what may stay
    double cpuSeconds = 0;
    double heldSeconds = 0;               // by those that were there when the attack ended
    std::vector<std::string> failures{};  // empty: it held
};

SiegeOutcome besiege(const Attack& attack, const ServerProcess& server, const SiegeSettings& settings);

}  // namespace tnet
