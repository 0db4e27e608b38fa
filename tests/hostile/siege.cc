#include "tests/hostile/siege.h"

#include <algorithm>
#include <memory>
#include <thread>

#include "tests/hostile/memory_bounds.h"
#include "tests/hostile/syn_flood.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using Timer = std::chrono::steady_clock;

constexpr milliseconds kLook{50};
constexpr milliseconds kReturn{5000};  // for all to be as it was once the attackers have gone

// What the allocator loses between and within what is allocated.
constexpr double kAllocator = 1.25;

class Siege {
public:
    Siege(const Attack& attack, const ServerProcess& server, const SiegeSettings& settings)
        : m_attack(attack),
          m_server(server),
          m_settings(settings),
          m_good(server.plain(), GoodClient::Settings{}) {}

    SiegeOutcome run() {
        begin();
        const double cpuBefore = m_server.cpuSeconds();
        m_outcome.connections = std::max<size_t>(
            1, static_cast<size_t>(static_cast<double>(m_attack.connections) * m_settings.scale));
        if (!m_attack.hasRoomForOthers) m_good.setConnects(false);
        m_attack.isSynFlood ? floodWithSyns() : attack();
        if (!waitFor(kReturn, [this] { return m_server.sockets() <= m_socketsBefore; })) {
            fail(std::to_string(m_server.sockets()) + " sockets, and " + std::to_string(m_socketsBefore) +
                 " before the attack");
        }
        m_outcome.cpuSeconds = m_server.cpuSeconds() - cpuBefore;
        end();
        judge();
        return std::move(m_outcome);
    }

private:
    void fail(std::string what) { m_outcome.failures.push_back(std::move(what)); }

    template <class Condition>
    static bool waitFor(milliseconds most, Condition condition, milliseconds look = kLook) {
        const auto deadline = Timer::now() + most;
        while (!condition()) {
            if (Timer::now() > deadline) return false;
            std::this_thread::sleep_for(look);
        }
        return true;
    }

    bool waitForGood(size_t questions) {
        const size_t wanted = m_good.asked() + questions;
        return waitFor(2 * kReturn, [&] { return m_good.asked() >= wanted; });
    }

    void begin() {
        const size_t wanted = m_good.asked() + 50;
        const auto serves = [&] {
            m_socketsBefore = std::max(m_socketsBefore, m_server.sockets());
            return m_good.asked() >= wanted;
        };
        if (!waitFor(2 * kReturn, serves, milliseconds(5)))
            fail("the server does not serve, before the attack");
        askOnce(m_server.plain(), "/trim");
        m_outcome.bytesBefore = m_server.memoryBytes();
        m_server.resetPeak();
    }

    void attack() {
        Swarm swarm(m_attack, m_outcome.connections, m_server.plain(), m_server.secure());
        std::this_thread::sleep_for(std::max(m_settings.time, m_attack.leastTime));
        swarm.stopOpening();
        if (m_attack.heldAtMost > milliseconds::zero()) awaitRelease();
        swarm.stop();
        m_outcome.attackers = swarm.figures();
    }

    // The attackers go on as before, but for new connections: the server has to get rid of them.
    void awaitRelease() {
        const auto begin = Timer::now();
        const bool isReleased = waitFor(m_attack.heldAtMost + m_settings.lateness,
                                        [this] { return m_server.sockets() <= m_socketsBefore; });
        m_outcome.heldSeconds = std::chrono::duration<double>(Timer::now() - begin).count();
        if (isReleased) return;
        fail(std::to_string(m_server.sockets() - m_socketsBefore) + " connections are still held after " +
             std::to_string((m_attack.heldAtMost + m_settings.lateness).count()) + " ms");
    }

    void floodWithSyns() {
        SynFlood flood(m_server.plain());
        if (!flood.isPossible()) return fail("no raw sockets here");
        std::this_thread::sleep_for(m_settings.time);
        flood.stop();
        m_outcome.syns = flood.sent();
        if (m_outcome.syns == 0) fail("not a SYN was sent");
    }

    void end() {
        m_good.setConnects(true);
        if (!waitForGood(50)) fail("the server does not serve, after the attack");
        m_good.stop();
        m_outcome.good = m_good.figures();
        m_outcome.bytesPeak = std::max(m_server.peakMemoryBytes(), m_server.memoryBytes());
        askOnce(m_server.plain(), "/trim");
        m_outcome.bytesAfter = m_server.memoryBytes();
    }

    void judge() {
        const GoodClient::Figures& good = m_outcome.good;
        if (!m_server.isAlive()) fail("the server is dead");
        if (good.failed > 0)
            fail(std::to_string(good.failed) + " good requests failed: " + good.firstFailure);
        if (good.p99 > m_settings.boundMillis) fail("p99 " + std::to_string(good.p99) + " ms");
        judgeMemory();
        const Answers::Counts& answers = m_outcome.attackers.answers;
        for (const int expected : m_attack.answers) {
            if (answers.count(expected) == 0) fail("nobody was answered " + std::to_string(expected));
        }
        if (m_attack.isTurnedAway && m_outcome.attackers.turnedAway == 0) fail("nobody was turned away");
        if (!m_attack.isSynFlood && m_outcome.attackers.opened == 0) fail("nobody could connect");
    }

    void judgeMemory() {
        const size_t most = std::min(m_outcome.connections, m_attack.limits.maxConnections);
        const size_t kept = keptBytes(m_attack.limits);
        m_outcome.bytesKept = m_outcome.bytesBefore + kept;
        m_outcome.bytesMaximum =
            m_outcome.bytesBefore + kept + inboxBytes() +
            static_cast<size_t>(kAllocator * static_cast<double>(most * m_attack.bytesPerConnection));
        if (!m_settings.judgesMemory) return;
        if (m_outcome.bytesPeak > m_outcome.bytesMaximum) fail("memory above its maximum");
        if (m_outcome.bytesAfter > m_outcome.bytesKept) fail("memory is not given back");
    }

    const Attack& m_attack;
    const ServerProcess& m_server;
    const SiegeSettings& m_settings;
    GoodClient m_good;
    SiegeOutcome m_outcome{};
    size_t m_socketsBefore = 0;
};

}  // namespace

SiegeOutcome besiege(const Attack& attack, const ServerProcess& server, const SiegeSettings& settings) {
    return Siege(attack, server, settings).run();
}

}  // namespace tnet
