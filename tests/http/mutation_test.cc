// Requests that something has happened to: whatever comes, there is an answer, a wait, or a close, and the
// server lives. Seeded, so that what fails once fails again; under the sanitizers it is a small fuzzer.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/uri.h"
#include "tests/http/hostile_requests.h"
#include "tests/http/http_fixture.h"

namespace tnet {
namespace {

using namespace std::string_view_literals;

using Random = std::minstd_rand;

size_t below(Random& random, size_t limit) { return random() % limit; }

// Bytes that mean something in HTTP come more often than the others.
char someByte(Random& random) {
    constexpr std::string_view kTelling = "\r\n \t:;,/?#%.*\"=0159aAfFxX\0\x7F\xFF-"sv;
    if (below(random, 4) != 0) return kTelling[below(random, kTelling.size())];
    return static_cast<char>(below(random, 256));
}

void mutate(std::string& bytes, Random& random) {
    const size_t at = below(random, bytes.size() + 1);
    const size_t length = std::min(below(random, 20) + 1, bytes.size() - at);
    switch (below(random, 6)) {
        case 0:
            if (at < bytes.size()) bytes[at] = someByte(random);
            break;
        case 1: bytes.insert(at, 1, someByte(random)); break;
        case 2: bytes.erase(at, length); break;
        case 3: bytes.insert(below(random, bytes.size() + 1), bytes.substr(at, length)); break;
        case 4:
            if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
            break;
        default: bytes.resize(at); break;
    }
}

class HttpMutationTest : public HttpTest {
protected:
    HttpMutationTest() {
        limits().headerBytes = 2048;
        limits().requestLineBytes = 1024;
        limits().headerCount = 20;
        limits().bodyBytes = 4096;
        limits().highWaterBytes = 2048;
        router().any("/echo", [](const HttpRequest& request) {
            HttpResponse response = HttpResponse::text(std::string(request.body()));
            for (size_t i = 0; i < request.trailers().size(); ++i) {
                response.headers().add("X-" + std::string(request.trailers()[i].name),
                                       request.trailers()[i].value);
            }
            return response;
        });
        router().get("/hello/:name", [](const HttpRequest& request) {
            return HttpResponse(200).header("X-Name", percentEncode(request.param("name")));
        });
        router().get("/files/*path", [](const HttpRequest& request) {
            return HttpResponse::text(std::string(request.param("path")) +
                                      request.queryParam("q").value_or(""));
        });
        router().get("/stream", [](const HttpRequest&, HttpResponder responder) {
            HttpBodyWriter writer = responder.stream(HttpResponse(200));
            for (int i = 0; i < 3; ++i) writer.write("piece");
            writer.finish();
        });
        router().post(
            "/upload",
            [](const HttpRequest&, HttpResponder responder) {
                auto shared = std::make_shared<HttpResponder>(std::move(responder));
                auto body = std::make_shared<std::string>();
                shared->readBody([shared, body](std::string_view piece, bool last) {
                    body->append(piece);
                    if (last) shared->respond(HttpResponse::text(*body));
                });
            },
            HttpRouteOptions{std::nullopt, true});
        router().upgrade("/up", "echo", [](const HttpRequest&, HttpResponder responder) {
            responder.upgrade(HttpResponse(101), [](const ConnectionPtr_t& connection) {
                connection->setEventCallback([](const ConnectionPtr_t&, ConnEvent, const void*) {});
            });
        });
    }

    static std::vector<std::string> seeds() {
        const std::string chunked =
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nSum: 7\r\n\r\n";
        std::vector<std::string> list = {
            getRequest("/hello/you?x=1") + getRequest("/files/a/b%20c?q=%41"),
            postRequest("/echo", "a body", "Expect: 100-continue\r\nX-A: b\r\n") + getRequest("/hello/next"),
            chunked + headRequest("/hello/x") + chunked,
            "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
                getRequest("/stream"),
            postRequest("/upload", "0123456789") +
                getRequest("/up", "Connection: upgrade\r\nUpgrade: echo\r\n") + "behind",
            "GET http://a.example/files/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\nOPTIONS * "
            "HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        for (const HostileRequest& row : unusualButValidRequests()) {
            if (row.bytes.size() < 2000) list.push_back(row.bytes);
        }
        return list;
    }

    // The connection got all of `bytes`: what it wrote is whole replies, and if nothing was refused it is
    // still there.
    void run(std::string_view bytes, size_t fragment, bool ends) {
        const size_t before = accesses().size();
        const auto peer = connect();
        peer->feed(bytes, fragment);
        if (ends) peer->feedEnd();
        const std::string written = peer->collect();
        const size_t upgraded = written.find("HTTP/1.1 101");
        std::vector<size_t> heads;
        for (size_t i = before; i < accesses().size(); ++i) {
            if (accesses()[i].method == HttpMethod::Head) heads.push_back(i - before);
        }
        const Replies replies = parseReplies(written.substr(0, upgraded), heads);
        ASSERT_TRUE(replies.isClean())
            << replies << "\nafter " << ::testing::PrintToString(std::string(bytes));
        for (const int status : replies.statuses()) {
            ASSERT_TRUE(status == 100 || (status >= 200 && status < 600)) << status;
            ASSERT_NE(status, 500) << ::testing::PrintToString(std::string(bytes)) << log().text();
        }
        if (ends && upgraded == std::string::npos) {
            ASSERT_TRUE(peer->isEnded());
        }
    }
};

TEST_F(HttpMutationTest, MutatedRequestsAreAnsweredOrRefused) {
    const std::vector<std::string> originals = seeds();
    Random random(20240229);
    for (int i = 0; i < (ScriptedPeer::isSecure() ? 1500 : 6000); ++i) {
        std::string bytes = originals[below(random, originals.size())];
        for (size_t n = below(random, 4) + 1; n > 0; --n) mutate(bytes, random);
        const size_t fragment = below(random, 3) == 0 ? ScriptedPeer::kWhole : below(random, 40) + 1;
        run(bytes, fragment, below(random, 2) == 0);
        if (HasFatalFailure()) return;
    }
    EXPECT_EQ(askOne(getRequest("/hello/alive")).header("X-Name"), "alive");
}

TEST_F(HttpMutationTest, NoiseIsRefused) {
    Random random(7);
    for (int i = 0; i < (ScriptedPeer::isSecure() ? 500 : 2000); ++i) {
        std::string bytes;
        for (size_t n = below(random, 300) + 1; n > 0; --n) bytes += someByte(random);
        run(bytes, below(random, 20) + 1, true);
        if (HasFatalFailure()) return;
    }
}

TEST_F(HttpMutationTest, EveryPrefixOfARequestIsWaitedFor) {
    const size_t step = ScriptedPeer::isSecure() ? 7 : 1;
    for (const std::string& original : seeds()) {
        for (size_t size = 0; size < original.size() && size < 400; size += step) {
            run(std::string_view(original).substr(0, size), ScriptedPeer::kWhole, false);
            if (HasFatalFailure()) return;
        }
    }
}

}  // namespace
}  // namespace tnet
