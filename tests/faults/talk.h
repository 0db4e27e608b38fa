// talk: clients that talk to a FaultServer, each on one connection after the other, and look at every byte.
//
// What comes must be a prefix of what should have come, whatever fails; and all of it where nothing may break.
//
// Threads: each talk is one thread's.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "tests/faults/wire.h"
#include "tnet/address.h"

namespace tnet {

struct TalkRules {
    Address address{};
    SSL_CTX* tls = nullptr;
    bool mayBreak = false;   // connections may end at any byte
    bool mayRefuse = false;  // an answer may be a 500
    bool mayMiss = false;    // publications may
};

struct TalkResult {
    uint64_t units = 0;   // answers and messages that came whole
    uint64_t broken = 0;  // connections that ended early
    std::string problem{};
};

// Requests of all kinds, some pipelined, on one connection: GET, POST with either framing, streams, files.
TalkResult talkHttp(const TalkRules& rules, uint32_t connection, std::minstd_rand& random, size_t bursts);

// Echoes, pings and a topic, on one connection; `target` is the route.
TalkResult talkWs(const TalkRules& rules, const std::string& target, uint32_t connection,
                  std::minstd_rand& random, size_t messages);

}  // namespace tnet
