// WebSocket: bombs, floods, fragments, silence.
#include "tests/hostile/memory_bounds.h"
#include "tests/hostile/plan.h"
#include "tests/hostile/ws_frames.h"
#include "websocket/deflate.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using Reading = Plan::Reading;

constexpr std::string_view kOffer =
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover";

std::function<std::string(uint64_t)> always(std::string bytes) {
    return [bytes = std::move(bytes)](uint64_t) { return bytes; };
}

std::string compressedZeros(size_t size) {
    WsDeflater deflater({.level = 9});
    std::string out;
    return deflater.deflate(std::string(size, '\0'), true, out) ? out : std::string();
}

std::string bomb(size_t size) {
    return maskedFrame(WsOpcode::Binary, compressedZeros(size), WsFin::Last, WsRsv1::Compressed);
}

// The same in fragments of 16 bytes.
std::string fragmentedBomb(size_t size) {
    const std::string bytes = compressedZeros(size);
    std::string frames;
    for (size_t at = 0; at < bytes.size(); at += 16) {
        const bool isLast = at + 16 >= bytes.size();
        frames +=
            maskedFrame(at == 0 ? WsOpcode::Binary : WsOpcode::Continuation, bytes.substr(at, 16),
                        isLast ? WsFin::Last : WsFin::More, at == 0 ? WsRsv1::Compressed : WsRsv1::Plain);
    }
    return frames;
}

std::string begin(std::string_view path, WsOpcode opcode, std::string_view payload) {
    return upgradeRequest(path) + maskedFrame(opcode, payload, WsFin::More);
}

}  // namespace

