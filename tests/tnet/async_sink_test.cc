#include "tnet/async_sink.h"

#include <gtest/gtest.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tnet/log.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;

// A sink that takes nothing while it is shut.
class Gate final : public spdlog::sinks::base_sink<std::mutex> {
public:
    void shut() {
        const std::lock_guard lock(m_gate);
        m_isOpen = false;
    }
    void open() {
        const std::lock_guard lock(m_gate);
        m_isOpen = true;
        m_opened.notify_all();
    }
    std::vector<std::string> lines() {
        const std::lock_guard lock(m_gate);
        return m_lines;
    }
    std::atomic<int> flushes{0};

private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        std::unique_lock lock(m_gate);
        m_opened.wait(lock, [this] { return m_isOpen; });
        m_lines.emplace_back(message.payload.data(), message.payload.size());
    }
    void flush_() override { ++flushes; }

    std::mutex m_gate;
    std::condition_variable m_opened;
    bool m_isOpen = true;
    std::vector<std::string> m_lines;
};

class AsyncSinkTest : public testing::Test {
protected:
    ~AsyncSinkTest() override { gate->open(); }

    std::shared_ptr<Gate> gate = std::make_shared<Gate>();
    std::shared_ptr<AsyncSink> sink = std::make_shared<AsyncSink>(gate, 64 << 10);
    spdlog::logger log{"test", sink};
};

TEST_F(AsyncSinkTest, WritesAllInOrder) {
    std::vector<std::string> expected;
    for (int i = 0; i < 100; ++i) {
        log.info("line {}", i);
        expected.push_back("line " + std::to_string(i));
    }
    ASSERT_TRUE(sink->waitUntilWritten(milliseconds(20000)));
    EXPECT_EQ(gate->lines(), expected);
    EXPECT_EQ(sink->dropped(), 0U);
    EXPECT_EQ(sink->waitingBytes(), 0U);
}

// Standard output was a pipe that nobody read: after 64 KiB of access log every loop stood still.
TEST_F(AsyncSinkTest, ASinkThatTakesNothingCostsLinesWhichAreCountedAndSaidOnce) {
    gate->shut();
    constexpr int kLines = 10'000;
    for (int i = 0; i < kLines; ++i) log.info("line {}", i);  // returns
    EXPECT_LE(sink->waitingBytes(), size_t{64} << 10);
    const uint64_t dropped = sink->dropped();
    EXPECT_GT(dropped, 0U);
    EXPECT_FALSE(sink->waitUntilWritten(milliseconds(1)));
    gate->open();
    ASSERT_TRUE(sink->waitUntilWritten(milliseconds(20000)));
    while (gate->lines().size() <= kLines - dropped) sink->waitUntilWritten(milliseconds(1));
    const std::vector<std::string> lines = gate->lines();
    ASSERT_EQ(lines.size(), kLines - dropped + 1);
    EXPECT_EQ(lines.back(), std::to_string(dropped) + " lines were dropped: more was logged than is taken");
    log.info("the next");
    ASSERT_TRUE(sink->waitUntilWritten(milliseconds(20000)));
    EXPECT_EQ(gate->lines().back(), "the next");
    EXPECT_EQ(gate->lines().size(), lines.size() + 1);
}

TEST_F(AsyncSinkTest, ACriticalLineIsWrittenWhenTheCallReturns) {
    log.critical("the end");
    EXPECT_EQ(gate->lines(), std::vector<std::string>{"the end"});
}

TEST_F(AsyncSinkTest, FlushFlushesTheTargetAndDoesNotWait) {
    log.info("line");
    log.flush();
    while (gate->flushes == 0) sink->waitUntilWritten(milliseconds(1));
    gate->shut();
    log.info("line");
    log.flush();  // returns
}

TEST_F(AsyncSinkTest, AThreadOnlyOnceSomethingIsLogged) {
    const auto threads = [] {
        int count = 0;
        std::ifstream status("/proc/self/status");
        for (std::string word; status >> word;) {
            if (word == "Threads:") status >> count;
        }
        return count;
    };
    const int before = threads();
    const auto unused = std::make_shared<AsyncSink>(gate);
    spdlog::logger quiet("quiet", unused);
    quiet.set_level(spdlog::level::off);
    quiet.info("nothing");
    EXPECT_EQ(threads(), before);
}

// In a child, so that exit() and fork() are real: stderr is a pipe.
struct Outcome {
    int status;
    std::string output;
};

template <class Child>
Outcome runChild(Child child, bool readPipe = true) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        child();
        std::exit(7);
    }
    ::close(ends[1]);
    Outcome outcome{};
    char buffer[4096];
    for (ssize_t n = 0; readPipe && (n = ::read(ends[0], buffer, sizeof(buffer))) > 0;)
        outcome.output.append(buffer, static_cast<size_t>(n));
    EXPECT_EQ(::waitpid(pid, &outcome.status, 0), pid);
    ::close(ends[0]);
    return outcome;
}

class LogExitTest : public testing::Test {
protected:
    void SetUp() override {
#if defined(__SANITIZE_THREAD__)
        GTEST_SKIP() << "ThreadSanitizer forbids threads after fork()";
#endif
    }
};

TEST_F(LogExitTest, NothingIsLostAtANormalExit) {
    const Outcome outcome = runChild([] {
        for (int i = 0; i < 1000; ++i) logger().info("line {}", i);
    });
    EXPECT_EQ(WEXITSTATUS(outcome.status), 7);
    for (int i = 0; i < 1000; ++i)
        EXPECT_NE(outcome.output.find("line " + std::to_string(i) + "\n"), std::string::npos);
}

TEST_F(LogExitTest, AFatalLineIsWrittenBeforeTheProcessAborts) {
    const Outcome outcome = runChild([] {
        logger().critical("the reason");
        std::_Exit(7);
    });
    EXPECT_NE(outcome.output.find("the reason"), std::string::npos);
}

TEST_F(LogExitTest, APipeThatNobodyReadsDoesNotKeepTheProcessFromEnding) {
    const Outcome outcome = runChild(
        [] {
            for (int i = 0; i < 20'000; ++i) logger().info("a line that is long enough to fill a pipe {}", i);
        },
        false);
    EXPECT_EQ(WEXITSTATUS(outcome.status), 7);
}

// The parent's thread is waiting for work when the process is copied, and does not come along.
TEST_F(LogExitTest, AChildOfForkLogsWithAThreadOfItsOwn) {
    const Outcome outcome = runChild([] {
        for (int i = 0; i < 20; ++i) {
            logger().info("from the parent");
            writeLog();
        }
        const pid_t child = ::fork();
        if (child == 0) {
            bool isWritten = true;
            for (int i = 0; i < 200; ++i) {
                logger().info("from the child");
                isWritten = writeLog() && isWritten;
            }
            if (isWritten) logger().info("all of the child's");
            std::exit(0);
        }
        ::waitpid(child, nullptr, 0);
        logger().info("from the parent again");
    });
    for (const char* const line :
         {"from the parent\n", "from the child\n", "all of the child's\n", "from the parent again\n"})
        EXPECT_NE(outcome.output.find(line), std::string::npos) << line;
}

}  // namespace
}  // namespace tnet
