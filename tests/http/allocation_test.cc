// What a request costs in heap allocations: none, once everything has its capacity.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "http/server.h"
#include "tests/http/allocation_counter.h"
#include "tests/http/http_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/manual_clock.h"

namespace tnet {
namespace {

// What a browser sends.
constexpr std::string_view kBrowserFields =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef\r\nCache-Control: max-age=0\r\n";

class HttpAllocationTest : public ::testing::Test {
protected:
    HttpAllocationTest() {
        auto made = IOLoop::create(clock);
        EXPECT_TRUE(made);
        loop = std::move(*made);
        HttpRouter& router = server.router();
        router.get("/text", [](const HttpRequest&) {
            return HttpResponse(200).header("Content-Type", "text/plain").setBody("Hello, World!");
        });
        router.get("/users/:id/posts/:post", [](const HttpRequest& request) {
            return HttpResponse(request.param("id") == "7 8" ? 200 : 404);
        });
        router.get("/moved", [](const HttpRequest&) {
            return HttpResponse(304).header("ETag", "\"0123456789abcdef\"");
        });
        server.setAccessLog([this](const HttpAccess& access) { bytes += access.bodyBytes; });
        const auto bound = server.listen(Address::loopback(0));
        EXPECT_TRUE(server.attach(loop.get()));
        peer = BlockingClient::connectTo(*bound);
        const int noDelay = 1;
        ::setsockopt(peer.fd(), IPPROTO_TCP, TCP_NODELAY, &noDelay, sizeof(noDelay));
        EXPECT_TRUE(runLoopUntil(loop.get(), [this] { return server.connections() == 1; }));
    }

    ~HttpAllocationTest() override { server.stop(); }

    // Sends `request` and runs the loop until as many bytes have come back as the first time.
    void roundTrip(std::string_view request) {
        ASSERT_EQ(::send(peer.fd(), request.data(), request.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(request.size()));
        size_t received = 0;
        while (received < answerBytes || answerBytes == 0) {
            loop->runOnce(std::chrono::milliseconds(10));
            const ssize_t n = ::recv(peer.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (n > 0) received += static_cast<size_t>(n);
            if (answerBytes == 0 && n > 0) break;
        }
        if (answerBytes == 0) answerBytes = received;
    }

    // Allocations of `rounds` round trips after a warm-up.
    size_t allocations(std::string_view request, int rounds) {
        for (int i = 0; i < 20; ++i) roundTrip(request);
        const AllocationCounter counter;
        for (int i = 0; i < rounds; ++i) roundTrip(request);
        return counter.count();
    }

    ManualClock clock{};  // stands: what is done once a second is not counted, however long the test takes
    std::unique_ptr<IOLoop> loop{};
    HttpServer server{};
    BlockingClient peer{};
    std::array<char, 65536> buffer{};
    size_t answerBytes = 0;
    uint64_t bytes = 0;
};

TEST_F(HttpAllocationTest, AKeepAliveGetAllocatesNothing) {
    EXPECT_EQ(allocations(getRequest("/text"), 1000), 0U);
    EXPECT_EQ(bytes, 1020U * 13);
}

TEST_F(HttpAllocationTest, ABrowsersGetAllocatesNothing) {
    EXPECT_EQ(allocations(getRequest("/text?query=some", kBrowserFields), 1000), 0U);
}

TEST_F(HttpAllocationTest, RouteParametersAllocateNothing) {
    EXPECT_EQ(allocations(getRequest("/users/7%208/posts/a-post-with-a-name-of-some-length"), 1000), 0U);
}

TEST_F(HttpAllocationTest, AHeadRequestAllocatesNothing) {
    EXPECT_EQ(allocations(headRequest("/text"), 1000), 0U);
}

TEST_F(HttpAllocationTest, AnAnswerWithoutABodyAllocatesNothing) {
    EXPECT_EQ(allocations(getRequest("/moved"), 1000), 0U);
}

TEST_F(HttpAllocationTest, PipelinedGetsAllocateNothing) {
    std::string burst;
    for (int i = 0; i < 16; ++i) burst += getRequest("/text");
    EXPECT_EQ(allocations(burst, 1000), 0U);
    EXPECT_EQ(bytes, 1020U * 16 * 13);
}

TEST_F(HttpAllocationTest, RequestsInPiecesAllocateNothing) {
    const std::string request = getRequest("/text");
    const auto inPieces = [&] {
        for (size_t at = 0; at + 9 < request.size(); at += 9) {
            ASSERT_EQ(::send(peer.fd(), request.data() + at, 9, MSG_NOSIGNAL), 9);
            loop->runOnce(std::chrono::milliseconds(10));
        }
        const size_t rest = request.size() % 9 == 0 ? 9 : request.size() % 9;
        roundTrip(std::string_view(request).substr(request.size() - rest));
    };
    for (int i = 0; i < 20; ++i) inPieces();
    const AllocationCounter counter;
    for (int i = 0; i < 100; ++i) inPieces();
    // One timer for the head's deadline is all that a slow request may cost.
    EXPECT_LE(counter.count(), 100U * 2);
}

TEST_F(HttpAllocationTest, TheCounterCounts) {
    const AllocationCounter counter;
    const auto made = std::make_unique<std::string>(1000, 'x');
    EXPECT_EQ(counter.count(), 2U);
    EXPECT_GE(counter.heldBytes(), 1000 + static_cast<int64_t>(sizeof(std::string)));
    EXPECT_LT(counter.heldBytes(), 1200);
}

}  // namespace
}  // namespace tnet
