#include "tnet/conn_checker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_peer.h"
#include "tests/support/scripted_transport.h"
#include "tnet/connection.h"
#include "tnet/transport.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ConnCheckerTest : public LoopTest {
protected:
    std::unique_ptr<ConnChecker> makeChecker(const ConnChecker::Settings& settings) {
        auto checker = ConnChecker::create(loop(), settings);
        EXPECT_TRUE(checker.ok());
        return std::move(*checker);
    }

    // One that no socket stands behind: Connecting, never started.
    ConnectionPtr_t makeIdleOne() {
        return std::make_shared<Connection>(loop(), FileDescriptor(), plainTransport(),
                                            Connection::Origin::Accepted);
    }

    std::unique_ptr<ScriptedPeer> makeConnected(ConnChecker& checker) {
        auto peer = std::make_unique<ScriptedPeer>(loop());
        peer->start();
        checker.add(peer->connection());
        return peer;
    }
};

TEST_F(ConnCheckerTest, RefusesImpossibleSettings) {
    const auto codeFor = [&](auto change) {
        ConnChecker::Settings settings;
        change(settings);
        const auto checker = ConnChecker::create(loop(), settings);
        return checker.ok() ? std::error_code() : checker.error().code;
    };
    EXPECT_EQ(codeFor([](auto& s) { s.interval = milliseconds(0); }), std::errc::invalid_argument);
    EXPECT_EQ(codeFor([](auto& s) { s.interval = milliseconds(-1); }), std::errc::invalid_argument);
    EXPECT_EQ(codeFor([](auto& s) { s.batch = 0; }), std::errc::invalid_argument);
    EXPECT_EQ(codeFor([](auto& s) { s.connectTimeout = milliseconds(-1); }), std::errc::invalid_argument);
    EXPECT_EQ(codeFor([](auto& s) { s.idleTimeout = milliseconds(-1); }), std::errc::invalid_argument);
    EXPECT_FALSE(codeFor([](auto&) {}));
}

TEST_F(ConnCheckerTest, ShutsDownWhatIsIdle) {
    const auto checker = makeChecker({seconds(1), 10, seconds(5), seconds(10)});
    const auto idle = makeConnected(*checker);
    const auto busy = makeConnected(*checker);
    for (int i = 0; i < 10; ++i) {
        busy->feed("x").settle();
        advance(seconds(1));
    }
    EXPECT_TRUE(idle->connection()->isConnected()) << "not before its time";
    advance(seconds(1));
    EXPECT_TRUE(idle->isClosed());
    EXPECT_TRUE(busy->connection()->isConnected());
    EXPECT_EQ(checker->size(), 2U);
    advance(seconds(1));
    EXPECT_EQ(checker->size(), 1U) << "what is gone is forgotten";
}

TEST_F(ConnCheckerTest, ShutDownDeliversWhatAnIdleConnectionHasQueued) {
    const auto checker = makeChecker({seconds(1), 10, seconds(5), seconds(10)});
    const auto idle = makeConnected(*checker);
    idle->transport().blockWrites();
    idle->connection()->send("queued");
    advance(seconds(11));
    EXPECT_EQ(idle->connection()->state(), ConnState::Disconnecting);
    idle->transport().unblockWrites();
    EXPECT_EQ(idle->collect(), "queued");
    EXPECT_TRUE(idle->isClosed());
}

TEST_F(ConnCheckerTest, ClosesWhatConnectsTooSlowly) {
    const auto checker = makeChecker({seconds(1), 10, seconds(5), seconds(10)});
    ScriptedPeer slow(loop());
    slow.transport().onHandshake(ScriptedTransport::wantsRead());
    slow.start();
    checker->add(slow.connection());
    advance(seconds(5));
    EXPECT_EQ(slow.connection()->state(), ConnState::Connecting);
    advance(seconds(1));
    EXPECT_TRUE(slow.isClosed());
}

