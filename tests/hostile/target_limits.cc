#include "tests/hostile/target_limits.h"

namespace tnet {

using std::chrono::milliseconds;

std::vector<std::string> TargetLimits::flags() const {
    std::vector<std::string> flags = {"--max-connections",         std::to_string(maxConnections),
                                      "--connections-per-address", std::to_string(connectionsPerAddress),
                                      "--requests-per-second",     std::to_string(requestsPerSecond)};
    if (logsToUnreadPipe) flags.insert(flags.end(), {"--log-requests", "1"});
    return flags;
}

HttpServer::Settings TargetLimits::server() const {
    HttpServer::Settings settings;
    settings.limits.bodyBytes = 256 << 10;
    settings.limits.headerTimeout = milliseconds(2000);
    settings.limits.idleTimeout = milliseconds(3000);
    settings.limits.handlerTimeout = milliseconds(5000);
    settings.limits.sendTimeout = milliseconds(2000);
    settings.limits.bodyGrace = milliseconds(2000);
    settings.limits.addressRequestsPerSecond = requestsPerSecond;
    settings.tcp.maxConnections = maxConnections;
    settings.tcp.maxConnectionsPerAddress = connectionsPerAddress;
    settings.tcp.checker.interval = milliseconds(250);
    settings.tcp.checker.connectTimeout = milliseconds(2000);
    settings.tcp.checker.batch = 4096;
    return settings;
}

WsRoute TargetLimits::route() const {
    WsRoute route;
    route.maxMessageBytes = 256 << 10;
    route.maxFrameBytes = 64 << 10;
    route.maxFragments = 10000;
    route.maxMessagesPerSecond = 1000;
    route.maxQueuedBytes = 128 << 10;
    route.sendTimeout = milliseconds(2000);
    route.pingInterval = milliseconds(1500);
    route.pongTimeout = milliseconds(2000);
    route.idleTimeout = milliseconds(5000);
    route.closeTimeout = milliseconds(1000);
    route.keepRequest = false;
    return route;
}

}  // namespace tnet
