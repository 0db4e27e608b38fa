#include "http/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/http/http_fixture.h"

namespace tnet {
namespace {

std::string requestOf(std::string_view method, std::string_view target) {
    return std::string(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: a\r\n\r\n");
}

// Answers with its own name.
HttpHandler_t named(std::string name) {
    return [name = std::move(name)](const HttpRequest&) { return HttpResponse::text(name); };
}

// Answers with its parameters, by name.
HttpHandler_t showing(std::string name, std::vector<std::string> params) {
    return [name = std::move(name), params = std::move(params)](const HttpRequest& request) {
        std::string text = name;
        for (const std::string& param : params)
            text.append(" ").append(param).append("=").append(request.param(param));
        return HttpResponse::text(text);
    };
}

// Says that it was there, on the way in and on the way out.
HttpMiddleware_t tracing(std::string name, std::vector<std::string>& trace) {
    return
        [name = std::move(name), &trace](const HttpRequest&, HttpResponder responder, const HttpNext& next) {
            trace.push_back("in " + name);
            responder.onResponse([&trace, name](HttpResponse& response) {
                trace.push_back("out " + name + " " + std::to_string(response.status()));
            });
            next(std::move(responder));
        };
}

class HttpRouterTest : public HttpTest {
protected:
    std::string bodyOf(std::string_view method, std::string_view target) {
        const Reply reply = askOne(requestOf(method, target));
        EXPECT_EQ(reply.status, 200) << method << " " << target;
        return reply.body;
    }
    Reply get(std::string_view target) { return askOne(requestOf("GET", target)); }
};

// --- Which route ---

TEST_F(HttpRouterTest, TheMostSpecificPatternWinsInAnyOrderOfRegistration) {
    std::vector<std::string> patterns = {"/*rest", "/:x", "/:x/b", "/a/*rest", "/a/:y", "/a/b"};
    std::sort(patterns.begin(), patterns.end());
    struct Row {
        std::string_view target;
        std::string_view pattern;
    };
    constexpr Row kRows[] = {{"/a/b", "/a/b"},    {"/a/c", "/a/:y"}, {"/a/b/c", "/a/*rest"},
                             {"/a/", "/a/*rest"}, {"/c/b", "/:x/b"}, {"/a", "/:x"},
                             {"/c/d", "/*rest"},  {"/", "/*rest"},   {"/c/b/", "/*rest"},
                             {"/a/%62", "/a/b"}};
    do {
        startOver();
        for (const std::string& pattern : patterns) ASSERT_TRUE(router().get(pattern, named(pattern)));
        const auto peer = connect();
        for (const Row& row : kRows) {
            peer->feed(requestOf("GET", row.target));
            const Replies replies = parseReplies(peer->collect());
            ASSERT_EQ(replies.size(), 1U);
            ASSERT_EQ(replies[0].body, row.pattern)
                << row.target << " after " << ::testing::PrintToString(patterns);
        }
    } while (std::next_permutation(patterns.begin(), patterns.end()));
}

TEST_F(HttpRouterTest, ParametersAreDecodedOnce) {
    router().get("/u/:id/p/:post", showing("post", {"id", "post", "none"}));
    router().get("/f/*path", showing("file", {"path"}));
    EXPECT_EQ(bodyOf("GET", "/u/7/p/a%20b"), "post id=7 post=a b none=");
    EXPECT_EQ(bodyOf("GET", "/u/a%2Fb/p/%2541?id=8"), "post id=a/b post=%41 none=");
    EXPECT_EQ(bodyOf("GET", "/f/a/b%20c/d"), "file path=a/b c/d");
    EXPECT_EQ(bodyOf("GET", "/f/"), "file path=");
    EXPECT_EQ(get("/f").status, 404);
    EXPECT_EQ(get("/u//p/x").status, 404);
    EXPECT_EQ(get("/u/7/p/%zz").status, 400);
    EXPECT_EQ(get("/f/../x").status, 400);
    EXPECT_EQ(get("/f/%2e%2e/x").status, 400);
}

TEST_F(HttpRouterTest, ParametersOfOneRequestAreGoneInTheNext) {
    router().get("/u/:id", showing("user", {"id"}));
    router().get("/plain", showing("plain", {"id"}));
    const Replies replies =
        ask(requestOf("GET", "/u/7") + requestOf("GET", "/plain") + requestOf("GET", "/u/8"));
    ASSERT_EQ(replies.size(), 3U);
    EXPECT_EQ(replies[0].body, "user id=7");
    EXPECT_EQ(replies[1].body, "plain id=");
    EXPECT_EQ(replies[2].body, "user id=8");
}

TEST_F(HttpRouterTest, ALessSpecificPatternAnswersMethodsThatTheMoreSpecificLacks) {
    router().get("/a/b", named("get b"));
    router().post("/a/:x", named("post x"));
    router().any("/*rest", named("any"));
    EXPECT_EQ(bodyOf("GET", "/a/b"), "get b");
    EXPECT_EQ(bodyOf("POST", "/a/b"), "post x");
    EXPECT_EQ(bodyOf("PUT", "/a/b"), "any");
    EXPECT_EQ(bodyOf("GET", "/a/c"), "any");
}

TEST_F(HttpRouterTest, EveryMethodHasItsRoute) {
    for (size_t i = 0; i < kHttpMethodCount; ++i) {
        const auto method = static_cast<HttpMethod>(i);
        if (method == HttpMethod::Connect) continue;
        ASSERT_TRUE(router().route(method, "/", named("route of " + std::string(methodName(method)))));
    }
    for (size_t i = 0; i < kHttpMethodCount; ++i) {
        const auto method = static_cast<HttpMethod>(i);
        if (method == HttpMethod::Connect || method == HttpMethod::Head) continue;
        EXPECT_EQ(bodyOf(methodName(method), "/"), "route of " + std::string(methodName(method)));
    }
}

TEST_F(HttpRouterTest, AnyIsEveryMethodButConnect) {
    router().any("/", [](const HttpRequest& request) {
        return HttpResponse(200).header("X-Method", methodName(request.method()));
    });
    for (size_t i = 0; i < kHttpMethodCount; ++i) {
        const auto method = static_cast<HttpMethod>(i);
        if (method == HttpMethod::Connect) continue;
        const Replies replies = ask(requestOf(methodName(method), "/"), ScriptedPeer::kWhole, {0});
        EXPECT_EQ(replies[0].header("X-Method"), methodName(method));
    }
    EXPECT_EQ(askOne("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").status, 501);
}

// It was taken, could never match, and was listed in Allow.
TEST_F(HttpRouterTest, ARouteForConnectIsRefused) {
    EXPECT_FALSE(router().route(HttpMethod::Connect, "/a", named("x")));
    EXPECT_EQ(router().status().error().message,
              "route CONNECT /a: its target is no path (RFC 9110 §9.3.6): Invalid argument");
}

TEST_F(HttpRouterTest, ConvenienceFunctionsNameTheirMethods) {
    router().get("/", named("get"));
    router().post("/", named("post"));
    router().put("/", named("put"));
    router().patch("/", named("patch"));
    router().del("/", named("delete"));
    EXPECT_EQ(bodyOf("GET", "/"), "get");
    EXPECT_EQ(bodyOf("POST", "/"), "post");
    EXPECT_EQ(bodyOf("PUT", "/"), "put");
    EXPECT_EQ(bodyOf("PATCH", "/"), "patch");
    EXPECT_EQ(bodyOf("DELETE", "/"), "delete");
}

// --- HEAD, OPTIONS, 404, 405 ---

TEST_F(HttpRouterTest, HeadIsGetWithoutTheBody) {
    router().get("/a", named("hello"));
    const Replies replies = ask(requestOf("HEAD", "/a") + requestOf("GET", "/a"), ScriptedPeer::kWhole, {0});
    EXPECT_EQ(replies.statuses(), (std::vector<int>{200, 200}));
    EXPECT_EQ(replies[0].head, replies[1].head);
    EXPECT_EQ(replies[0].body, "");
    EXPECT_EQ(replies[0].header("Content-Length"), "5");
}

TEST_F(HttpRouterTest, AHeadRouteOfItsOwnComesFirst) {
    router().route(HttpMethod::Head, "/a", [](const HttpRequest&) {
        return HttpResponse(200).header("Content-Length", "1234567").header("X", "own");
    });
    router().get("/a", named("hello"));
    const Replies replies = ask(requestOf("HEAD", "/a"), ScriptedPeer::kWhole, {0});
    EXPECT_EQ(replies[0].header("X"), "own");
    EXPECT_EQ(replies[0].header("Content-Length"), "1234567");
    EXPECT_EQ(replies[0].count("Content-Length"), 1U);
}

TEST_F(HttpRouterTest, HeadOfWhatOnlyPostHasIs405) {
    router().post("/a", named("x"));
    const Replies replies =
        ask(requestOf("HEAD", "/a") + requestOf("HEAD", "/b"), ScriptedPeer::kWhole, {0, 1});
    EXPECT_EQ(replies.statuses(), (std::vector<int>{405, 404}));
    EXPECT_EQ(replies[0].header("Allow"), "POST, OPTIONS");
}

TEST_F(HttpRouterTest, OtherMethodsAreToldWhichAreAllowed) {
    router().get("/a/b", named("x"));
    router().del("/a/b", named("x"));
    router().put("/a/:y", named("x"));
    router().post("/z", named("x"));
    const Reply refused = askOne(requestOf("POST", "/a/b"));
    EXPECT_EQ(refused.status, 405);
    EXPECT_EQ(refused.header("Allow"), "DELETE, GET, HEAD, PUT, OPTIONS");  // of all patterns that match
    EXPECT_EQ(refused.body, "405 Method Not Allowed\n");
    EXPECT_EQ(askOne(requestOf("POST", "/a/c")).header("Allow"), "PUT, OPTIONS");
}

TEST_F(HttpRouterTest, OptionsAreAnsweredFromTheRoutes) {
    router().get("/a", named("x"));
    router().post("/b", named("x"));
    router().route(HttpMethod::Options, "/c", named("own options"));
    router().put("/c", named("x"));
    const Reply reply = askOne(requestOf("OPTIONS", "/a"));
    EXPECT_EQ(reply.status, 204);
    EXPECT_EQ(reply.header("Allow"), "GET, HEAD, OPTIONS");
    EXPECT_FALSE(reply.has("Content-Length"));  // RFC 9110 §8.6: never in a 204
    EXPECT_EQ(askOne(requestOf("OPTIONS", "/b")).header("Allow"), "POST, OPTIONS");
    EXPECT_EQ(bodyOf("OPTIONS", "/c"), "own options");
    EXPECT_EQ(askOne(requestOf("OPTIONS", "/none")).status, 404);
}

TEST_F(HttpRouterTest, OptionsOfTheServerListEveryMethodThatIsRouted) {
    router().get("/a", named("x"));
    router().group("/g").patch("/b", named("x"));
    const Reply reply = askOne(requestOf("OPTIONS", "*"));
    EXPECT_EQ(reply.status, 204);
    EXPECT_EQ(reply.header("Allow"), "GET, HEAD, OPTIONS, PATCH");
}

// haproxy's default check is one of these: with 404 or 426 it took the server down.
TEST_F(HttpRouterTest, OptionsWhereOnlyAnUpgradeIs) {
    EXPECT_EQ(askOne(requestOf("OPTIONS", "*")).status, 204);
    EXPECT_EQ(askOne(requestOf("OPTIONS", "*")).header("Allow"), "OPTIONS");
    router().upgrade("/", "websocket", [](const HttpRequest&, HttpResponder) {});
    for (const std::string_view target : {"/", "*"}) {
        const Reply reply = askOne(requestOf("OPTIONS", target));
        EXPECT_EQ(reply.status, 204) << target;
        EXPECT_EQ(reply.header("Allow"), "GET, OPTIONS") << target;
    }
    EXPECT_EQ(get("/").status, 426);
    EXPECT_EQ(askOne(requestOf("POST", "/")).status, 426);
    router().post("/", named("x"));
    EXPECT_EQ(get("/").status, 426);
    EXPECT_EQ(askOne(requestOf("PUT", "/")).header("Allow"), "GET, POST, OPTIONS");
    EXPECT_EQ(askOne(requestOf("OPTIONS", "/")).header("Allow"), "GET, POST, OPTIONS");
    router().get("/", named("x"));
    EXPECT_EQ(askOne(requestOf("OPTIONS", "/")).header("Allow"), "GET, HEAD, POST, OPTIONS");
}

TEST_F(HttpRouterTest, WithoutRoutesEverythingIs404) {
    EXPECT_EQ(get("/").status, 404);
    EXPECT_EQ(get("/").body, "404 Not Found\n");
    EXPECT_EQ(askOne(requestOf("OPTIONS", "/")).status, 404);
}

// --- Registration ---

TEST_F(HttpRouterTest, ConflictsAreErrorsThatNameTheRoute) {
    struct Row {
        std::string_view first;
        std::string_view second;
        std::vector<std::string_view> names;  // in the message
    };
    const Row rows[] = {
        {"/a", "/a", {"GET", "/a"}},
        {"/a/:x", "/a/:x", {"GET", "/a/:x"}},
        {"/a/:x", "/a/:y", {"/a/:x", "/a/:y"}},
        {"/a/:x/b", "/a/:y/c", {}},  // different paths
        {"/a/*r", "/a/*s", {"/a/*r", "/a/*s"}},
        {"/a", "/a/", {}},
        {"/a/:x", "/a/*x", {}},
    };
    for (const Row& row : rows) {
        HttpRouter fresh;
        EXPECT_TRUE(fresh.get(row.first, named("1")));
        EXPECT_EQ(fresh.get(row.second, named("2")), row.names.empty()) << row.second;
        const Status status = fresh.status();
        EXPECT_EQ(static_cast<bool>(status), row.names.empty()) << row.second;
        for (const std::string_view name : row.names) {
            EXPECT_NE(status.error().message.find(name), std::string::npos) << status.error().message;
        }
    }
}

TEST_F(HttpRouterTest, MalformedPatternsAreErrorsThatNameThem) {
    for (const std::string_view pattern :
         {"", "a", "a/b", "/a//b", "/:", "/*", "/*x/b", "/a/../b", "/:x/:x", "/%20"}) {
        HttpRouter fresh;
        EXPECT_FALSE(fresh.get(pattern, named("x"))) << pattern;
        ASSERT_FALSE(fresh.status()) << pattern;
        EXPECT_NE(fresh.status().error().message.find(pattern), std::string::npos)
            << fresh.status().error().message;
    }
}

TEST_F(HttpRouterTest, TheFirstErrorIsKeptAndTheOthersRoutesStand) {
    HttpRouter fresh;
    EXPECT_TRUE(fresh.get("/a", named("1")));
    EXPECT_FALSE(fresh.get("/a", named("2")));
    EXPECT_FALSE(fresh.get("bad", named("3")));
    EXPECT_TRUE(fresh.post("/a", named("4")));
    EXPECT_FALSE(fresh.any("/a", named("5")));
    EXPECT_FALSE(fresh.upgrade("nope", "x", [](const HttpRequest&, HttpResponder) {}));
    ASSERT_FALSE(fresh.status());
    EXPECT_NE(fresh.status().error().message.find("GET /a"), std::string::npos)
        << fresh.status().error().message;
}

TEST_F(HttpRouterTest, GroupsAndTheirRouterShareConflicts) {
    HttpRouter fresh;
    EXPECT_TRUE(fresh.get("/g/a", named("1")));
    EXPECT_FALSE(fresh.group("/g").get("/a", named("2")));
    EXPECT_FALSE(fresh.status());
    EXPECT_FALSE(fresh.group("/x").status());
}

TEST_F(HttpRouterTest, UpgradesConflictByTheirToken) {
    const auto handler = [](const HttpRequest&, HttpResponder) {};
    HttpRouter fresh;
    EXPECT_TRUE(fresh.upgrade("/a", "echo", handler));
    EXPECT_TRUE(fresh.upgrade("/a", "other", handler));
    EXPECT_TRUE(fresh.get("/a", named("x")));
    EXPECT_TRUE(fresh.status());
    EXPECT_FALSE(fresh.upgrade("/a", "ECHO", handler));
    EXPECT_NE(fresh.status().error().message.find("/a"), std::string::npos);
}

// --- Groups ---

TEST_F(HttpRouterTest, GroupsAddTheirPrefix) {
    HttpRouter api = router().group("/api");
    api.get("/a", named("api a"));
    api.get("", named("api itself"));
    HttpRouter inner = api.group("/v1/:tenant");
    inner.get("/b", showing("inner b", {"tenant"}));
    router().get("/a", named("a"));
    EXPECT_EQ(bodyOf("GET", "/api/a"), "api a");
    EXPECT_EQ(bodyOf("GET", "/api"), "api itself");
    EXPECT_EQ(bodyOf("GET", "/api/v1/x/b"), "inner b tenant=x");
    EXPECT_EQ(bodyOf("GET", "/a"), "a");
    EXPECT_EQ(get("/b").status, 404);
    EXPECT_EQ(get("/api/b").status, 404);
}

TEST_F(HttpRouterTest, AGroupsMiddlewareRunsForItsRoutesAlone) {
    std::vector<std::string> trace;
    HttpRouter api = router().group("/api");
    HttpRouter inner = api.group("/inner");
    // Registered before and after the routes: both count.
    inner.get("/x", named("x"));
    router().use(tracing("outer", trace));
    api.use(tracing("api 1", trace));
    inner.use(tracing("inner", trace));
    api.get("/y", named("y"));
    router().get("/z", named("z"));
    api.use(tracing("api 2", trace));

    EXPECT_EQ(bodyOf("GET", "/api/inner/x"), "x");
    EXPECT_EQ(trace,
              (std::vector<std::string>{"in outer", "in api 1", "in api 2", "in inner", "out inner 200",
                                        "out api 2 200", "out api 1 200", "out outer 200"}));
    trace.clear();
    EXPECT_EQ(bodyOf("GET", "/api/y"), "y");
    EXPECT_EQ(trace, (std::vector<std::string>{"in outer", "in api 1", "in api 2", "out api 2 200",
                                               "out api 1 200", "out outer 200"}));
    trace.clear();
    EXPECT_EQ(bodyOf("GET", "/z"), "z");
    EXPECT_EQ(trace, (std::vector<std::string>{"in outer", "out outer 200"}));
}

// --- Middleware ---

TEST_F(HttpRouterTest, MiddlewareMayAnswer) {
    bool handled = false;
    router().use([](const HttpRequest& request, HttpResponder responder, const HttpNext& next) {
        if (request.header("Authorization").empty()) return void(responder.respond(HttpResponse::error(401)));
        next(std::move(responder));
    });
    router().get("/", [&handled](const HttpRequest&) {
        handled = true;
        return HttpResponse::text("secret");
    });
    EXPECT_EQ(get("/").status, 401);
    EXPECT_FALSE(handled);
    EXPECT_EQ(askOne(getRequest("/", "Authorization: x\r\n")).body, "secret");
}

TEST_F(HttpRouterTest, MiddlewareMayChangeTheResponse) {
    router().use([](const HttpRequest&, HttpResponder responder, const HttpNext& next) {
        responder.onResponse([](HttpResponse& response) {
            response.header("X-Seen", std::to_string(response.status()));
            if (response.status() == 418) response.setStatus(200).setBody("changed");
        });
        next(std::move(responder));
    });
    router().get("/a", named("a"));
    router().get("/b", [](const HttpRequest&) { return HttpResponse::text("b", 418); });
    router().get("/c", [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("no"); });
    router().get("/d", [](const HttpRequest&, HttpResponder) {});
    EXPECT_EQ(get("/a").header("X-Seen"), "200");
    EXPECT_EQ(get("/a").body, "a");
    EXPECT_EQ(get("/b").header("X-Seen"), "418");
    EXPECT_EQ(get("/b").status, 200);
    EXPECT_EQ(get("/b").body, "changed");
    EXPECT_EQ(get("/c").header("X-Seen"), "500");
    EXPECT_EQ(get("/d").header("X-Seen"), "500");
}

TEST_F(HttpRouterTest, MiddlewareSeesTheHeadOfAStream) {
    router().use([](const HttpRequest&, HttpResponder responder, const HttpNext& next) {
        responder.onResponse([](HttpResponse& response) { response.header("X-Seen", "yes"); });
        next(std::move(responder));
    });
    router().get("/", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(200));
        writer.write("piece");
        writer.finish();
    });
    const Reply reply = get("/");
    EXPECT_EQ(reply.header("X-Seen"), "yes");
    EXPECT_EQ(reply.body, "piece");
}

TEST_F(HttpRouterTest, MiddlewareMayAnswerLaterFromAnotherThread) {
    std::thread worker;
    router().use([&worker](const HttpRequest&, HttpResponder responder, const HttpNext&) {
        worker = std::thread([responder = std::move(responder)]() mutable {
            responder.respond(HttpResponse::text("from elsewhere", 403));
        });
    });
    router().get("/", named("never"));
    const auto peer = connect();
    peer->feed(getRequest("/"));
    const Replies replies = awaitReplies(*peer, 1);
    worker.join();
    EXPECT_EQ(replies[0].status, 403);
    EXPECT_EQ(replies[0].body, "from elsewhere");
}

TEST_F(HttpRouterTest, MiddlewareMayPassOnLaterFromAnotherThread) {
    std::thread worker;
    std::vector<std::string> trace;
    router().use(tracing("first", trace));
    router().use([&worker](const HttpRequest&, HttpResponder responder, const HttpNext& next) {
        worker =
            std::thread([responder = std::move(responder), next]() mutable { next(std::move(responder)); });
    });
    router().use([](const HttpRequest& request, HttpResponder responder, const HttpNext& next) {
        responder.onResponse([path = std::string(request.path())](HttpResponse& response) {
            response.header("X-Path", path);
        });
        next(std::move(responder));
    });
    router().get("/u/:id", showing("user", {"id"}));
    const auto peer = connect();
    peer->feed(getRequest("/u/7"));
    const Replies replies = awaitReplies(*peer, 1);
    worker.join();
    EXPECT_EQ(replies[0].body, "user id=7");
    EXPECT_EQ(replies[0].header("X-Path"), "/u/7");
    EXPECT_EQ(trace, (std::vector<std::string>{"in first", "out first 200"}));
}

TEST_F(HttpRouterTest, WhatMiddlewareThrowsIs500) {
    std::vector<std::string> trace;
    router().use(tracing("outer", trace));
    router().use([](const HttpRequest& request, HttpResponder responder, const HttpNext& next) {
        if (request.path() == "/before") throw std::runtime_error("thrown before");
        if (request.path() == "/other") throw 7;
        next(std::move(responder));
        throw std::runtime_error("thrown after");
    });
    router().get("/*rest", named("fine"));
    EXPECT_EQ(get("/before").status, 500);
    EXPECT_TRUE(log().contains("thrown before"));
    EXPECT_EQ(get("/other").status, 500);
    EXPECT_EQ(get("/after").body, "fine");
    EXPECT_TRUE(log().contains("thrown after"));
    EXPECT_EQ(trace, (std::vector<std::string>{"in outer", "out outer 500", "in outer", "out outer 500",
                                               "in outer", "out outer 200"}));
}

TEST_F(HttpRouterTest, WhatAHandlerThrowsOnAnotherThreadIs500) {
    std::thread worker;
    router().use([&worker](const HttpRequest&, HttpResponder responder, const HttpNext& next) {
        worker =
            std::thread([responder = std::move(responder), next]() mutable { next(std::move(responder)); });
    });
    router().get("/",
                 [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("thrown elsewhere"); });
    const auto peer = connect();
    peer->feed(getRequest("/"));
    EXPECT_EQ(awaitReplies(*peer, 1).statuses(), std::vector<int>{500});
    worker.join();
    EXPECT_TRUE(log().contains("thrown elsewhere"));
}

TEST_F(HttpRouterTest, MiddlewareThatDropsTheResponderIs500) {
    router().use([](const HttpRequest&, HttpResponder, const HttpNext&) {});
    router().get("/", named("never"));
    EXPECT_EQ(get("/").status, 500);
}

// A hook adds a field with a peer's text, which throws; whether the answer came from this thread or
// from another, that must neither end the process nor leave the client without an answer.
TEST_F(HttpRouterTest, WhatAResponseHookThrowsIs500) {
    std::thread worker;
    router().use([](const HttpRequest&, HttpResponder responder, const HttpNext& next) {
        responder.onResponse([](HttpResponse& response) { response.header("X", "a\r\nb"); });
        next(std::move(responder));
    });
    router().get("/sync", named("never"));
    router().get("/thread", [&worker](const HttpRequest&, HttpResponder responder) {
        worker = std::thread(
            [responder = std::move(responder)]() mutable { responder.respond(HttpResponse::text("never")); });
    });
    router().get("/stream", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(200));
        writer.write("never");
        writer.finish();
    });
    EXPECT_EQ(get("/sync").status, 500);
    EXPECT_EQ(get("/stream").status, 500);
    const auto peer = connect();
    peer->feed(getRequest("/thread"));
    const Replies replies = awaitReplies(*peer, 1);
    worker.join();
    EXPECT_EQ(replies[0].status, 500);
    EXPECT_TRUE(log().contains("header X"));
}

