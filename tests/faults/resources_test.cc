// What a process runs out of in the real world: ports, room on the disk; and a clock that jumps.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "http/server.h"
#include "tests/faults/ask.h"
#include "tests/support/loop_fixture.h"
#include "tnet/connector.h"
#include "tnet/log.h"
#include "tnet/socket.h"

namespace tnet {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// --- Ports ---

bool writeTo(const char* path, const std::string& text) {
    const FileDescriptor file(::open(path, O_WRONLY | O_CLOEXEC));
    return file.valid() && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// A network of this thread's own, of which four ports may be used. False: not permitted here.
bool enterNetworkOfFewPorts() {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
    const auto socket = openSocket(AF_INET);
    if (!socket) return false;
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    if (::ioctl(socket->get(), SIOCSIFFLAGS, &request) != 0) return false;
    return writeTo("/proc/thread-self/net/../../../sys/net/ipv4/ip_local_port_range", "40000 40003") ||
           writeTo("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003");
}

TEST(OutOfPortsTest, AConnectWithoutAPortIsOneErrorAndOneClose) {
    bool isPermitted = true;
    std::thread([&isPermitted] {
        isPermitted = enterNetworkOfFewPorts();
        if (!isPermitted) return;
        const auto listener = listenOn(*Address::parse("127.0.0.1:50000"));
        ASSERT_TRUE(listener.ok()) << listener.error().message;
        const auto loop = IOLoop::create();
        ASSERT_TRUE(loop.ok());
        Connector connector(loop->get());
        std::vector<std::unique_ptr<EventLog>> logs;
        std::vector<ConnectionPtr_t> connections;
        const auto connect = [&] {
            logs.push_back(std::make_unique<EventLog>());
            connections.push_back(
                connector.connect(*Address::parse("127.0.0.1:50000"), logs.back()->callback()));
        };
        for (int i = 0; i < 10; ++i) connect();
        const auto count = [&](ConnEvent event) {
            size_t sum = 0;
            for (const auto& log : logs) sum += log->count(event);
            return sum;
        };
        ASSERT_TRUE(runLoopUntil(
            loop->get(), [&] { return count(Conn_ConnectEvent) + count(Conn_CloseEvent) == logs.size(); }));
        EXPECT_EQ(count(Conn_ConnectEvent), 4U);
        EXPECT_EQ(count(Conn_ErrorEvent), 6U);
        EXPECT_EQ(count(Conn_CloseEvent), 6U);
        for (const auto& log : logs) {
            if (log->has(Conn_ErrorEvent)) {
                EXPECT_EQ(log->error, std::errc::address_not_available);
            }
        }
        // With a port free again a connect succeeds.
        connections.front()->abort();
        connect();
        EXPECT_TRUE(runLoopUntil(loop->get(), [&] { return logs.back()->has(Conn_ConnectEvent); }));
    }).join();
    if (!isPermitted) GTEST_SKIP() << "a network namespace is not permitted here";
}

// --- The disk ---

HttpServer::Settings quick() {
    HttpServer::Settings settings;
    settings.limits.drainTime = milliseconds(0);
    return settings;
}

// What an access log loses its requests do not notice.
TEST(FullDiskTest, AnAccessLogOnAFullDiskCostsNoRequest) {
    const auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>("/dev/full");
    spdlog::logger access("access", sink);
    std::atomic<int> errors{0};
    access.set_error_handler([&errors](const std::string&) { ++errors; });
    access.flush_on(spdlog::level::info);
    HttpServer server(quick());
    server.router().get("/hi",
                        [](const HttpRequest&) { return HttpResponse(200).setBody(std::string("hi")); });
    server.setAccessLog([&access](const HttpAccess& each) { access.info("{}", each.status); });
    const auto bound = server.listen(Address::loopback(0));
    ASSERT_TRUE(server.start(1).ok());
    BlockingClient client = BlockingClient::connectTo(*bound);
    for (int i = 0; i < 50; ++i) {
        client.send(get("/hi"));
        ASSERT_EQ(statusOf(answerOf(client, 2)), "HTTP/1.1 200");
    }
    server.stop();
    EXPECT_GT(errors.load(), 0) << "the disk was not full";
}

// It must not throw, and one that does all the same ended the process.
TEST(FullDiskTest, AnAccessLogThatThrowsIsSaidOnceAndCostsNoRequest) {
    std::atomic<int> said{0};
    class Counting final : public spdlog::sinks::sink {
    public:
        explicit Counting(std::atomic<int>& count) : m_count(count) {}
        void log(const spdlog::details::log_msg& message) override {
            const std::string_view text(message.payload.data(), message.payload.size());
            if (text.find("access log threw no space") != std::string_view::npos) ++m_count;
        }
        void flush() override {}
        void set_pattern(const std::string&) override {}
        void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

    private:
        std::atomic<int>& m_count;
    };
    setLogger(std::make_shared<spdlog::logger>("test", std::make_shared<Counting>(said)));
    {
        HttpServer server(quick());
        server.router().get("/hi",
                            [](const HttpRequest&) { return HttpResponse(200).setBody(std::string("hi")); });
        server.setAccessLog([](const HttpAccess&) { throw std::runtime_error("no space"); });
        const auto bound = server.listen(Address::loopback(0));
        ASSERT_TRUE(server.start(1).ok());
        BlockingClient client = BlockingClient::connectTo(*bound);
        for (int i = 0; i < 10; ++i) {
            client.send(get("/hi"));
            ASSERT_EQ(statusOf(answerOf(client, 2)), "HTTP/1.1 200");
        }
    }
    EXPECT_EQ(said.load(), 1);
    setLogger(nullptr);
    // The logger is kept by the library; what it counts into is not.
}

// --- The clock ---

class ClockJumpTest : public LoopTest {
protected:
    ClockJumpTest() {
        HttpServer::Settings settings = quick();
        settings.tcp.clock = &clock();
        m_server = std::make_unique<HttpServer>(settings);
        m_server->router().get(
            "/hi", [](const HttpRequest&) { return HttpResponse(200).setBody(std::string("hi")); });
        const auto bound = m_server->listen(Address::loopback(0));
        EXPECT_TRUE(m_server->attach(loop()).ok());
        m_address = *bound;
    }

    std::string ask(BlockingClient& client) {
        client.send(get("/hi"));
        std::string answer;
        EXPECT_TRUE(runUntil([&] {
            char buffer[1024];
            const ssize_t n = ::recv(client.fd(), buffer, sizeof(buffer), MSG_DONTWAIT);
            if (n > 0) answer.append(buffer, static_cast<size_t>(n));
            return answer.find("\r\n\r\nhi") != std::string::npos;
        }));
        return answer;
    }

    static std::string dateOf(const std::string& answer) {
        const size_t at = answer.find("Date: ");
        return at == std::string::npos ? "" : answer.substr(at + 6, 29);
    }

    std::unique_ptr<HttpServer> m_server;
    Address m_address;
};

TEST_F(ClockJumpTest, TheDateFollowsTheTimeOfDayWithinASecondEitherWay) {
    BlockingClient client = BlockingClient::connectTo(m_address);
    const auto from = std::chrono::system_clock::time_point(seconds(1'600'000'000));
    EXPECT_EQ(dateOf(ask(client)), "Sun, 13 Sep 2020 12:26:40 GMT");
    clock().setWall(from - hours(24 * 365));
    advance(seconds(1));
    EXPECT_EQ(dateOf(ask(client)), "Sat, 14 Sep 2019 12:26:41 GMT");
    clock().setWall(from + hours(24 * 365 * 10));
    advance(seconds(1));
    EXPECT_EQ(dateOf(ask(client)), "Wed, 11 Sep 2030 12:26:41 GMT");
}

// A machine that slept: everything is due at once. Who is idle is closed, who comes is served, and a repeating timer
// does not make up for what it missed.
TEST_F(ClockJumpTest, AfterALongSleepEverythingIsDueOnceAndTheServerServes) {
    BlockingClient idle = BlockingClient::connectTo(m_address);
    ask(idle);
    int ticks = 0;
    int late = 0;
    for (int i = 0; i < 500; ++i) {
        loop()->runEvery(milliseconds(10), [&ticks] { ++ticks; });
        loop()->runAfter(hours(i), [&late] { ++late; });
    }
    clock().advance(hours(24 * 365));
    const auto begin = std::chrono::steady_clock::now();
    runRounds();
    EXPECT_EQ(ticks, 500);
    EXPECT_EQ(late, 500);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
    BlockingClient fresh = BlockingClient::connectTo(m_address);
    EXPECT_NE(ask(fresh), "");
    EXPECT_EQ(ticks, 500) << "the clock stands still again";
    // The idle one was told the end, and has a moment to say its own.
    advance(seconds(1));
    EXPECT_TRUE(runUntil([&] { return m_server->connections() == 1; })) << "the idle one is overdue";
}

}  // namespace
}  // namespace tnet
