// The handshake on the wire, through the whole HTTP stack, and what handlers see of it.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/origin.h"
#include "http/responder.h"
#include "http/router.h"
#include "tests/websocket/ws_fixture.h"
#include "websocket/connection.h"

namespace tnet {
namespace {

constexpr std::string_view kOffer = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
constexpr std::string_view kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
constexpr std::string_view kVersion13 = "Sec-WebSocket-Version: 13\r\n";

std::string joined(std::initializer_list<std::string_view> parts) {
    std::string whole;
    for (const std::string_view part : parts) whole += part;
    return whole;
}

class WsServerTest : public WsTest {
protected:
    void routeEcho() { ws().route("/echo", echoRoute()); }

    Reply askWith(std::initializer_list<std::string_view> fields) {
        return askOne(getRequest("/echo", joined(fields)));
    }
};

TEST_F(WsServerTest, EchoesAndCloses) {
    routeEcho();
    for (const size_t fragment : kFragments) {
        const auto peer = open("/echo");
        peer->feed(clientFrame(WsOpcode::Text, "hi"), fragment);
        EXPECT_EQ(peer->collect().all, (std::vector<WsFrame>{{WsOpcode::Text, "hi"}}));
        EXPECT_FALSE(peer->isEnded());
        peer->feed(clientClose(1000), fragment);
        const WsFrames frames = peer->collect();
        EXPECT_TRUE(frames.isClean()) << frames;
        EXPECT_EQ(frames.closeCode(), 1000);
        EXPECT_TRUE(peer->isEnded());
    }
}

// --- Refusals ---

TEST_F(WsServerTest, The101HasWhatItNeedsAndNoMore) {
    routeEcho();
    EXPECT_EQ(open("/echo")->reply().head,
              "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nUpgrade: websocket\r\n\r\n");
}

TEST_F(WsServerTest, BrokenHandshakesGet400) {
    routeEcho();
    EXPECT_EQ(askWith({kOffer, kVersion13}).status, 400);
    EXPECT_EQ(askWith({kOffer, kVersion13, "Sec-WebSocket-Key: short\r\n"}).status, 400);
    EXPECT_EQ(askWith({kOffer, kVersion13, kKey, kKey}).status, 400);
    EXPECT_EQ(askWith({kOffer, kKey}).status, 400);
    EXPECT_EQ(askWith({kOffer, kKey, kVersion13, kVersion13}).status, 400);
    EXPECT_EQ(askWith({kOffer, kKey, "Sec-WebSocket-Version:\r\n"}).status, 400);
    EXPECT_EQ(askWith({kOffer, kKey, "Sec-WebSocket-Version: 13, 8\r\n"}).status, 400);
    EXPECT_EQ(askWith({kOffer, kKey, kVersion13, "Sec-WebSocket-Protocol: a b\r\n"}).status, 400);
    EXPECT_EQ(askWith({kOffer, kKey, kVersion13, "Sec-WebSocket-Extensions: ;\r\n"}).status, 400);
}

TEST_F(WsServerTest, OtherVersionsGet426WithOurs) {
    routeEcho();
    // A version that cannot exist (256, RFC 6455 §4.3) was a 400 that did not say which one works.
    for (const std::string_view version : {"8", "12", "14", "255", "256", "013", "x", "4294967309"}) {
        const Reply reply = askWith({kOffer, kKey, "Sec-WebSocket-Version: ", version, "\r\n"});
        EXPECT_EQ(reply.status, 426) << version;
        EXPECT_EQ(reply.header("Sec-WebSocket-Version"), "13");
        EXPECT_EQ(reply.header("Upgrade"), "websocket");
        EXPECT_EQ(reply.count("Upgrade"), 1U);
        EXPECT_EQ(reply.header("Connection"), "Upgrade");
    }
}

// RFC 6455 §4.4, though it is no other version that they ask for.
TEST_F(WsServerTest, BrokenVersionsAreToldOurs) {
    routeEcho();
    for (const std::string_view version :
         {"", "Sec-WebSocket-Version:\r\n", "Sec-WebSocket-Version: 13, 8\r\n"}) {
        const Reply reply = askWith({kOffer, kKey, version});
        EXPECT_EQ(reply.status, 400) << version;
        EXPECT_EQ(reply.header("Sec-WebSocket-Version"), "13") << version;
    }
    EXPECT_FALSE(askWith({kOffer, kVersion13}).has("Sec-WebSocket-Version"));
}

// Some clients and proxies send the fields with nothing in them: no offer, as if they were not there.
TEST_F(WsServerTest, EmptyOffersAreNone) {
    WsRoute route = echoRoute();
    route.subprotocols = {"chat"};
    route.compression = WsCompression::Shared;
    ws().route("/echo", std::move(route));
    for (const std::string_view fields : {"Sec-WebSocket-Protocol:\r\n", "Sec-WebSocket-Extensions:\r\n",
                                          "Sec-WebSocket-Protocol: ,\r\nSec-WebSocket-Extensions: ,\r\n"}) {
        const auto peer = open("/echo", fields);
        EXPECT_EQ(peer->reply().status, 101) << fields;
        EXPECT_FALSE(peer->reply().has("Sec-WebSocket-Protocol")) << fields;
        EXPECT_FALSE(peer->reply().has("Sec-WebSocket-Extensions")) << fields;
    }
    EXPECT_EQ(open("/echo", "Sec-WebSocket-Protocol: a,,chat\r\n")->reply().header("Sec-WebSocket-Protocol"),
              "chat");
}

TEST_F(WsServerTest, ARefusedConnectionGoesOnWithHttp) {
    routeEcho();
    router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
    const Replies replies = ask(getRequest("/echo", joined({kOffer, kVersion13})) + getRequest("/hi"));
    EXPECT_EQ(replies.statuses(), (std::vector<int>{400, 200}));
}

TEST_F(WsServerTest, Http10NeverGets101) {
    routeEcho();
    ws().route("/both", echoRoute());
    router().get("/both", [](const HttpRequest&) { return HttpResponse::text("page"); });
    const std::string behind = " HTTP/1.0\r\nHost: a\r\n" + joined({kOffer, kKey, kVersion13, "\r\n"});
    EXPECT_EQ(askOne("GET /echo" + behind).status, 426);
    EXPECT_EQ(askOne("GET /both" + behind).body, "page");
}

TEST_F(WsServerTest, OtherMethodsGetNo101) {
    routeEcho();
    EXPECT_EQ(askOne(postRequest("/echo", "", joined({kOffer, kKey, kVersion13}))).status, 426);
}

// RFC 9110 §7.8: what is not known is ignored.
TEST_F(WsServerTest, OtherTokensAreIgnored) {
    routeEcho();
    ws().route("/both", echoRoute());
    router().get("/both", [](const HttpRequest&) { return HttpResponse::text("page"); });
    const std::string h2c =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    for (const std::string& fields : {h2c, std::string()}) {
        const Reply page = askOne(getRequest("/both", fields));
        EXPECT_EQ(page.status, 200);
        EXPECT_EQ(page.body, "page");
        const Reply none = askOne(getRequest("/echo", fields));
        EXPECT_EQ(none.status, 426);
        EXPECT_EQ(none.header("Upgrade"), "websocket");
    }
    // One of several offers is ours (and the name's case does not matter).
    const std::string several =
        joined({"Connection: keep-alive, upgrade\r\nUpgrade: h2c, WebSocket\r\n", kKey, kVersion13});
    const auto peer = connect();
    peer->feed(getRequest("/both", several));
    EXPECT_TRUE(peer->collect().starts_with("HTTP/1.1 101 "));
}

TEST_F(WsServerTest, OriginsAreChecked) {
    WsRoute route = echoRoute();
    route.checkOrigin = isOwnOrigin;
    ws().route("/echo", std::move(route));
    EXPECT_EQ(askOne(upgradeRequest("/echo", "Origin: https://evil.example\r\n")).status, 403);
    EXPECT_EQ(askOne(upgradeRequest("/echo", "Origin: null\r\n")).status, 403);
    EXPECT_EQ(askOne(upgradeRequest("/echo", "Origin: https://example.com:8443\r\n")).status, 403);
    open("/echo", "Origin: https://example.com\r\n");
    open("/echo", "Origin: https://Example.com:443\r\n");
    open("/echo");
}

TEST_F(WsServerTest, MiddlewareMayRefuseWithAnyStatus) {
    HttpRouter group = router().group("/members");
    group.use([](const HttpRequest& request, HttpResponder responder, HttpNext next) {
        const std::string status(request.header("X-Refuse-With"));
        if (status.empty()) return next(std::move(responder));
        responder.respond(HttpResponse(std::stoi(status)).header("X-Why", "members only"));
    });
    ws().route(group, "/echo", echoRoute());
    for (const int status : {200, 302, 401, 404, 429, 503}) {
        const Reply reply =
            askOne(upgradeRequest("/members/echo", "X-Refuse-With: " + std::to_string(status) + "\r\n"));
        EXPECT_EQ(reply.status, status);
        EXPECT_EQ(reply.header("X-Why"), "members only");
    }
    open("/members/echo");
}

// --- Negotiation ---

TEST_F(WsServerTest, TheServersPreferenceDecidesOnTheSubprotocol) {
    WsRoute route = echoRoute();
    std::string seen = "?";
    route.subprotocols = {"chat.v2", "chat.v1"};
    route.onOpen = [&seen](const WsConnectionPtr_t& connection) { seen = connection->subprotocol(); };
    ws().route("/chat", std::move(route));
    const auto chosen = [&](std::string_view offer) {
        return open("/chat", offer)->reply().header("Sec-WebSocket-Protocol");
    };
    EXPECT_EQ(chosen("Sec-WebSocket-Protocol: other, chat.v1, chat.v2\r\n"), "chat.v2");
    EXPECT_EQ(seen, "chat.v2");
    EXPECT_EQ(chosen("Sec-WebSocket-Protocol: chat.v1\r\nSec-WebSocket-Protocol: chat.v0\r\n"), "chat.v1");
    EXPECT_EQ(seen, "chat.v1");
    for (const std::string_view offer : {"", "Sec-WebSocket-Protocol: CHAT.V1\r\n"}) {
        EXPECT_FALSE(open("/chat", offer)->reply().has("Sec-WebSocket-Protocol"));
        EXPECT_EQ(seen, "");
    }
}

TEST_F(WsServerTest, ExtensionsAreDeclinedByLeavingThemOut) {
    routeEcho();
    WsRoute route = echoRoute();
    route.compression = WsCompression::Shared;
    ws().route("/small", std::move(route));
    const auto answer = [&](std::string_view path, const std::string& offer) {
        const auto peer = open(path, "Sec-WebSocket-Extensions: " + offer + "\r\n");
        EXPECT_EQ(peer->reply().has("Sec-WebSocket-Extensions"),
                  !peer->reply().header("Sec-WebSocket-Extensions").empty());
        return peer->reply().header("Sec-WebSocket-Extensions");
    };
    EXPECT_EQ(answer("/echo", "permessage-deflate"), "");
    EXPECT_EQ(answer("/small", "x-unknown; a=1"), "");
    EXPECT_EQ(answer("/small", "permessage-deflate; x-unknown"), "");
    EXPECT_EQ(answer("/small", "permessage-deflate; server_max_window_bits=8"), "");
    EXPECT_EQ(answer("/small", "x-unknown, permessage-deflate"),
              "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    // Declined means that RSV1 is no longer allowed.
    const auto peer = open("/echo", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    peer->feed(clientFrame(WsOpcode::Text, "x", true, true));
    EXPECT_EQ(peer->collect().closeCode(), 1002);
}

// --- The hand-over ---

TEST_F(WsServerTest, HandlersSeeTheRequest) {
    WsConnectionPtr_t kept;
    WsRoute route;
    route.onOpen = [&kept](const WsConnectionPtr_t& connection) { kept = connection; };
    ws().route("/room/:room/*rest", std::move(route));
    auto peer =
        open("/room/a%20b/x/y?q=1%2B1&empty=&q=2", "Cookie: a=1; session=s3\r\nX-Tag: one\r\nX-Tag: two\r\n");
    ASSERT_TRUE(kept);
    const WsRequest& request = kept->request();
    EXPECT_EQ(request.target(), "/room/a%20b/x/y?q=1%2B1&empty=&q=2");
    EXPECT_EQ(request.path(), "/room/a%20b/x/y");
    EXPECT_EQ(request.query(), "q=1%2B1&empty=&q=2");
    EXPECT_EQ(request.param("room"), "a b");
    EXPECT_EQ(request.param("rest"), "x/y");
    EXPECT_EQ(request.param("none"), "");
    EXPECT_EQ(request.queryParam("q"), "1+1");
    EXPECT_EQ(request.queryParam("empty"), "");
    EXPECT_EQ(request.queryParam("none"), std::nullopt);
    EXPECT_EQ(request.header("x-tag"), "one");
    EXPECT_EQ(request.header("none"), "");
    EXPECT_EQ(request.cookie("a"), "1");
    EXPECT_EQ(request.cookie("session"), "s3");
    EXPECT_EQ(request.cookie("none"), std::nullopt);
    peer.reset();
    EXPECT_FALSE(kept->isOpen());
    EXPECT_EQ(kept->request().param("room"), "a b");
}

// They were looked up as header fields are, whatever their case: ":Room" could not be told from ":room".
TEST_F(WsServerTest, NamesOfParametersHaveACase) {
    WsConnectionPtr_t kept;
    WsRoute route;
    route.onOpen = [&kept](const WsConnectionPtr_t& connection) { kept = connection; };
    ws().route("/:Room/:room", std::move(route));
    const auto peer = open("/large/small");
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->request().param("Room"), "large");
    EXPECT_EQ(kept->request().param("room"), "small");
    EXPECT_EQ(kept->request().param("ROOM"), "");
    kept.reset();
}

TEST_F(WsServerTest, TheRequestIsGoneAfterOnOpenIfItIsNotKept) {
    WsRoute route;
    route.keepRequest = false;
    std::vector<std::string> rooms;
    const auto note = [&rooms](const WsConnectionPtr_t& connection) {
        rooms.push_back(connection->request().param("room"));
    };
    route.onOpen = note;
    route.onMessage = [note](const WsConnectionPtr_t& connection, std::string_view, WsOpcode) {
        note(connection);
    };
    ws().route("/room/:room", std::move(route));
    open("/room/blue")->feed(clientFrame(WsOpcode::Text, "x")).collect();
    EXPECT_EQ(rooms, (std::vector<std::string>{"blue", ""}));
}

TEST_F(WsServerTest, BytesInTheRequestsPacketComeBehindOnOpen) {
    WsRoute route;
    std::vector<std::string> seen;
    route.onOpen = [&seen](const WsConnectionPtr_t&) { seen.push_back("open"); };
    route.onMessage = [&seen](const WsConnectionPtr_t&, std::string_view message, WsOpcode) {
        seen.emplace_back(message);
    };
    route.onClose = [&seen](const WsConnectionPtr_t&, WsCloseCode code, std::string_view reason) {
        seen.push_back(std::to_string(static_cast<int>(code)) + std::string(reason));
    };
    ws().route("/early", std::move(route));
    const std::string behind =
        joined({clientFrame(WsOpcode::Text, "one"), clientFrame(WsOpcode::Text, "tw", false),
                clientFrame(WsOpcode::Ping, "?"), clientFrame(WsOpcode::Continuation, "o"),
                clientFrame(WsOpcode::Text, patternOf(5000)), clientClose(4000, "bye")});
    for (const size_t fragment : kFragments) {
        seen.clear();
        {
            const auto peer = open("/early", {}, behind, fragment);
            const WsFrames frames = peer->collect();
            EXPECT_EQ(frames.all,
                      (std::vector<WsFrame>{{WsOpcode::Pong, "?"}, {WsOpcode::Close, "\x0f\xa0"}}));
            EXPECT_TRUE(peer->isEnded());
        }
        EXPECT_EQ(seen, (std::vector<std::string>{"open", "one", "two", patternOf(5000), "4000bye"}))
            << fragment;
    }
}

// --- The wire ---

// RFC 6455 §5.1.
TEST_F(WsServerTest, UnmaskedFramesAreRefused) {
    routeEcho();
    for (const size_t fragment : kFragments) {
        const auto peer = open("/echo");
        peer->feed("\x81\x02hi", fragment);
        EXPECT_EQ(peer->collect().closeCode(), 1002);
        EXPECT_TRUE(peer->isEnded());
    }
}

// A whole message that was cut lies in the receiver, which the connection's end must not take from under it.
TEST_F(WsServerTest, AMessageOutlivesTheConnectionInItsHandler) {
    for (const bool aborts : {true, false}) {
        startOver();
        std::string seen;
        WsRoute route;
        route.onMessage = [&](const WsConnectionPtr_t& connection, std::string_view message, WsOpcode) {
            aborts ? connection->abort() : connection->close();
            seen = message;
        };
        ws().route("/end", std::move(route));
        const auto peer = open("/end");
        peer->feed(clientFrame(WsOpcode::Text, patternOf(1000)), 100).collect();
        EXPECT_EQ(seen, patternOf(1000));
        EXPECT_EQ(peer->isClosed(), aborts);
    }
}

// One connection's receiver serves the next, which must not see anything of it.
TEST_F(WsServerTest, ConnectionsThatTakeTurnsDoNotMix) {
    routeEcho();
    const auto one = open("/echo");
    const auto other = open("/echo");
    const std::string message = clientFrame(WsOpcode::Text, "first", false);
    const std::string rest = clientFrame(WsOpcode::Continuation, " second");
    const std::string whole = clientFrame(WsOpcode::Text, "whole");
    for (size_t cut = 1; cut < rest.size(); ++cut) {
        one->feed(message + rest.substr(0, cut)).collect();
        other->feed(whole);
        EXPECT_EQ(other->collect().all, (std::vector<WsFrame>{{WsOpcode::Text, "whole"}}));
        one->feed(rest.substr(cut));
        EXPECT_EQ(one->collect().all, (std::vector<WsFrame>{{WsOpcode::Text, "first second"}}));
    }
}

}  // namespace
}  // namespace tnet