std::vector<Attack> webSocketAttacks() {
    const TargetLimits usual;
    const WsRoute route = usual.route();
    const size_t message = messageBytes(usual);
    const milliseconds refusal = route.closeTimeout;
    const milliseconds silence = 2 * route.pingInterval + route.pongTimeout;
    return {
        {.name = "ws-silent",
         .sentence = "upgrades, and answers no ping",
         .connections = 2000,
         .plan = [](uint64_t) { return Plan{.first = upgradeRequest("/ws/quiet")}; },
         .bytesPerConnection = kIdleBytes,
         .heldAtMost = silence,
         .answers = {101}},
        {.name = "ws-unread",
         .sentence = "subscribes, and does not read",
         .connections = 200,
         .plan =
             [](uint64_t) {
                 return Plan{
                     .first = upgradeRequest("/ws/feed"), .reading = Reading::Nothing, .receiveBuffer = 4096};
             },
         .bytesPerConnection = message,
         .heldAtMost = silence},
        {.name = "ws-bomb",
         .sentence = "sends compressed messages that become 8 MiB",
         .connections = 50,
         .plan = [bytes = bomb(8 << 20)](
                     uint64_t) { return Plan{.first = upgradeRequest("/ws/quiet", kOffer) + bytes}; },
         .bytesPerConnection = message,
         .heldAtMost = refusal,
         .answers = {1009}},
        {.name = "ws-bomb-fragments",
         .sentence = "the same in fragments of 16 bytes",
         .connections = 50,
         .plan = [bytes = fragmentedBomb(8 << 20)](
                     uint64_t) { return Plan{.first = upgradeRequest("/ws/quiet", kOffer) + bytes}; },
         .bytesPerConnection = message,
         .heldAtMost = refusal,
         .answers = {1009}},
        {.name = "ws-bomb-allowed",
         .sentence = "sends compressed messages that become as large as they may, as fast as they are taken",
         .connections = 10,
         .plan =
             [bytes = bomb(usual.route().maxMessageBytes)](uint64_t) {
                 return Plan{.first = upgradeRequest("/ws/quiet", kOffer), .more = always(bytes)};
             },
         .bytesPerConnection = message},
        {.name = "ws-windows",
         .sentence = "makes the server keep a window for each connection, and says no more",
         .connections = 1000,
         .plan =
             [bytes = bomb(32 << 10)](uint64_t) {
                 return Plan{.first = upgradeRequest("/ws/deflate", "permessage-deflate") + bytes};
             },
         .bytesPerConnection = message,
         .heldAtMost = silence,
         .answers = {101}},
        {.name = "ws-ping-flood",
         .sentence = "sends pings without end, and reads the answers",
         .connections = 50,
         .plan = [ping = maskedFrame(WsOpcode::Ping, std::string(125, 'p'))](
                     uint64_t) { return Plan{.first = upgradeRequest("/ws/echo"), .more = always(ping)}; },
         .bytesPerConnection = message,
         .heldAtMost = refusal,
         .answers = {1008}},
        {.name = "ws-ping-unread",
         .sentence = "sends pings without end, and reads nothing",
         .connections = 50,
         .plan =
             [ping = maskedFrame(WsOpcode::Ping, std::string(125, 'p'))](uint64_t) {
                 return Plan{.first = upgradeRequest("/ws/echo"),
                             .more = always(ping),
                             .reading = Reading::Nothing,
                             .receiveBuffer = 4096};
             },
         .bytesPerConnection = message,
         .heldAtMost = refusal + route.sendTimeout},
        {.name = "ws-tiny-fragments",
         .sentence = "sends a message without end in fragments of one byte",
         .connections = 50,
         .plan =
             [](uint64_t) {
                 return Plan{.first = begin("/ws/quiet", WsOpcode::Text, "x"),
                             .more = always(maskedFrame(WsOpcode::Continuation, "x", WsFin::More))};
             },
         .bytesPerConnection = message,
         .heldAtMost = refusal,
         .answers = {1008}},
        {.name = "ws-empty-fragments",
         .sentence = "the same in fragments of nothing",
         .connections = 50,
         .plan =
             [](uint64_t) {
                 return Plan{.first = begin("/ws/quiet", WsOpcode::Text, {}),
                             .more = always(maskedFrame(WsOpcode::Continuation, {}, WsFin::More))};
             },
         .bytesPerConnection = message,
         .heldAtMost = refusal,
         .answers = {1008}},
        {.name = "ws-endless",
         .sentence = "sends a message without end",
         .connections = 50,
         .plan =
             [](uint64_t) {
                 const std::string piece(16 << 10, 'x');
                 return Plan{.first = begin("/ws/quiet", WsOpcode::Text, piece),
                             .more = always(maskedFrame(WsOpcode::Continuation, piece, WsFin::More))};
             },
         .bytesPerConnection = message,
         .heldAtMost = refusal,
         .answers = {1009}},
        {.name = "ws-unfinished",
         .sentence = "begins a message of the largest size, and answers pings but never ends it",
         .connections = 300,
         .plan =
             [](uint64_t) {
                 return Plan{.first = begin("/ws/quiet", WsOpcode::Text, std::string(60 << 10, 'x')),
                             .more = always(maskedFrame(WsOpcode::Pong, {})),
                             .pause = milliseconds(500)};
             },
         .bytesPerConnection = message,
         .heldAtMost = route.idleTimeout + route.pingInterval},
        {.name = "ws-bytewise",
         .sentence = "sends frames byte by byte",
         .connections = 300,
         .plan =
             [](uint64_t) {
                 return Plan{.first = upgradeRequest("/ws/echo"),
                             .more = always(maskedFrame(WsOpcode::Text, "hello")),
                             .pieceBytes = 1,
                             .pause = milliseconds(4)};
             },
         .bytesPerConnection = message,
         .answers = {101},
         .leastTime = milliseconds(3000)},
        {.name = "ws-never-closes",
         .sentence = "sends a frame that is refused, and stays when the server closes",
         .connections = 1000,
         .plan =
             [](uint64_t) {
                 return Plan{.first = upgradeRequest("/ws/echo") + "\x8b\x80" + std::string(4, '\0'),
                             .neverCloses = true};
             },
         .bytesPerConnection = kIdleBytes + kWorkBytes,
         .heldAtMost = refusal,
         .answers = {1002}},
    };
}

}  // namespace tnet
