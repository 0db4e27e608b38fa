// A process that has no descriptor left. UBSan needs some to look at a pointer, so it stays out of that.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/server.h"
#include "tests/faults/ask.h"
#include "tests/support/loop_fixture.h"
#include "tnet/log.h"
#include "tnet/socket.h"

namespace tnet {
namespace {

class DescriptorLimit {
public:
    explicit DescriptorLimit(rlim_t most) {
        ::getrlimit(RLIMIT_NOFILE, &m_before);
        rlimit lower = m_before;
        lower.rlim_cur = most;
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &lower), 0);
    }
    ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &m_before); }
    DescriptorLimit(const DescriptorLimit&) = delete;
    DescriptorLimit& operator=(const DescriptorLimit&) = delete;

private:
    rlimit m_before{};
};

// A handler that sends a file, as one does.
HttpResponse fileOf(const std::string& path) {
    FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return HttpResponse::error(errno == EMFILE ? 503 : 404);
    HttpResponse::FileBody range{std::make_shared<const FileDescriptor>(std::move(file)), 0, 4};
    return HttpResponse(200).setBody(std::move(range));
}

TEST(OutOfDescriptorsTest, WhoIsConnectedGoesOnAndWhoWaitsIsServedInTheEnd) {
    logger().set_level(spdlog::level::off);
    const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/file";
    FileDescriptor written(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ASSERT_EQ(::write(written.get(), "file", 4), 4);
    written.reset();

    HttpServer server;
    server.router().get("/hi",
                        [](const HttpRequest&) { return HttpResponse(200).setBody(std::string("hi")); });
    server.router().get("/file", [&path](const HttpRequest&) { return fileOf(path); });
    const auto bound = server.listen(Address::loopback(0));
    ASSERT_TRUE(bound.ok());
    ASSERT_TRUE(server.start(2).ok());
    BlockingClient kept = BlockingClient::connectTo(*bound);
    kept.send(get("/file"));
    EXPECT_EQ(answerOf(kept, 4).substr(9, 3), "200");

    // Behind that answer the file is closed.
    kept.send(get("/hi"));
    EXPECT_EQ(statusOf(answerOf(kept, 2)), "HTTP/1.1 200");

    std::vector<BlockingClient> waiting;
    {
        // A descriptor more than are open now: the client's end of one connection, and no server's.
        const int next = ::dup(kept.fd());
        ::close(next);
        const DescriptorLimit limit(static_cast<rlim_t>(next) + 1);
        waiting.push_back(BlockingClient::connectTo(*bound));
        ASSERT_TRUE(waiting.back().valid());
        waiting.back().send(get("/hi"));
        for (int i = 0; i < 20; ++i) {
            kept.send(get("/hi"));
            EXPECT_EQ(statusOf(answerOf(kept, 2)), "HTTP/1.1 200");
            kept.send(get("/file"));
            EXPECT_EQ(statusOf(answerOf(kept, 24)), "HTTP/1.1 503") << "no descriptor for the file";
        }
        EXPECT_EQ(server.connections(), 1U) << "there was a descriptor left, and nothing was tested";
    }
    EXPECT_EQ(statusOf(answerOf(waiting.back(), 2)), "HTTP/1.1 200");
    kept.send(get("/file"));
    EXPECT_EQ(statusOf(answerOf(kept, 4)), "HTTP/1.1 200");
    logger().set_level(spdlog::level::info);
}

}  // namespace
}  // namespace tnet
