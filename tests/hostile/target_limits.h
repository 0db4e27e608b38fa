// TargetLimits: what the server that is attacked puts up with. The server is set up from it, and the bounds that an
// attack is judged by are computed from it, so that the two cannot disagree.
//
// Deadlines are short, so that an attack that holds a connection for too long is seen within seconds.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "http/server.h"
#include "websocket/route.h"

namespace tnet {

struct TargetLimits {
    size_t maxConnections = 4000;
    size_t connectionsPerAddress = 0;  // zero: any number
    size_t requestsPerSecond = 0;      // of an address; zero: any number
    bool logsToUnreadPipe = false;     // requests, to standard output, where the siege reads nothing

    // As flags of the target.
    std::vector<std::string> flags() const;

    HttpServer::Settings server() const;
    WsRoute route() const;  // of every WebSocket path, without handlers
};

// What GET /big answers, and how large what /feed publishes is, and how often.
constexpr size_t kBigAnswerBytes = 1 << 20;
constexpr size_t kFeedBytes = 4 << 10;
constexpr std::chrono::milliseconds kFeedInterval{20};

// GET /file: sparse, so that sending it costs no disk. /ws/room: what another loop publishes there, and how often.
constexpr size_t kFileBytes = size_t{8} << 30;
constexpr size_t kRoomBytes = 200;
constexpr size_t kRoomBurst = 75;
constexpr std::chrono::milliseconds kRoomInterval{5};

}  // namespace tnet
