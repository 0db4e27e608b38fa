// HttpConnection, with all of HTTP around it: the fuzzer decides what the peer, the kernel, the clock and the user do.
//
//     input: commands, those of Wire and
//     u calls    the user does to the request that he kept first what the letters say
//     k          the user drops all that he kept
//     D          the server drains
//
// A request to /do?calls, /up?calls (body in pieces) or /ws?calls (an upgrade) is handled by calls, too.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/request.h"
#include "http/responder.h"
#include "http/response.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/wire.h"
#include "tests/http/http_fixture.h"
#include "tests/http/replies.h"
#include "tests/support/scripted_peer.h"
#include "tnet/conn_checker.h"
#include "tnet/connection.h"
#include "tnet/stack_buffer.h"

namespace tnet {
namespace {

class Session final : public HttpTest {
public:
    Session() {
        limits().headerBytes = 1024;
        limits().requestLineBytes = 512;
        limits().headerCount = 20;
        limits().bodyBytes = 512;
        limits().highWaterBytes = 1024;
        const auto handler = [this](const HttpRequest& request, HttpResponder responder) {
            const std::string calls(request.query());
            Kept exchange{std::move(responder), {}};
            call(exchange, calls);
        };
        router().any("/do", handler);
        router().any("/up", handler, HttpRouteOptions{std::nullopt, true});
        router().upgrade("/ws", "echo", handler);
        router().get("/sync", [](const HttpRequest&) { return HttpResponse::text("now"); });
        m_peer = connect();
        m_wire = std::make_unique<Wire>(*m_peer, clock());
    }

    void run(FuzzInput input) {
        while (!input.empty()) {
            const std::string_view command = input.command();
            if (!command.empty()) perform(command.front(), command.substr(1));
        }
        dropKept();
        m_wire->finish();
        EXPECT_EQ(m_openUpgrades, 0) << "an upgraded connection closed without Conn_CloseEvent";
        check();
    }

private:
    struct Kept {
        HttpResponder responder;
        HttpBodyWriter writer;
    };

    void TestBody() override {}

    void perform(char letter, std::string_view argument) {
        if (m_wire->command(letter, argument)) return;
        switch (letter) {
            case 'u': callKept(argument); break;
            case 'k': dropKept(); break;
            case 'D': drain(); break;
            default: break;
        }
    }

    void dropKept() { const auto dropped = std::exchange(m_kept, {}); }

    void callKept(std::string_view calls) {
        if (m_kept.empty()) return;
        Kept first = std::move(m_kept.front());
        m_kept.pop_front();
        try {
            call(first, calls);
        } catch (const std::runtime_error&) {
            // Outside of handlers what the user throws is the user's to catch.
        }
    }

    void drain() {
        if (m_checker) return;
        m_checker = std::move(*ConnChecker::create(loop(), {}));
        service().onDrain(*m_checker);
    }

    // What is not kept is dropped at the end. Letters behind 'k' are not looked at.
    void call(Kept& exchange, std::string_view calls) {
        auto& [responder, writer] = exchange;
        for (const char letter : calls.substr(0, 32)) {
            switch (letter) {
                case 'r': responder.respond(HttpResponse::text("answer")); break;
                case 'R': responder.respond(HttpResponse(200).setBody(std::string(3000, 'R'))); break;
                case 'n': responder.respond(HttpResponse(204)); break;
                case 's': begin(exchange, HttpResponse(200)); break;
                case 'l': begin(exchange, HttpResponse(200).header("Content-Length", "10")); break;
                case 'w': writer.write("piece"); break;
                case 'W': writer.write(std::string(1500, 'W')); break;
                case 'f': writer.finish(); break;
                case 'F': writer.finish(trailers()); break;
                case 'd': writer.onDrain([this] { callKept("wk"); }); break;
                case 'D': writer.onDrain([this] { callKept("wf"); }); break;
                case 'g': responder.onClientGone([this] { callKept("rwk"); }); break;
                case 'G': responder.onClientGone([this] { dropKept(); }); break;
                case 'h': responder.onResponse([](HttpResponse& r) { r.header("X-Hook", "1"); }); break;
                case 'H':
                    responder.onResponse([](HttpResponse&) { throw std::runtime_error("hook"); });
                    break;
                case 'b':
                    responder.readBody([this](std::string_view piece, bool) { m_bodyBytes += piece.size(); });
                    break;
                case 'a':
                    responder.readBody([this](std::string_view, bool last) { callKept(last ? "r" : "pPk"); });
                    break;
                case 'B':
                    responder.readBody([](std::string_view, bool) { throw std::runtime_error("body"); });
                    break;
                case 'p': responder.pauseBody(), writer.pauseBody(); break;
                case 'P': responder.resumeBody(), writer.resumeBody(); break;
                case 'u': upgrade(responder); break;
                case 'C': m_peer->connection()->close(); break;
                case 'A': m_peer->connection()->abort(); break;
                case 'S': m_peer->connection()->shutDown(); break;
                case 't': throw std::runtime_error("handler");
                case 'k': m_kept.push_back(std::move(exchange)); return;
                default: break;
            }
        }
    }