TEST_F(HttpRouterTest, TheOutermostMiddlewareSeesWhatNoRouteAnswers) {
    std::vector<std::string> trace;
    router().use(tracing("outer", trace));
    HttpRouter api = router().group("/api");
    api.use(tracing("api", trace));
    api.get("/a", named("a"));
    const auto traced = [&trace](int status) {
        const bool same =
            trace == std::vector<std::string>{"in outer", "out outer " + std::to_string(status)};
        trace.clear();
        return same;
    };
    EXPECT_EQ(get("/api/none").status, 404);
    EXPECT_TRUE(traced(404));
    const Reply refused = askOne(requestOf("PUT", "/api/a"));
    EXPECT_EQ(refused.status, 405);
    EXPECT_EQ(refused.header("Allow"), "GET, HEAD, OPTIONS");
    EXPECT_TRUE(traced(405));
    EXPECT_EQ(askOne(requestOf("OPTIONS", "/api/a")).status, 204);
    EXPECT_TRUE(traced(204));
    EXPECT_EQ(askOne(requestOf("OPTIONS", "*")).status, 204);
    EXPECT_TRUE(traced(204));
    EXPECT_EQ(get("/api/%zz").status, 400);
    EXPECT_TRUE(traced(400));
}

}  // namespace
}  // namespace tnet
