// HTTP: slow, endless, one behind the other, never read, never closed.
#include "tests/hostile/memory_bounds.h"
#include "tests/hostile/plan.h"
#include "tnet/connection.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using Reading = Plan::Reading;

const std::string kAsk = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
const std::string kPost = "POST /take HTTP/1.1\r\nHost: localhost\r\n";
const std::string kChunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";

std::function<std::string(uint64_t)> always(std::string bytes) {
    return [bytes = std::move(bytes)](uint64_t) { return bytes; };
}

std::string times(size_t count, const std::string& text) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
}

// Four large answers, so that reading on is the client's turn.
Plan unread(Reading reading) {
    return {.first = times(4, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            .reading = reading,
            .receiveBuffer = 4096};
}

Plan garbage(uint64_t number) {
    std::string bytes;
    for (uint64_t state = number * 2654435761 + 1; bytes.size() < 512;
         state = state * 6364136223846793005 + 1)
        bytes += static_cast<char>(state >> 33);
    return {.first = std::move(bytes)};
}

}  // namespace

std::vector<Attack> httpAttacks() {
    const TargetLimits usual;
    const HttpLimits http = usual.server().limits;
    const size_t large = answerBytes(usual, kBigAnswerBytes);
    const size_t head = headBytes(usual);
    const size_t body = bodyBytes(usual);
    // A refusal is followed by our end, and by a wait for the client's.
    const milliseconds refusal = Connection::kDefaultShutDownTime;
    return {
        {.name = "slow-header",
         .sentence = "begins a request, and goes on with a byte of a header now and then",
         .connections = 2000,
         .plan =
             [](uint64_t) {
                 return Plan{.first = "GET /hello HTTP/1.1\r\nHost: localhost\r\n",
                             .more = always("X-Slow: yes\r\n"),
                             .pieceBytes = 1,
                             .pause = milliseconds(100)};
             },
         .bytesPerConnection = head,
         .heldAtMost = http.headerTimeout,
         .answers = {408}},
        {.name = "slow-body",
         .sentence = "announces a body, and sends a byte of it now and then",
         .connections = 2000,
         .plan =
             [](uint64_t) {
                 return Plan{.first = kPost + "Content-Length: 200000\r\n\r\n",
                             .more = always("x"),
                             .pieceBytes = 128,
                             .pause = milliseconds(100)};
             },
         .bytesPerConnection = body,
         .heldAtMost = 2 * http.bodyGrace,
         .answers = {408}},
        {.name = "slow-read",
         .sentence = "asks for large answers, and does not read them",
         .connections = 200,
         .plan = [](uint64_t) { return unread(Reading::Nothing); },
         .bytesPerConnection = large,
         .heldAtMost = http.sendTimeout},
        {.name = "drip-read",
         .sentence = "asks for large answers, and reads a few bytes now and then",
         .connections = 200,
         .plan = [](uint64_t) { return unread(Reading::Drip); },
         .bytesPerConnection = large,
         .heldAtMost = 2 * http.sendTimeout},
        {.name = "drip-last",
         .sentence = "the same with an answer that is the connection's last",
         .connections = 200,
         .plan =
             [](uint64_t) {
                 Plan plan = unread(Reading::Drip);
                 plan.first += "GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                 return plan;
             },
         .bytesPerConnection = large,
         .heldAtMost = 2 * http.sendTimeout},
        {.name = "header-flood",
         .sentence = "sends headers without end",
         .connections = 100,
         .plan =
             [](uint64_t) {
                 return Plan{.first = "GET /hello HTTP/1.1\r\n", .more = always("X-More: yes, more\r\n")};
             },
         .bytesPerConnection = head,
         .heldAtMost = refusal,
         .answers = {431}},
        {.name = "line-flood",
         .sentence = "sends a target without end",
         .connections = 100,
         .plan = [](uint64_t) { return Plan{.first = "GET /", .more = always("aaaaaaaaaaaaaaaa")}; },
         .bytesPerConnection = head,
         .heldAtMost = refusal,
         .answers = {414}},
        {.name = "extension-flood",
         .sentence = "sends chunks of one byte with long extensions",
         .connections = 100,
         .plan =
             [](uint64_t) {
                 return Plan{.first = kChunked, .more = always("1;e=" + std::string(200, 'x') + "\r\nx\r\n")};
             },
         .bytesPerConnection = body,
         .heldAtMost = refusal,
         .answers = {400}},
        {.name = "one-byte-chunks",
         .sentence = "sends a body without end in chunks of one byte",
         .connections = 100,
         .plan = [](uint64_t) { return Plan{.first = kChunked, .more = always("1\r\nx\r\n")}; },
         .bytesPerConnection = body,
         .heldAtMost = refusal,
         .answers = {413}},
        {.name = "trailer-flood",
         .sentence = "sends trailers without end",
         .connections = 100,
         .plan =
             [](uint64_t) {
                 return Plan{.first = kChunked + "0\r\n", .more = always("X-More: yes, more\r\n")};
             },
         .bytesPerConnection = body,
         .heldAtMost = refusal,
         .answers = {431}},
        {.name = "pipelining-unread",
         .sentence = "sends requests without end, and reads no answer",
         .connections = 100,
         .plan = [](uint64_t) { return Plan{.more = always(kAsk), .reading = Reading::Nothing}; },
         .bytesPerConnection = answerBytes(usual, 4 << 10),
         .heldAtMost = http.sendTimeout},
        {.name = "pipelining-flood",
         .sentence = "sends requests without end, and reads the answers",
         .connections = 30,
         .plan = [](uint64_t) { return Plan{.more = always(kAsk)}; },
         .bytesPerConnection = answerBytes(usual, 4 << 10),
         .answers = {200}},
        {.name = "bytewise-head",
         .sentence = "sends a request's head byte by byte, fast enough",
         .connections = 300,
         .plan =
             [](uint64_t) { return Plan{.more = always(kAsk), .pieceBytes = 1, .pause = milliseconds(10)}; },
         .bytesPerConnection = head,
         .answers = {200},
         .leastTime = milliseconds(3000)},
        {.name = "bytewise-body",
         .sentence = "sends a body byte by byte, fast enough",
         .connections = 300,
         .plan =
             [](uint64_t) {
                 return Plan{.more = always(kPost + "Content-Length: 20\r\n\r\n" + std::string(20, 'x')),
                             .pieceBytes = 1,
                             .pause = milliseconds(10)};
             },
         .bytesPerConnection = body,
         .answers = {200},
         .leastTime = milliseconds(3000)},
        {.name = "garbage",
         .sentence = "sends random bytes",
         .connections = 100,
         .plan = garbage,
         .bytesPerConnection = head,
         .heldAtMost = refusal,
         .answers = {400}},
        {.name = "never-closes",
         .sentence = "sends what is refused, and stays when the server ends",
         .connections = 1000,
         .plan =
             [](uint64_t) {
                 return Plan{.first = "GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n", .neverCloses = true};
             },
         .bytesPerConnection = head,
         .heldAtMost = refusal,
         .answers = {400}},
    };
}

}  // namespace tnet