    static void begin(Kept& exchange, HttpResponse head) {
        // Another one is dropped by it: an answer that is not complete breaks off.
        exchange.writer = exchange.responder.stream(std::move(head));
    }

    static HttpHeaders trailers() {
        HttpHeaders fields;
        fields.add("X-Sum", "1");
        return fields;
    }

    void upgrade(HttpResponder& responder) {
        responder.upgrade(HttpResponse(101), [this](const ConnectionPtr_t& connection) {
            ++m_openUpgrades;
            connection->setEventCallback(
                [this](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                    EXPECT_EQ(m_openUpgrades, 1) << "an event behind Conn_CloseEvent";
                    if (event == Conn_CloseEvent) --m_openUpgrades;
                    if (event == Conn_ReadEvent) c->send("echo");
                    if (event == Conn_ReadEvent) answer(*c, static_cast<const StackBuffer*>(context)->view());
                });
        });
    }

    void answer(Connection& connection, std::string_view bytes) {
        switch (bytes.empty() ? ' ' : bytes.front()) {
            case 'C': connection.close(); break;
            case 'S': connection.shutDown(); break;
            case 'W': connection.shutDownWrite(); break;
            case 'P':  // not for ever: the peer's end is noticed behind it only
                connection.pauseReading();
                loop()->runAfter(std::chrono::seconds(1),
                                 [kept = connection.shared_from_this()] { kept->resumeReading(); });
                break;
            case 'O':  // another one takes over
                connection.setEventCallback([this](const ConnectionPtr_t&, ConnEvent event, const void*) {
                    if (event == Conn_CloseEvent) --m_openUpgrades;
                });
                break;
            default: break;
        }
    }

    // What was written is whole replies, in order; the last may be broken off, if the connection was.
    void check() {
        const std::string& written = m_wire->written();
        const size_t upgraded = std::min(written.find("HTTP/1.1 101"), written.size());
        std::vector<size_t> heads;
        for (size_t i = 0; i < accesses().size(); ++i) {
            if (accesses()[i].method == HttpMethod::Head) heads.push_back(i);
        }
        const Replies replies = parseReplies(std::string_view(written).substr(0, upgraded), heads);
        EXPECT_EQ(replies.problem, "") << replies;
        size_t finals = 0;
        bool isLast = false;
        for (const Reply& reply : replies.all) {
            EXPECT_FALSE(isLast) << "a reply behind the one that closes\n" << replies;
            EXPECT_TRUE(reply.status == 100 || (reply.status >= 200 && reply.status < 600));
            if (reply.status >= 200) ++finals;
            isLast = reply.header("Connection") == "close";
        }
        EXPECT_LE(finals, requests());
    }

    // At most: each has a version but one that is refused.
    size_t requests() const {
        size_t count = 1;
        const std::string& sent = m_wire->sent();
        for (size_t at = sent.find("HTTP/"); at != std::string::npos; at = sent.find("HTTP/", at + 1))
            ++count;
        return count;
    }

    std::unique_ptr<ScriptedPeer> m_peer{};
    std::unique_ptr<Wire> m_wire{};
    std::unique_ptr<ConnChecker> m_checker{};
    std::deque<Kept> m_kept{};
    size_t m_bodyBytes = 0;
    int m_openUpgrades = 0;
};

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const tnet::FuzzInput input(data, size);
    tnet::Session().run(input);
    return 0;
}
