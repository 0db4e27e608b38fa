#include "tests/soak/tcp_life.h"

#include <array>

#include "tests/soak/pattern.h"

namespace tnet {
namespace {

enum : size_t { kLeave, kReset, kResetUnread, kSilent };

constexpr std::array kDeaths{
    Death{"tcp leaves", 20},
    Death{"tcp resets", 20},
    Death{"tcp resets before the echo is read", 10},
    Death{"tcp falls silent", 20},
};

}  // namespace

TcpLife::TcpLife(Soak& soak) : Life(soak) { draw(kDeaths.data(), kDeaths.size()); }

void TcpLife::use() {
    m_owed = pattern(random(1 << 16), 1 + random(8'000));
    send(m_owed);
    awaitAnswer();
}

void TcpLife::die(size_t death) {
    switch (death) {
        case kLeave: return leave();
        case kReset: return reset();
        case kResetUnread: send(pattern(0, 8'000)); return reset();
        case kSilent: {
            // ConnChecker::worstCaseLateness(), of a loop that has all of them.
            const SoakTimes& times = soak().times;
            const uint64_t batches = soak().connections / times.checkerBatch + 1;
            return expectEnd(lastSent(), times.tcpIdle, times.checkerInterval * batches + kTolerance);
        }
        default: return wrong("no such death");
    }
}

void TcpLife::take(std::string_view bytes) {
    if (!m_owed.starts_with(bytes)) return wrong("another echo than it sent");
    m_owed.remove_prefix(bytes.size());
    if (m_owed.empty()) pauseThenGoOn();
}

}  // namespace tnet