TEST_F(ConnCheckerTest, ZeroMeansNever) {
    const auto checker = makeChecker({seconds(1), 10, milliseconds(0), milliseconds(0)});
    const auto connected = makeConnected(*checker);
    const auto connecting = makeIdleOne();
    checker->add(connecting);
    for (int i = 0; i < 10; ++i) advance(std::chrono::hours(1));
    EXPECT_TRUE(connected->connection()->isConnected());
    EXPECT_EQ(connecting->state(), ConnState::Connecting);
}

// Compared in nanoseconds, max() was less than nothing: all were closed at the first step.
TEST_F(ConnCheckerTest, TheLongestTimeoutMeansNever) {
    auto checker = makeChecker({seconds(1), 10, milliseconds::max(), milliseconds::max()});
    const auto connected = makeConnected(*checker);
    const auto connecting = makeIdleOne();
    checker->add(connecting);
    for (int i = 0; i < 10; ++i) advance(std::chrono::hours(1));
    EXPECT_TRUE(connected->connection()->isConnected());
    EXPECT_EQ(connecting->state(), ConnState::Connecting);

    const auto never =
        makeChecker({milliseconds::max(), 1, std::chrono::hours(1000), std::chrono::hours(1000)});
    EXPECT_EQ(never->worstCaseLateness(), milliseconds::max());
    never->add(connected->connection());
    never->add(connecting);
    EXPECT_EQ(never->worstCaseLateness(), milliseconds::max());
    advance(std::chrono::hours(2000));
    EXPECT_TRUE(connected->connection()->isConnected()) << "no step is ever due";
}

TEST_F(ConnCheckerTest, DoesNotProlongALife) {
    const auto checker = makeChecker({seconds(1), 10, seconds(5), seconds(10)});
    ConnectionPtr_t connection = makeIdleOne();
    const WeakConnectionPtr_t weak = connection;
    checker->add(connection);
    connection.reset();
    EXPECT_TRUE(weak.expired());
    EXPECT_EQ(checker->size(), 1U);
    advance(seconds(1));
    EXPECT_EQ(checker->size(), 0U);
}

TEST_F(ConnCheckerTest, DoesNotWatchWhatIsClosedAlready) {
    const auto checker = makeChecker({seconds(1), 10, seconds(5), seconds(10)});
    const ConnectionPtr_t connection = makeIdleOne();
    connection->close();
    checker->add(connection);
    EXPECT_EQ(checker->size(), 0U);
}

TEST_F(ConnCheckerTest, ForEachVisitsTheLivingAndMayCloseThem) {
    const auto checker = makeChecker({seconds(1), 10, seconds(5), seconds(10)});
    std::vector<std::unique_ptr<ScriptedPeer>> peers;
    for (int i = 0; i < 5; ++i) peers.push_back(makeConnected(*checker));
    peers[3]->connection()->close();
    checker->add(makeIdleOne());  // gone at once
    int visits = 0;
    checker->forEach([&](const ConnectionPtr_t& connection) {
        ++visits;
        connection->close();
    });
    EXPECT_EQ(visits, 4);
    for (const auto& peer : peers) EXPECT_TRUE(peer->isClosed());
}

TEST_F(ConnCheckerTest, StopsWhenItIsDestroyed) {
    auto checker = makeChecker({seconds(1), 10, seconds(5), seconds(10)});
    const auto idle = makeConnected(*checker);
    checker.reset();
    advance(seconds(100));
    EXPECT_TRUE(idle->connection()->isConnected());
}

TEST_F(ConnCheckerTest, EachStepLooksAtOneBatch) {
    const auto checker = makeChecker({seconds(1), 4, seconds(5), seconds(10)});
    std::vector<ConnectionPtr_t> connections;
    for (int i = 0; i < 10; ++i) {
        connections.push_back(makeIdleOne());
        checker->add(connections.back());
    }
    clock().advance(seconds(100));  // all are overdue; the ticks that were missed are not made up for
    std::vector<long> closedAfterStep;
    for (int step = 0; step < 3; ++step) {
        runRounds();
        closedAfterStep.push_back(std::count_if(connections.begin(), connections.end(), [](const auto& c) {
            return c->state() == ConnState::Disconnected;
        }));
        clock().advance(seconds(1));
    }
    EXPECT_EQ(closedAfterStep, (std::vector<long>{4, 8, 10}));
}

