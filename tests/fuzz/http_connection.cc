// HttpConnection, with all of HTTP around it: the fuzzer decides what the peer, the kernel, the clock and the
// user do.
//
//     input: commands, those of Wire and
//     u calls    the user does to the request that he kept first what the letters say
//     k          the user drops all that he kept
//     D          the server drains
//     W          the peer will not end its direction: deadlines must do
//
// A request to /do?calls, /up?calls (body in pieces) or /ws?calls (an upgrade) is handled by calls, too.
//
// What has to hold, beside that nothing crashes: each request that the parser alone finds in the bytes is handled at
// most once, whole, and answered in its place; who says close, closes, and nobody else; as long as nothing has been
// done to the connection, all are answered; an upgraded connection gets what follows, all of it, in order; and
// whatever a peer does not do, the connection is closed in the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/request.h"
#include "http/responder.h"
#include "http/response.h"
#include "http/types.h"
#include "tests/fuzz/expected_requests.h"
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

constexpr int kMostPauses = 8;

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
            Kept exchange(*this, note(request), std::move(responder));
            call(exchange, calls);
        };
        router().any("/do", handler);
        router().any("/up", handler, HttpRouteOptions{std::nullopt, true});
        router().upgrade("/ws", "echo", handler);
        router().get("/sync", [this](const HttpRequest& request) {
            return answerTo(note(request), HttpResponse::text("now"));
        });
        m_peer = connect();
        m_wire = std::make_unique<Wire>(*m_peer, clock());
    }

    void run(FuzzInput input) {
        while (!input.empty()) {
            const std::string_view command = input.command();
            if (!command.empty()) perform(command.front(), command.substr(1));
        }
        const bool isRead = !m_waits;
        if (m_waits) outlastHandlers();
        do {
            dropKept();
            isRead ? m_wire->readAll() : m_wire->collect();
        } while (!m_kept.empty());
        if (isRead || m_openUpgrades > 0) {
            m_wire->readAll();
            m_expected = expectedRequests(m_wire->sent(), limits());
            checkProgress();
            m_wire->finish(Wire::Peer::Ends);
        } else {
            m_wire->finish(Wire::Peer::StaysSilent);
            m_expected = expectedRequests(m_wire->sent(), limits());
        }
        EXPECT_EQ(m_openUpgrades, 0) << "an upgraded connection closed without Conn_CloseEvent";
        check();
    }

