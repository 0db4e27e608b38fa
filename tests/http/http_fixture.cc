#include "tests/http/http_fixture.h"

#include <spdlog/sinks/base_sink.h>

#include <mutex>
#include <utility>

#include "http/request.h"
#include "tnet/log.h"

namespace tnet {
namespace {

std::string request(std::string_view method, std::string_view target, std::string_view fields) {
    std::string text(method);
    return text.append(" ")
        .append(target)
        .append(" HTTP/1.1\r\nHost: example.com\r\n")
        .append(fields)
        .append("\r\n");
}

}  // namespace

std::string getRequest(std::string_view target, std::string_view fields) {
    return request("GET", target, fields);
}

std::string headRequest(std::string_view target, std::string_view fields) {
    return request("HEAD", target, fields);
}

std::string postHead(std::string_view target, size_t size, std::string_view fields) {
    return request("POST", target, "Content-Length: " + std::to_string(size) + "\r\n" + std::string(fields));
}

std::string postRequest(std::string_view target, std::string_view body, std::string_view fields) {
    return postHead(target, body.size(), fields) + std::string(body);
}

std::string patternOf(size_t size) {
    std::string text;
    text.reserve(size + 16);
    while (text.size() < size) text += std::to_string(text.size()) + ".";
    text.resize(size);
    return text;
}

// --- LogCapture ---

class LogCapture::Sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    std::string text() {
        const std::lock_guard lock(mutex_);
        return m_text;
    }

    void clear() {
        const std::lock_guard lock(mutex_);
        m_text.clear();
    }

private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        m_text.append(message.payload.data(), message.payload.size()).append("\n");
    }
    void flush_() override {}

    std::string m_text;
};

// One for all: every logger that was ever set is kept, and a fuzzer that sets millions would look for a leak
// each time.
LogCapture::LogCapture() {
    static const auto sink = std::make_shared<Sink>();
    static const auto instance = std::make_shared<spdlog::logger>("test", sink);
    m_sink = sink;
    m_sink->clear();
    setLogger(instance);
}

LogCapture::~LogCapture() { setLogger(nullptr); }

std::string LogCapture::text() const { return m_sink->text(); }

// --- HttpTest ---

HttpTest::HttpTest()
    : m_accessLog([this](const HttpAccess& access) {
          m_accesses.push_back({access.request.method(), std::string(access.request.target()), access.status,
                                access.bodyBytes, access.duration, access.outcome});
      }) {}

HttpTest::~HttpTest() = default;

HttpService& HttpTest::service() {
    if (m_service) return *m_service;
    const Status routes = m_router.status();
    if (!routes) ADD_FAILURE() << routes.error().message;
    m_router.freeze();
    m_service = std::make_unique<HttpService>(loop(), m_router, m_limits, m_accessLog);
    return *m_service;
}

void HttpTest::startOver() {
    destroyService();
    m_router = HttpRouter();
}

std::unique_ptr<ScriptedPeer> HttpTest::connect() {
    auto peer = std::make_unique<ScriptedPeer>(loop());
    service().onConnection(peer->connection());
    peer->start();
    return peer;
}

Replies HttpTest::ask(std::string_view bytes, size_t fragment, const std::vector<size_t>& heads) {
    const auto peer = connect();
    peer->feed(bytes, fragment);
    Replies replies = parseReplies(peer->collect(), heads);
    EXPECT_TRUE(replies.isClean()) << replies;
    return replies;
}

Replies HttpTest::awaitReplies(ScriptedPeer& peer, size_t count, const std::vector<size_t>& heads) {
    std::string text;
    Replies replies;
    runUntil([&] {
        text += peer.collect();
        replies = parseReplies(text, heads);
        return replies.size() >= count;
    });
    EXPECT_EQ(replies.size(), count) << replies;
    EXPECT_TRUE(replies.isClean()) << replies;
    return replies;
}

Reply HttpTest::askOne(std::string_view bytes) {
    const Replies replies = ask(bytes);
    EXPECT_EQ(replies.size(), 1U) << replies;
    return replies.size() > 0 ? replies[0] : Reply{};
}

}  // namespace tnet