// --- The contract about lateness ---

TEST_F(ConnCheckerTest, WorstCaseLatenessIsSizeOverBatchTimesInterval) {
    const auto checker = makeChecker({milliseconds(500), 4, seconds(5), seconds(10)});
    std::vector<ConnectionPtr_t> connections;
    const auto grownTo = [&](size_t size) {
        while (connections.size() < size) {
            connections.push_back(makeIdleOne());
            checker->add(connections.back());
        }
        return checker->worstCaseLateness();
    };
    EXPECT_EQ(grownTo(0), milliseconds(500));
    EXPECT_EQ(grownTo(1), milliseconds(500));
    EXPECT_EQ(grownTo(4), milliseconds(500));
    EXPECT_EQ(grownTo(5), milliseconds(1000));
    EXPECT_EQ(grownTo(8), milliseconds(1000));
    EXPECT_EQ(grownTo(9), milliseconds(1500));
    EXPECT_EQ(grownTo(41), milliseconds(5500));
}

// Connections fall idle at all kinds of moments; each is found after its timeout, and no later than
// the formula says. The formula is no exaggeration: somebody waits nearly that long.
TEST_F(ConnCheckerTest, NobodyIsFoundLaterThanTheFormulaSays) {
    constexpr seconds kTimeout{10};
    constexpr milliseconds kTick{100};
    double tightest = 0;
    for (const size_t size : {1, 2, 5, 8, 21}) {
        for (const size_t batch : {1, 2, 3, 8, 64}) {
            SCOPED_TRACE(std::to_string(size) + " connections, batch " + std::to_string(batch));
            std::mt19937 random(static_cast<unsigned>(size * 100 + batch));
            const auto checker = makeChecker({seconds(1), batch, kTimeout, kTimeout});
            std::vector<std::unique_ptr<ScriptedPeer>> peers;
            for (size_t i = 0; i < size; ++i) peers.push_back(makeConnected(*checker));
            const milliseconds worst = checker->worstCaseLateness();
            std::vector<TimePoint> lastWords(size);
            std::vector<bool> found(size, false);
            Duration latest{};
            // They all talk for a while, and each falls silent at its own time.
            for (int tick = 0;
                 tick < 1000 && std::count(found.begin(), found.end(), true) < static_cast<long>(size);
                 ++tick) {
                for (size_t i = 0; i < size; ++i) {
                    if (found[i] || tick > static_cast<int>(i * 7 % 40 + random() % 3)) continue;
                    peers[i]->feed("x").settle();
                    lastWords[i] = clock().now();
                }
                advance(kTick);
                for (size_t i = 0; i < size; ++i) {
                    if (found[i] || !peers[i]->isClosed()) continue;
                    found[i] = true;
                    const Duration lateness = clock().now() - lastWords[i] - kTimeout;
                    EXPECT_GT(lateness, Duration::zero());
                    EXPECT_LE(lateness, worst);
                    latest = std::max(latest, lateness);
                }
            }
            EXPECT_EQ(std::count(found.begin(), found.end(), true), static_cast<long>(size));
            tightest = std::max(tightest, std::chrono::duration<double>(latest) / worst);
        }
    }
    EXPECT_GT(tightest, 0.8) << "the formula exaggerates";
}

