#include "tnet/signaler.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <vector>

#include "tests/support/loop_fixture.h"

namespace tnet {
namespace {

// Signals of this test stay blocked in its thread, as Signaler says; each test drains its own.
class SignalerTest : public LoopTest {
protected:
    std::unique_ptr<Signaler> watch(std::initializer_list<int> signals) {
        auto signaler = Signaler::create(loop(), signals, [this](int signal) { received.push_back(signal); });
        EXPECT_TRUE(signaler.ok()) << (signaler.ok() ? "" : signaler.error().message);
        return signaler.ok() ? std::move(*signaler) : nullptr;
    }

    std::vector<int> received;
};

TEST_F(SignalerTest, CallsBackOnTheLoop) {
    const auto signaler = watch({SIGUSR1, SIGUSR2});
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    EXPECT_TRUE(received.empty());
    ASSERT_TRUE(runUntil([&] { return received.size() == 1; }));
    ASSERT_EQ(::kill(::getpid(), SIGUSR2), 0);
    ASSERT_TRUE(runUntil([&] { return received.size() == 2; }));
    EXPECT_EQ(received, (std::vector{SIGUSR1, SIGUSR2}));
    runRounds();
    EXPECT_EQ(received.size(), 2U);
}

TEST_F(SignalerTest, SeveralPendingSignalsAllArrive) {
    const auto signaler = watch({SIGUSR1, SIGUSR2, SIGTERM});
    for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) ASSERT_EQ(::kill(::getpid(), signal), 0);
    ASSERT_TRUE(runUntil([&] { return received.size() == 3; }));
}

TEST_F(SignalerTest, ASignalEndsTheLoopFromItsCallback) {
    auto signaler = Signaler::create(loop(), {SIGUSR1}, [this](int) { loop()->stop(); });
    ASSERT_TRUE(signaler.ok());
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    loop()->start();  // returns
}

TEST_F(SignalerTest, MayBeDestroyedInItsOwnCallback) {
    std::unique_ptr<Signaler> signaler;
    const std::vector<int> captured{1, 2, 3};
    int calls = 0;
    auto created = Signaler::create(loop(), {SIGUSR1, SIGUSR2}, [&signaler, &calls, captured](int) {
        signaler.reset();
        EXPECT_EQ(captured, (std::vector{1, 2, 3})) << "the callback was destroyed while it ran";
        ++calls;
    });
    ASSERT_TRUE(created.ok());
    signaler = std::move(*created);
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    ASSERT_EQ(::kill(::getpid(), SIGUSR2), 0);
    ASSERT_TRUE(runUntil([&] { return calls == 1; }));
    runRounds();
    EXPECT_EQ(calls, 1);
    // The other one is still pending and blocked: taken here, or it would meet the next test.
    const auto next = watch({SIGUSR2});
    ASSERT_TRUE(runUntil([&] { return received.size() == 1; }));
}

TEST_F(SignalerTest, SignalsStayBlockedWhenItIsGone) {
    watch({SIGUSR1}).reset();
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);  // would end the process
    runRounds();
    EXPECT_TRUE(received.empty());
    const auto next = watch({SIGUSR1});
    ASSERT_TRUE(runUntil([&] { return received.size() == 1; }));
}

TEST_F(SignalerTest, AnImpossibleSignalIsAnErrorThatNamesIt) {
    const auto signaler = Signaler::create(loop(), {4711}, [](int) {});
    ASSERT_FALSE(signaler.ok());
    EXPECT_EQ(signaler.error().code, std::errc::invalid_argument);
    EXPECT_NE(signaler.error().message.find("4711"), std::string::npos);
}

}  // namespace
}  // namespace tnet
