// What makes a loop work without end for one client: its turn has to end. The reader of a long answer is
// fast, so nothing ever waits for it; or it has left, and whoever writes to it has to be told so.
#include "tests/hostile/memory_bounds.h"
#include "tests/hostile/plan.h"
#include "tests/hostile/ws_frames.h"
#include "websocket/deflate.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using Reading = Plan::Reading;

std::string ask(std::string_view method, std::string_view path) {
    return std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

// A message that is 64 KiB compressed and 64 MiB for the handler.
std::string longMessage() {
    WsDeflater deflater({.level = 9});
    std::string bytes;
    if (!deflater.deflate(std::string(64 << 20, '\0'), true, bytes)) return {};
    return maskedFrame(WsOpcode::Binary, bytes, WsFin::Last, WsRsv1::Compressed);
}

}  // namespace

std::vector<Attack> turnAttacks() {
    const TargetLimits usual;
    TargetLimits logging;
    logging.logsToUnreadPipe = true;
    const size_t answer = answerBytes(usual, 1 << 20);
    const size_t message = messageBytes(usual);
    const milliseconds refusal = Connection::kDefaultShutDownTime;
    return {
        {.name = "stream-left",
         .sentence = "asks for an answer without end, and resets the connection",
         .connections = 20,
         .plan =
             [](uint64_t) { return Plan{.first = ask("GET", "/stream"), .resetAfter = milliseconds(100)}; },
         .bytesPerConnection = answer},
        {.name = "stream-head",
         .sentence = "asks for no more than the head of an answer without end",
         .connections = 20,
         .plan = [](uint64_t) { return Plan{.first = ask("HEAD", "/stream")}; },
         .bytesPerConnection = answer,
         .answers = {200}},
        {.name = "stream-too-long",
         .sentence = "asks for an answer that goes on after its Content-Length",
         .connections = 20,
         .plan = [](uint64_t) { return Plan{.first = ask("GET", "/too-long")}; },
         .bytesPerConnection = answer,
         .heldAtMost = refusal,
         .answers = {200}},
        {.name = "stream-fast",
         .sentence = "reads answers without end as fast as they come",
         .connections = 10,
         .plan = [](uint64_t) { return Plan{.first = ask("GET", "/stream")}; },
         .bytesPerConnection = answer,
         .answers = {200}},
        {.name = "file-fast",
         .sentence = "reads files of 8 GiB as fast as they come",
         .connections = 10,
         .plan = [](uint64_t) { return Plan{.first = ask("GET", "/file")}; },
         .bytesPerConnection = answer,
         .answers = {200}},
        {.name = "file-fast-tls",
         .sentence = "the same over TLS",
         .connections = 10,
         .plan = [](uint64_t) { return Plan{.first = ask("GET", "/file"), .tls = Plan::Tls::Session}; },
         .bytesPerConnection = answer + kTlsSessionBytes + kHandshakeBytes,
         .answers = {200}},
        {.name = "ws-paused",
         .sentence = "sends messages that become 64 MiB to a handler that pauses at each piece",
         .connections = 10,
         .plan =
             [bytes = longMessage()](uint64_t) {
                 return Plan{.first = upgradeRequest("/ws/pausing",
                                                     "permessage-deflate; "
                                                     "client_no_context_takeover; "
                                                     "server_no_context_takeover") +
                                      bytes};
             },
         .bytesPerConnection = message,
         .answers = {101}},
        {.name = "ws-room",
         .sentence = "joins a room in which another loop says 15,000 things a second",
         .connections = 200,
         .plan = [](uint64_t) { return Plan{.first = upgradeRequest("/ws/room")}; },
         // The loop's inbox, which is as large however few they are.
         .bytesPerConnection = message + (16 << 20) / 20,
         .answers = {101}},
        {.name = "log-unread",
         .sentence = "asks a server whose log nobody reads",
         .connections = 64,
         .limits = logging,
         .plan =
             [](uint64_t) {
                 return Plan{.more = [](uint64_t) { return ask("GET", "/hello"); }, .pause = milliseconds(1)};
             },
         .bytesPerConnection = answer,
         .answers = {200}},
    };
}

}  // namespace tnet