// The checker took the last one into the place of one it forgot: behind where the next step begins, so
// that it was passed over, or in front of those that waited longer. Somebody was found half as late again
// as promised, without anybody coming or going but for the ones it closed itself.
TEST_F(ConnCheckerTest, NobodyIsFoundLateBecauseOthersComeAndGo) {
    constexpr seconds kTimeout{3};
    for (unsigned seed = 0; seed < 200; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        const auto checker = makeChecker({seconds(1), 1 + random() % 3, kTimeout, kTimeout});
        struct Watched {
            ConnectionPtr_t connection;
            TimePoint deadline;
            Duration allowed{};  // the formula's maximum while it was overdue
        };
        std::vector<Watched> patient;
        std::vector<ConnectionPtr_t> fleeting;
        for (int tick = 0; tick < 60; ++tick) {
            for (auto i = random() % 5; i > 0; --i) {
                fleeting.push_back(makeIdleOne());
                checker->add(fleeting.back());
            }
            if (tick < 30 && random() % 3 == 0) {
                patient.push_back({makeIdleOne(), clock().now() + kTimeout, {}});
                checker->add(patient.back().connection);
            }
            std::shuffle(fleeting.begin(), fleeting.end(), random);
            fleeting.resize(fleeting.size() - random() % (fleeting.size() + 1));
            for (Watched& each : patient) {
                each.allowed = std::max<Duration>(each.allowed, checker->worstCaseLateness());
            }
            advance(milliseconds(500));
            std::erase_if(patient, [&](const Watched& each) {
                const Duration lateness = clock().now() - each.deadline;
                EXPECT_LE(lateness, each.allowed);
                return each.connection->state() == ConnState::Disconnected || lateness > each.allowed;
            });
        }
    }
}

// --- Many references ---

TEST_F(ConnCheckerTest, AHundredThousandOfWhichMostAreGone) {
    constexpr size_t kAll = 100'000;
    constexpr size_t kLiving = 100;
    const auto checker = makeChecker({seconds(1), 1000, std::chrono::hours(10), std::chrono::hours(10)});
    std::vector<ConnectionPtr_t> connections;
    for (size_t i = 0; i < kAll; ++i) {
        connections.push_back(makeIdleOne());
        checker->add(connections.back());
    }
    EXPECT_EQ(checker->size(), kAll);
    EXPECT_EQ(checker->worstCaseLateness(), seconds(100));

    std::vector<ConnectionPtr_t> living;
    for (size_t i = 0; i < kAll; i += kAll / kLiving) living.push_back(connections[i]);
    connections.clear();
    for (int step = 0; step < 100; ++step) advance(seconds(1));  // one pass
    EXPECT_LE(checker->size(), kLiving + 1000) << "the gone ones are not forgotten";
    advance(seconds(1));
    EXPECT_EQ(checker->size(), kLiving);

    size_t visited = 0;
    checker->forEach([&](const ConnectionPtr_t&) { ++visited; });
    EXPECT_EQ(visited, kLiving) << "living ones were forgotten";
    advance(std::chrono::hours(10));
    for (int step = 0; step < 100; ++step) advance(seconds(1));
    for (const auto& connection : living) EXPECT_EQ(connection->state(), ConnState::Disconnected);
}

// Between two steps a million short connections may come and go.
TEST_F(ConnCheckerTest, TheListStaysWithinTwiceTheLivingUnderChurn) {
    constexpr size_t kLiving = 1000;
    const auto checker = makeChecker({seconds(1), 1000, seconds(10), seconds(10)});
    std::vector<ConnectionPtr_t> living;
    for (size_t i = 0; i < kLiving; ++i) {
        living.push_back(makeIdleOne());
        checker->add(living.back());
    }
    size_t largest = 0;
    for (int i = 0; i < 100'000; ++i) {
        checker->add(makeIdleOne());
        largest = std::max(largest, checker->size());
    }
    EXPECT_LE(largest, 2 * kLiving + 2);
    size_t visited = 0;
    checker->forEach([&](const ConnectionPtr_t&) { ++visited; });
    EXPECT_EQ(visited, kLiving);
}

}  // namespace
}  // namespace tnet
