// http_fixture: the whole HTTP stack on a loop, a clock and connections that the test owns.
//
//     class FooTest : public HttpTest {};
//     TEST_F(FooTest, Claim) {
//         router().get("/", [](const HttpRequest&) { return HttpResponse::text("hi"); });
//         EXPECT_EQ(ask(getRequest("/"))[0].body, "hi");
//         const auto peer = connect();                  // or step by step
//         peer->feed(getRequest("/"), 3);
//         const Replies replies = parseReplies(peer->collect());
//
// Threads: the test's own, which is the loop's.
// Lifetime: connections go before the test's loop; the first connect() ends registration of routes.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "http/router.h"
#include "http/service.h"
#include "http/types.h"
#include "tests/http/replies.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_peer.h"

namespace tnet {

// style: each transcript runs whole and cut at each of these sizes.
constexpr size_t kFragments[] = {ScriptedPeer::kWhole, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31};

// For tables so long that over TLS some of the sizes must do.
inline std::vector<size_t> fragmentsOfLongTables() {
    if (ScriptedPeer::isSecure()) return {ScriptedPeer::kWhole, 1, 7, 31};
    return {std::begin(kFragments), std::end(kFragments)};
}

// A request of HTTP/1.1 that is in order; `fields`: more header lines with their CRLF.
std::string getRequest(std::string_view target, std::string_view fields = {});
std::string headRequest(std::string_view target, std::string_view fields = {});
std::string postRequest(std::string_view target, std::string_view body, std::string_view fields = {});
// Only the head of one, announcing `size` bytes.
std::string postHead(std::string_view target, size_t size, std::string_view fields = {});

// Text that shows where it was cut or mixed up.
std::string patternOf(size_t size);

// Gathers what the library logs while it lives. One at a time.
class LogCapture {
public:
    LogCapture();
    ~LogCapture();
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;

    std::string text() const;
    bool contains(std::string_view part) const { return text().find(part) != std::string::npos; }

private:
    class Sink;
    std::shared_ptr<Sink> m_sink;
};

class HttpTest : public LoopTest {
protected:
    // What the access log was told.
    struct Access {
        HttpMethod method;
        std::string target;
        int status;
        uint64_t bodyBytes;
        Duration duration;
        HttpOutcome outcome;
    };

    HttpTest();
    ~HttpTest() override;

    HttpRouter& router() { return m_router; }
    HttpLimits& limits() { return m_limits; }  // before the first connect()
    const std::vector<Access>& accesses() const { return m_accesses; }
    const LogCapture& log() const { return m_log; }

    HttpService& service();
    // Without connections: they must be closed by then. startOver: a new, empty router, too.
    void destroyService() { m_service.reset(); }
    void startOver();

    // A started connection that the service serves.
    std::unique_ptr<ScriptedPeer> connect();

    // Runs the loop until `count` replies have come, which other threads may cause; must be clean.
    Replies awaitReplies(ScriptedPeer& peer, size_t count, const std::vector<size_t>& heads = {});

    // The answers to `bytes` on a connection of their own; must be clean.
    Replies ask(std::string_view bytes, size_t fragment = ScriptedPeer::kWhole,
                const std::vector<size_t>& heads = {});

    // The one answer to `bytes` on a connection of its own.
    Reply askOne(std::string_view bytes);

private:
    LogCapture m_log;
    HttpRouter m_router;
    HttpLimits m_limits;
    std::vector<Access> m_accesses;
    HttpAccessCallback_t m_accessLog;
    std::unique_ptr<HttpService> m_service;
};

}  // namespace tnet