private:
    // A handler's handles, until it answers or drops them.
    struct Kept {
        Kept(Session& session, size_t number, HttpResponder&& handle)
            : owner(&session), request(number), responder(std::move(handle)) {}
        Kept(Kept&&) = default;
        Kept& operator=(Kept&&) = delete;
        ~Kept() {
            if (writer.isOpen()) owner->m_isDisturbed = true;  // breaks off
        }

        Session* owner;
        size_t request;  // which of the connection's
        HttpResponder responder;
        HttpBodyWriter writer{};
    };

    // A request as its handler saw it.
    struct Handled {
        HttpMethod method;
        std::string target;
        std::string body;
        std::string pieces{};  // of it, if it was read so
        bool isWhole = false;  // the last of them was among them
    };

    void TestBody() override {}

    void perform(char letter, std::string_view argument) {
        // From here on requests may be left unanswered, and connections closed.
        if (std::string_view("aerzCSAD").find(letter) != std::string_view::npos) m_isDisturbed = true;
        if (std::string_view("aD").find(letter) != std::string_view::npos) m_mayBeLate = true;
        if (letter == 'e') m_hasEnded = true;
        if (m_wire->command(letter, argument)) return;
        switch (letter) {
            case 'u': callKept(argument); break;
            case 'k': dropKept(); break;
            case 'D': drain(); break;
            case 'W': m_waits = true; break;
            default: break;
        }
    }

    void dropKept() { const auto dropped = std::exchange(m_kept, {}); }

    // Whoever has not even begun to answer by then is answered for.
    void outlastHandlers() {
        m_isDisturbed = true;
        m_mayBeLate = true;
        m_wire->collect();  // closed it may be already, and not have said so
        m_wire->outlast();
        for (const Kept& kept : m_kept) EXPECT_FALSE(kept.responder.isOpen()) << kept.request;
    }

    void callKept(std::string_view calls) {
        if (m_kept.empty()) return;
        Kept first(std::move(m_kept.front()));
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

    // The number of the request: those before it have been answered.
    size_t note(const HttpRequest& request) {
        const size_t number = accesses().size();
        const bool isFirst = m_handled
                                 .emplace(number, Handled{request.method(), std::string(request.target()),
                                                          std::string(request.body())})
                                 .second;
        EXPECT_TRUE(isFirst) << "handled twice: " << request.target();
        return number;
    }

    void notePiece(size_t number, std::string_view piece, bool last) {
        Handled& handled = m_handled.at(number);
        EXPECT_FALSE(handled.isWhole) << "a piece of a body behind its last";
        handled.pieces += piece;
        handled.isWhole = last;
    }

    static HttpResponse answerTo(size_t number, HttpResponse response) {
        return std::move(response.header("X-Request", std::to_string(number)));
    }

    // What is not kept is dropped at the end. Letters behind 'k' are not looked at.
    void call(Kept& exchange, std::string_view calls) {
        HttpResponder& responder = exchange.responder;
        HttpBodyWriter& writer = exchange.writer;
        const size_t number = exchange.request;
        const auto answer = [number](HttpResponse response) { return answerTo(number, std::move(response)); };
        for (const char letter : calls.substr(0, 32)) {
            switch (letter) {
                case 'r': responder.respond(answer(HttpResponse::text("answer"))); break;
                case 'R': responder.respond(answer(HttpResponse(200).setBody(std::string(3000, 'R')))); break;
                case 'n': responder.respond(answer(HttpResponse(204))); break;
                case 's': begin(exchange, answer(HttpResponse(200))); break;
                case 'l':
                    m_isDisturbed = true;  // unless it is as long as that
                    begin(exchange, answer(HttpResponse(200).header("Content-Length", "10")));
                    break;
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
                    responder.readBody([this, number](std::string_view piece, bool last) {
                        notePiece(number, piece, last);
                    });
                    break;
                case 'a':
                    responder.readBody([this, number](std::string_view piece, bool last) {
                        notePiece(number, piece, last);
                        callKept(last ? "r" : "pPk");
                    });
                    break;
                case 'B':
                    responder.readBody([this, number](std::string_view piece, bool last) {
                        notePiece(number, piece, last);
                        m_isDisturbed = true;
                        throw std::runtime_error("body");
                    });
                    break;
                case 'x':
                    responder.readBody([this, number](std::string_view piece, bool last) {
                        notePiece(number, piece, last);
                        m_isDisturbed = true;
                        callKept("r");
                        throw std::runtime_error("behind the answer");
                    });
                    break;
                case 'p': responder.pauseBody(), writer.pauseBody(); break;
                case 'P': responder.resumeBody(), writer.resumeBody(); break;
                case 'u': upgrade(exchange); break;
                case 'C': disturbed().close(); break;
                case 'A': disturbed().abort(); break;
                case 'S': disturbed().shutDown(); break;
                case 't': throw std::runtime_error("handler");
                case 'k': m_kept.push_back(std::move(exchange)); return;
                default: break;
            }
        }
    }

    Connection& disturbed() {
        m_isDisturbed = true;
        return *m_peer->connection();
    }

    void begin(Kept& exchange, HttpResponse head) {
        // Another one is dropped by it: an answer that is not complete breaks off.
        if (exchange.writer.isOpen()) m_isDisturbed = true;
        exchange.writer = exchange.responder.stream(std::move(head));
    }

    static HttpHeaders trailers() {
        HttpHeaders fields;
        fields.add("X-Sum", "1");
        return fields;
    }

    void upgrade(Kept& exchange) {
        exchange.responder.upgrade(
            HttpResponse(101), [this, number = exchange.request](const ConnectionPtr_t& connection) {
                ++m_openUpgrades;
                m_upgradedBy = number;
                connection->setEventCallback(
                    [this](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                        if (!onUpgraded(event, context)) return;
                        c->send("echo");
                        answer(*c, static_cast<const StackBuffer*>(context)->view());
                    });
            });
    }

    // True: it has read something.
    bool onUpgraded(ConnEvent event, const void* context) {
        EXPECT_EQ(m_openUpgrades, 1) << "an event behind Conn_CloseEvent";
        if (event == Conn_CloseEvent) --m_openUpgrades;
        if (event != Conn_ReadEvent) return false;
        m_upgradedBytes += static_cast<const StackBuffer*>(context)->view();
        return true;
    }

    void answer(Connection& connection, std::string_view bytes) {
        switch (bytes.empty() ? ' ' : bytes.front()) {
            case 'C': disturbed().close(); break;
            case 'S': disturbed().shutDown(); break;
            case 'W': connection.shutDownWrite(); break;
            case 'P':  // not for ever, nor again and again: the peer's end is noticed behind it only
                if (++m_pauses > kMostPauses) break;
                disturbed().pauseReading();
                loop()->runAfter(std::chrono::seconds(1),
                                 [kept = connection.shared_from_this()] { kept->resumeReading(); });
                break;
            case 'O':  // another one takes over
                connection.setEventCallback([this](const ConnectionPtr_t&, ConnEvent event,
                                                   const void* context) { onUpgraded(event, context); });
                break;
            default: break;
        }
    }

    Replies replies() const {
        const std::string& written = m_wire->written();
        const size_t upgraded = std::min(written.find("HTTP/1.1 101"), written.size());
        std::vector<size_t> heads;
        for (size_t i = 0; i < accesses().size(); ++i) {
            if (accesses()[i].method == HttpMethod::Head) heads.push_back(i);
        }
        return parseReplies(std::string_view(written).substr(0, upgraded), heads);
    }

    // All handles are gone and the peer has read everything, and nothing was done to the connection: there is
    // nothing left to wait for but what the peer has not sent.
    void checkProgress() const {
        if (m_isDisturbed) return;
        if (m_upgradedBy) {
            const size_t begin = m_expected.at(*m_upgradedBy).end;
            EXPECT_EQ(m_upgradedBytes.size(), m_wire->sent().size() - begin) << "bytes were lost";
            return;
        }
        const Replies written = replies();
        // What is refused when its answer has begun breaks that off.
        const bool isRefused = !m_expected.empty() && m_expected.back().isRefused;
        if (isRefused && written.problem.empty() && m_peer->isEnded()) return;
        EXPECT_TRUE(written.isClean()) << written;
        const bool saysClose = written.size() > 0 && written.all.back().header("Connection") == "close";
        EXPECT_EQ(m_peer->isEnded(), saysClose) << written;
        if (saysClose) return;
        size_t answered = 0;
        for (const ExpectedRequest& request : m_expected) {
            EXPECT_FALSE(request.isRefused) << written;
            if (request.isComplete) ++answered;
        }
        EXPECT_EQ(written.finalStatuses().size(), answered) << written;
    }

    void check() const {
        checkHandled();
        const Replies written = replies();
        EXPECT_EQ(written.problem, "") << written;
        size_t number = 0;
        size_t continues = 0;
        bool isLast = false;
        for (const Reply& reply : written.all) {
            SCOPED_TRACE(testing::Message() << "reply to request " << number << "\n" << written);
            EXPECT_FALSE(isLast) << "a reply behind the one that closes";
            ASSERT_LT(number, m_expected.size()) << "a reply to nothing";
            const ExpectedRequest& request = m_expected[number];
            if (reply.status == 100) {
                EXPECT_TRUE(request.expectsContinue && ++continues == 1);
                continue;
            }
            checkReply(reply, request, number);
            isLast = reply.header("Connection") == "close";
            continues = 0;
            ++number;
        }
    }

    void checkReply(const Reply& reply, const ExpectedRequest& request, size_t number) const {
        EXPECT_TRUE(reply.status >= 200 && reply.status < 600);
        if (reply.has("X-Request")) {
            EXPECT_EQ(reply.header("X-Request"), std::to_string(number)) << "out of order";
        } else {
            EXPECT_NE(reply.status, 200);
        }
        const bool closes = reply.header("Connection") == "close";
        EXPECT_TRUE(request.hasHead || (reply.status >= 400 && closes));
        EXPECT_TRUE((request.isComplete && request.keepsAlive) || closes);
        if (m_mayBeLate) return;
        EXPECT_NE(reply.status, 408);
        EXPECT_NE(reply.status, 503);
        EXPECT_TRUE(request.isRefused || reply.status != 413);
        const bool isWholeWhenHandled = request.target.starts_with("/do") || request.target == "/sync";
        // In HTTP/1.0 a streamed answer ends with the connection. A client that has ended its direction is
        // told the last.
        if (!m_hasEnded && request.isHttp11 && request.isComplete && request.keepsAlive &&
            isWholeWhenHandled && reply.status < 400) {
            EXPECT_FALSE(closes) << "without need";
        }
    }

    void checkHandled() const {
        EXPECT_LE(accesses().size(), m_expected.size());
        for (const auto& [number, handled] : m_handled) {
            ASSERT_LT(number, m_expected.size()) << "handled, and nobody has sent it: " << handled.target;
            const ExpectedRequest& request = m_expected[number];
            EXPECT_EQ(handled.target, request.target);
            EXPECT_EQ(handled.method, request.method);
            const bool isWhole = request.isComplete && handled.body == request.body;
            EXPECT_TRUE(isWhole || request.target.starts_with("/up")) << handled.target;
            EXPECT_TRUE(request.body.starts_with(handled.pieces)) << "pieces of another body";
            EXPECT_TRUE(!handled.isWhole || (request.isComplete && handled.pieces == request.body));
        }
        if (!m_upgradedBy) return;
        const size_t begin = m_expected.at(*m_upgradedBy).end;
        EXPECT_TRUE(std::string_view(m_wire->sent()).substr(begin).starts_with(m_upgradedBytes));
    }

    std::unique_ptr<ScriptedPeer> m_peer{};
    std::unique_ptr<Wire> m_wire{};
    std::unique_ptr<ConnChecker> m_checker{};
    std::deque<Kept> m_kept{};
    std::map<size_t, Handled> m_handled{};  // by number
    std::vector<ExpectedRequest> m_expected{};
    std::optional<size_t> m_upgradedBy{};  // the number of the request
    std::string m_upgradedBytes{};
    int m_openUpgrades = 0;
    int m_pauses = 0;
    bool m_isDisturbed = false;  // requests may be left unanswered
    bool m_mayBeLate = false;    // time has passed, or the server drains
    bool m_hasEnded = false;     // the client its direction, before it had all answers
    bool m_waits = false;        // the peer, in the end
};

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const tnet::FuzzInput input(data, size);
    tnet::Session().run(input);
    return 0;
}
