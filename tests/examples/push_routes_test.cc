// The push service's HTTP side: what pages of other origins may read, and what publishers are told.
#include "examples/push/routes.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "examples/push/access.h"
#include "examples/push/hub.h"
#include "examples/push/metrics.h"
#include "tests/http/http_fixture.h"
#include "tests/http/replies.h"
#include "websocket/loop.h"
#include "websocket/server.h"

namespace tnet {
namespace {

constexpr std::string_view kFriend = "Origin: https://friend.example\r\n";
constexpr std::string_view kStranger = "Origin: https://stranger.example\r\n";
constexpr std::string_view kToken = "Authorization: Bearer secret\r\n";

class PushRoutesTest : public HttpTest {
protected:
    PushRoutesTest() {
        m_access.token = "secret";
        m_access.origins = {"https://friend.example"};
        addPushRoutes(router(), m_hub, m_metrics, m_access, 1000);
    }

    Reply ask(const std::string& request) {
        const auto peer = connect();
        peer->feed(request);
        const Replies replies = parseReplies(peer->collect());
        if (replies.size() > 0) return replies[0];
        ADD_FAILURE() << replies;
        return {};
    }

    static std::string options(std::string_view target, std::string_view fields) {
        return "OPTIONS " + std::string(target) + " HTTP/1.1\r\nHost: push.example\r\n" +
               std::string(fields) + "\r\n";
    }

    WsTopicsPtr_t m_topics = std::make_shared<WsTopics>(WsTopics::Settings{.inboxItems = 3});
    PushMetrics m_metrics{};
    PushHub m_hub{*loop(), m_topics, m_metrics, {}};
    PushAccess m_access{};
};

// A page published, and could not read whether that had worked.
TEST_F(PushRoutesTest, APageMayReadTheAnswerWhateverItIs) {
    const std::string fields = std::string(kFriend) + std::string(kToken);
    struct Row {
        std::string request;
        int status;
    };
    const Row rows[] = {
        {postRequest("/publish/a", "hello", fields), 200},
        {postRequest("/publish/a", "hello", kFriend), 401},
        {postRequest("/publish/a", "hello", std::string(kFriend) + "Authorization: Bearer wrong\r\n"), 403},
        {postRequest("/publish/a", "\xff", fields), 400},
        {postRequest("/publish/a%2F%23", "hello", fields), 400},
        {postRequest("/publish/a", std::string(1001, 'x'), fields), 413},
        {getRequest("/publish/a", kFriend), 405},
        {getRequest("/events/a?after=x", kFriend), 400},
        {headRequest("/events/a", kFriend), 200},
        {getRequest("/events/a/b", kFriend), 404},
    };
    for (const Row& row : rows) {
        const Reply reply = ask(row.request);
        EXPECT_EQ(reply.status, row.status);
        EXPECT_EQ(reply.header("Access-Control-Allow-Origin"), "https://friend.example") << reply.status;
        EXPECT_EQ(reply.header("Vary"), "Origin");
    }
    const auto peer = connect();
    peer->feed(getRequest("/events/a", kFriend));
    const std::string stream = peer->collect();
    EXPECT_NE(stream.find("Access-Control-Allow-Origin: https://friend.example\r\n"), std::string::npos)
        << stream;
}

TEST_F(PushRoutesTest, APageOfAnotherOriginIsToldNothing) {
    for (const std::string& request :
         {postRequest("/publish/a", "hello", std::string(kStranger) + std::string(kToken)),
          getRequest("/events/a", kStranger)}) {
        const Reply reply = ask(request);
        EXPECT_EQ(reply.status, 403);
        EXPECT_FALSE(reply.has("Access-Control-Allow-Origin"));
        EXPECT_EQ(reply.header("Vary"), "Origin");
    }
    const Reply preflight =
        ask(options("/publish/a", std::string(kStranger) + "Access-Control-Request-Method: POST\r\n"));
    EXPECT_FALSE(preflight.has("Access-Control-Allow-Origin"));
    EXPECT_FALSE(preflight.has("Access-Control-Allow-Methods"));
    EXPECT_EQ(m_metrics.published, 0U);
}

TEST_F(PushRoutesTest, APreflightSaysWhatAPageMaySend) {
    struct Row {
        const char* target;
        const char* method;
        const char* methods;
    };
    for (const Row& row : {Row{"/publish/a", "POST", "POST"}, Row{"/events/a", "GET", "GET, HEAD"}}) {
        const Reply reply =
            ask(options(row.target, std::string(kFriend) + "Access-Control-Request-Method: " + row.method +
                                        "\r\nAccess-Control-Request-Headers: authorization\r\n"));
        EXPECT_EQ(reply.status, 204);
        EXPECT_EQ(reply.header("Access-Control-Allow-Origin"), "https://friend.example");
        EXPECT_EQ(reply.header("Access-Control-Allow-Methods"), row.methods);
        EXPECT_NE(reply.header("Access-Control-Allow-Headers").find("Authorization"), std::string::npos);
        EXPECT_NE(reply.header("Vary").find("Access-Control-Request-Headers"), std::string::npos);
    }
    const Reply plain = ask(options("/publish/a", {}));  // no page
    EXPECT_EQ(plain.status, 204);
    EXPECT_TRUE(plain.has("Allow"));
    EXPECT_FALSE(plain.has("Access-Control-Allow-Methods"));
    EXPECT_FALSE(ask(getRequest("/", kFriend)).has("Access-Control-Allow-Origin"));
}

// A loop that is behind with its inbox: nobody gets the message, and the publisher is told to come back.
TEST_F(PushRoutesTest, APublisherIsToldThatALoopIsBehind) {
    const auto behind = IOLoop::create(clock());  // with a subscriber, and nobody runs it
    ASSERT_TRUE(behind);
    const auto inbox = m_topics->loopFor(**behind);
    ASSERT_TRUE(inbox->reserveForTask(1));
    int statuses[3];
    for (int& status : statuses) status = ask(postRequest("/publish/a", "hello", kToken)).status;
    EXPECT_EQ(statuses[0], 200);
    EXPECT_EQ(statuses[1], 200);
    EXPECT_EQ(statuses[2], 503);
    const Reply refused = ask(postRequest("/publish/a", "hello", kToken));
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.header("Retry-After"), "1");
    EXPECT_EQ(m_metrics.published, 2U);
    EXPECT_EQ(m_metrics.overloaded, 2U);
}

}  // namespace
}  // namespace tnet
