#include "tests/soak/http_life.h"

#include <array>
#include <cstdio>
#include <string>

#include "tests/soak/pattern.h"

namespace tnet {
namespace {

using namespace std::chrono_literals;

enum : size_t {
    kLeave,
    kReset,
    kLeaveInHead,
    kResetInHead,
    kResetInBody,
    kResetUnread,
    kAskForLast,
    kBadRequest,
    kStallInHead,
    kStallInBody,
    kSilent,
    kNeverRead,
};

constexpr std::array kDeaths{
    Death{"http leaves", 200},
    Death{"http resets", 150},
    Death{"http leaves in a head", 100},
    Death{"http resets in a head", 100},
    Death{"http resets in a body", 100},
    Death{"http resets before the answer is read", 100},
    Death{"http asks for Connection: close", 100},
    Death{"http sends a bad request", 100},
    Death{"http stalls in a head", 30},
    Death{"http stalls in a body", 30},
    Death{"http falls silent", 100},
    Death{"http does not read", 3},  // each holds some MiB of the kernel's memory
};

constexpr uint64_t kSeeds = 1 << 16;
constexpr uint64_t kMostDownloaded = 20'000;
constexpr uint64_t kMostEchoed = 8'000;

std::string inChunks(std::string_view body, size_t chunk) {
    std::string chunks;
    for (; !body.empty(); body.remove_prefix(std::min(chunk, body.size()))) {
        const std::string_view piece = body.substr(0, chunk);
        std::array<char, 24> line{};
        std::snprintf(line.data(), line.size(), "%zx\r\n", piece.size());
        (chunks += line.data()).append(piece) += "\r\n";
    }
    return chunks + "0\r\n\r\n";
}

}  // namespace

HttpLife::HttpLife(Soak& soak) : Life(soak) { draw(kDeaths.data(), kDeaths.size()); }

void HttpLife::use() {
    switch (random(6)) {
        case 0: echo(); break;
        case 1: echoInChunks(); break;
        case 2:
            for (int i = 0; i < 3; ++i) download();
            break;
        default: download(); break;
    }
    awaitAnswer();
}

void HttpLife::download(std::string_view fields) {
    const uint64_t seed = random(kSeeds);
    const uint64_t bytes = random(kMostDownloaded);
    m_answers.expect(200, pattern(seed, bytes));
    send("GET /pattern/" + std::to_string(seed) + "/" + std::to_string(bytes) +
         " HTTP/1.1\r\nHost: soak\r\n" + std::string(fields) + "\r\n");
}

void HttpLife::echo() {
    const std::string_view body = pattern(random(kSeeds), random(kMostEchoed));
    m_answers.expect(200, body);
    send("POST /echo HTTP/1.1\r\nHost: soak\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body));
}

void HttpLife::echoInChunks() {
    const std::string_view body = pattern(random(kSeeds), random(kMostEchoed));
    m_answers.expect(200, body);
    send("POST /echo HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n" +
         inChunks(body, 1 + random(3000)));
}

void HttpLife::die(size_t death) {
    m_isDying = true;
    const SoakTimes& times = soak().times;
    switch (death) {
        case kLeave: return leave();
        case kReset: return reset();
        case kLeaveInHead: send("GET / HTTP/1.1\r\nHost: so"); return leave();
        case kResetInHead: send("GET / HTTP/1.1\r\nHost: soak\r\nUser-"); return reset();
        case kResetInBody:
            send("POST /echo HTTP/1.1\r\nHost: soak\r\nContent-Length: 30000\r\n\r\n" +
                 std::string(pattern(0, 10'000)));
            return reset();
        case kResetUnread: send("GET /pattern/1/500000 HTTP/1.1\r\nHost: soak\r\n\r\n"); return reset();
        case kAskForLast: download("Connection: close\r\n"); return expectEnd(0ms, kPatience);
        case kBadRequest:
            m_answers.expect(400);
            send("GET / HTTP/1.1\r\n\r\n");
            return expectEnd(0ms, kPatience);
        case kStallInHead:
            m_answers.expect(408);
            send("GET / HTTP/1.1\r\nHost: soak\r\n");
            return expectEnd(times.headerTimeout, kTolerance);
        case kStallInBody:
            m_answers.expect(408);
            send("POST /echo HTTP/1.1\r\nHost: soak\r\nContent-Length: 100\r\n\r\n");
            return expectEnd(times.bodyGrace, kTolerance);
        case kSilent: return expectEnd(lastSent(), times.httpIdle, kTolerance);
        case kNeverRead: return stopReading();
        default: return wrong("no such death");
    }
}

// More than the kernel takes, twice. The server resets who takes nothing, or next to nothing. For a while the kernel still
// squeezes a little in, each time that it probes the window; the time counts from the last of these.
void HttpLife::stopReading() {
    m_isDeaf = true;
    connection().pauseReading();
    for (int i = 0; i < 2; ++i) send("GET /unread HTTP/1.1\r\nHost: soak\r\n\r\n");
    expectEnd(soak().times.sendTimeout, 2 * soak().times.sendTimeout + kTolerance);
}

void HttpLife::take(std::string_view bytes) {
    if (m_isDeaf) return;
    if (!m_answers.take(bytes)) return wrong(m_answers.error());
    if (m_answers.isComplete() && !m_isDying) pauseThenGoOn();
}

}  // namespace tnet
