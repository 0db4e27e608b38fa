// WsServer and WsConnection, with all of HTTP around them: the fuzzer decides what the peer, the kernel, the
// clock and the user do.
//
//     input: the route's and the offer's flags in a byte, then commands, those of Wire and
//     t, p, m    a whole frame of the peer, masked: text, ping, first byte and payload
//     i first    as m, and the payload is compressed
//     u calls    the user does what the letters say; so he does for the text of each message, in its handler
//     O number   so many bytes of what another client of the same route sends all the time, wherever that cuts them
//     D          the server drains
//     W          the peer will not end its direction: deadlines must do
//
// What has to hold, beside that nothing crashes: handlers get the messages that the receiver alone finds in
// all bytes, whole, in order, and none behind a close; pings are answered in order; what send accepts arrives
// in order; a close is answered with its code; as long as nothing has been done to the connection, all of
// that is complete; and whatever a peer does not do, the connection is closed in the end. The other client's
// messages come whole and in order whatever happens to this connection: they share receivers, buffers and a
// loop.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/wire.h"
#include "tests/http/replies.h"
#include "tests/support/scripted_peer.h"
#include "tests/websocket/ws_fixture.h"
#include "tnet/conn_checker.h"
#include "websocket/connection.h"
#include "websocket/deflate.h"
#include "websocket/receiver.h"
#include "websocket/route.h"
#include "websocket/types.h"

namespace tnet {
namespace {

class Session final : public WsTest {
public:
    explicit Session(uint8_t flags)
        : m_isCompressed((flags & 1) != 0),
          m_mayDrop((flags >> 4 & 3) != 0),
          m_inPiecesRead((flags & 128) != 0) {
        ws().route("/", route(flags));
        m_peer = connect();
        m_wire = std::make_unique<Wire>(*m_peer, clock());
        const std::string request = upgradeRequest("/", (flags & 1) != 0 ? kOffer : "");
        m_wire->command('f', request);
        m_wire->collect();
        m_other = connect();
        m_other->feed(request);
        m_other->collect();
        for (int i = 0; i < 18; ++i) m_othersText += clientFrame(WsOpcode::Text, othersMessage(i));
    }

    void run(FuzzInput input) {
        while (!input.empty()) {
            const std::string_view command = input.command();
            if (!command.empty()) perform(command.front(), command.substr(1));
        }
        // Nothing has a deadline as long as the user does not want to read.
        do {
            call("R");
            m_wire->collect();
        } while (m_isPaused && m_connection);
        if (m_connection && m_inPieces) sendPiece(true);  // what else is sent waits for it
        if (m_waits && !m_isPaused) {
            m_wire->finish(Wire::Peer::StaysSilent);
        } else {
            m_wire->readAll();
            checkProgress();
            // Nobody will read from it any more, and the peer's end is behind what it sent.
            if (m_isPaused) m_wire->advance(std::chrono::hours(2));
            m_wire->finish(Wire::Peer::Ends);
        }
        EXPECT_EQ(m_opens, m_closes);
        finishOther();
        EXPECT_EQ(ws().connections(), 0U);
        call("smeptTgCA");  // it is inert
        check();
    }

private:
    static constexpr std::string_view kOffer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

    void TestBody() override {}

    WsRoute route(uint8_t flags) {
        WsRoute route;
        route.maxMessageBytes = 600;
        route.maxFrameBytes = 500;
        route.maxFragments = 5;
        route.maxMessagesPerSecond = 20;
        route.maxQueuedBytes = 4096;
        route.highWaterBytes = 512;
        route.overflow = static_cast<WsOverflow>(flags >> 4 & 3);
        route.compression = static_cast<WsCompression>((flags >> 2 & 3) % 3);
        route.compressFromBytes = 4;
        route.keepRequest = (flags & 64) != 0;
        const bool isForgotten = (flags & 192) == 64;
        route.onOpen = [this, isForgotten](const WsConnectionPtr_t& connection) {
            if (m_other) return void(m_othersConnection = connection);
            EXPECT_EQ(++m_opens, 1);
            m_connection = connection;
            if (isForgotten) call("sTd");
        };
        const auto handle = [this](const WsConnectionPtr_t& connection, std::string_view text) {
            EXPECT_EQ(m_closes, 0) << "a message behind onClose";
            EXPECT_TRUE(connection->isOpen()) << "a message behind close";
            call(text);
        };
        const auto receive = [this, handle](const WsConnectionPtr_t& connection, std::string_view text) {
            EXPECT_FALSE(m_isPaused) << "a message while reading is paused";
            handle(connection, text);
        };
        if (m_inPiecesRead) {
            route.onPiece = [this, receive](const WsConnectionPtr_t& connection, std::string_view text,
                                            WsOpcode, bool last) {
                if (connection == m_othersConnection) return takeOthers(text, last);
                m_piece += text;
                if (last) m_messages.push_back(std::exchange(m_piece, {}));
                receive(connection, text);
            };
        } else {
            route.onMessage = [this, receive](const WsConnectionPtr_t& connection, std::string_view text,
                                              WsOpcode) {
                if (connection == m_othersConnection) return takeOthers(text, true);
                m_messages.emplace_back(text);
                receive(connection, text);
            };
        }
        route.onPong = receive;
        route.onDrain = [handle](const WsConnectionPtr_t& connection) { handle(connection, "s"); };
        route.onClose = [this, flags](const WsConnectionPtr_t& connection, WsCloseCode, std::string_view) {
            if (connection == m_othersConnection) return;
            EXPECT_EQ(++m_closes, m_opens);
            EXPECT_EQ(connection->send("late"), WsSendStatus::Closed);
            call((flags & 1) != 0 ? "sTcAd" : "sTcA");
        };
        return route;
    }

    void perform(char letter, std::string_view argument) {
        // From here on messages may be lost, and the connection closed.
        if (std::string_view("aerzCSAD").find(letter) != std::string_view::npos) m_isDisturbed = true;
        if (m_wire->command(letter, argument)) return;
        const auto first = static_cast<uint8_t>(argument.empty() ? 0 : argument.front());
        const std::string_view behind = argument.substr(std::min<size_t>(1, argument.size()));
        switch (letter) {
            case 't': m_wire->command('f', clientFrame(WsOpcode::Text, argument)); break;
            case 'p': m_wire->command('f', clientFrame(WsOpcode::Ping, argument)); break;
            case 'm': m_wire->command('f', clientFrameOf(first, behind)); break;
            case 'i': m_wire->command('f', clientFrameOf(first, compressed(behind))); break;
            case 'u': try { call(argument);
                } catch (const std::runtime_error&) {
                    // Outside of handlers what the user throws is the user's to catch.
                }
                break;
            case 'O': feedOther(first); break;
            case 'D': drain(); break;
            case 'W': m_waits = true; break;
            default: break;
        }
    }

    // --- The other client ---

    static std::string othersMessage(int number) {
        return "other " + std::to_string(number) + std::string(static_cast<size_t>(number) * 17, 'o');
    }

    void feedOther(size_t bytes) {
        if (m_other->isEnded() || m_other->isClosed()) return;
        m_other->feed(std::string_view(m_othersText).substr(m_othersFed, bytes));
        m_othersFed += std::min(bytes, m_othersText.size() - m_othersFed);
    }

    void takeOthers(std::string_view text, bool last) {
        m_othersPiece += text;
        if (!last) return;
        EXPECT_EQ(m_othersPiece, othersMessage(m_othersMessages++));
        m_othersPiece.clear();
    }

    void finishOther() {
        m_other->collect();
        if (!m_other->isEnded() && !m_other->isClosed()) {
            size_t bytes = 0;
            int whole = 0;
            while (whole < 18 &&
                   (bytes += clientFrame(WsOpcode::Text, othersMessage(whole)).size()) <= m_othersFed)
                ++whole;
            // What comes after the Close that a drain sends is dropped (RFC 6455 §5.5.1).
            const bool hasDrained = m_checker != nullptr;
            EXPECT_TRUE(hasDrained ? m_othersMessages <= whole : m_othersMessages == whole)
                << m_othersMessages << " of " << whole;
            m_other->feedEnd();
            m_other->collect();
        }
        for (int i = 0; i < 100 && !m_other->isClosed(); ++i) {
            clock().advance(std::chrono::seconds(15));
            m_other->collect();
        }
        EXPECT_TRUE(m_other->isClosed());
    }

    std::string compressed(std::string_view message) {
        std::string payload;
        EXPECT_TRUE(m_deflater.deflate(message, true, payload));
        return payload;
    }

    void drain() {
        if (m_checker) return;
        m_checker = std::move(*ConnChecker::create(loop(), {}));
        service().onDrain(*m_checker);
    }

    void call(std::string_view calls) {
        if (!m_connection) return;
        WsConnection& connection = *m_connection;
        for (const char letter : calls.substr(0, 32)) {
            if (std::string_view("PcAX").find(letter) != std::string_view::npos) m_isDisturbed = true;
            switch (letter) {
                case 's': send("sent ", WsOpcode::Text); break;
                case 'L': send(std::string(1000, 'L'), WsOpcode::Binary); break;
                case 'k': note(connection.sendLatest("key", std::string(700, 'k'))); break;
                case 'm': m_inPieces = connection.beginMessage() || m_inPieces; break;
                case 'e': sendPiece(false); break;
                case 'E': sendPiece(true); break;
                case 'p': note(connection.ping("ping")); break;
                case 'b': connection.subscribe("topic/+"); break;
                case 'B': connection.unsubscribe("topic/+"); break;
                case 'T': connection.publish("topic/1", "published"); break;
                case 'P':
                    connection.pauseReading();
                    m_isPaused = true;
                    break;
                case 'R':
                    connection.resumeReading();
                    m_isPaused = false;
                    break;
                case 'c': connection.close(WsCloseCode::Normal, "done"); break;
                case 'A': connection.abort(); break;
                case 'd':
                    m_isDisturbed = m_isDisturbed || m_inPieces;
                    m_connection.reset();
                    return;
                case 'X': throw std::runtime_error("handler");
                default: break;
            }
        }
    }

    // A peer that is too slow is closed, or does not get all.
    void note(WsSendStatus status) {
        if (status == WsSendStatus::Closed || status == WsSendStatus::Dropped) m_isDisturbed = true;
    }

    // A message with a number behind its text.
    void send(std::string text, WsOpcode opcode) {
        text += '#' + std::to_string(m_sends++);
        const WsSendStatus status = m_connection->send(text, opcode);
        note(status);
        const bool isAccepted = status == WsSendStatus::Accepted || status == WsSendStatus::Queued;
        if (isAccepted) m_accepted.push_back(std::move(text));
    }

    // Not without beginMessage, which is asserted.
    void sendPiece(bool last) {
        if (!m_inPieces) return;
        note(m_connection->sendPiece("piece", last));
        m_inPieces = !last;
    }

    // What the receiver alone finds in all that was sent behind the request.
    struct Expected {
        std::vector<std::string> messages{};
        std::vector<std::string> pings{};
        std::optional<uint16_t> closeCode{};  // to be answered with
        size_t events = 0;                    // of which some count towards maxMessagesPerSecond
    };
    Expected expected() const {
        const std::string& sent = m_wire->sent();
        std::string bytes = sent.substr(std::min(sent.find("\r\n\r\n") + 4, sent.size()));
        WsReceiver receiver({WsRole::Server, false, 600, 500, 5, std::nullopt});
        Expected all;
        std::span<char> rest(bytes);
        for (;;) {
            switch (receiver.next(rest)) {
                case WsReceiver::Event::NeedMore: return all;
                case WsReceiver::Event::Message: all.messages.emplace_back(receiver.payload()); break;
                case WsReceiver::Event::Ping: all.pings.emplace_back(receiver.payload()); break;
                case WsReceiver::Event::Pong:
                case WsReceiver::Event::Part:
                case WsReceiver::Event::Piece: break;
                case WsReceiver::Event::Close: all.closeCode = receiver.close().code; return all;
                case WsReceiver::Event::Error:
                    all.closeCode = static_cast<uint16_t>(receiver.errorCode());
                    return all;
            }
            ++all.events;
        }
    }

    WsFrames frames() const {
        const std::string& written = m_wire->written();
        const size_t end = std::min(written.find("\r\n\r\n"), written.size());
        return parseFrames(std::string_view(written).substr(std::min(end + 4, written.size())));
    }

    // The numbered ones among the messages that were written, as the peer reads them.
    static std::vector<std::string> arrivedIn(const WsFrames& frames) {
        WsInflater inflater({});
        std::vector<std::string> arrived;
        for (const WsFrame& frame : frames.all) {
            if (isControl(frame.opcode) || frame.opcode == WsOpcode::Continuation || !frame.fin) continue;
            std::string text = frame.rsv1 ? inflated(inflater, frame.payload) : frame.payload;
            if (text.find('#') != std::string::npos) arrived.push_back(std::move(text));
        }
        return arrived;
    }

    static std::string inflated(WsInflater& inflater, std::string_view payload) {
        std::string text(4096, '\0');
        const WsInflater::Step step = inflater.inflate(payload, true, text.data(), text.size());
        EXPECT_EQ(step.state, WsInflater::State::MessageEnd);
        text.resize(step.written);
        return text;
    }

    // The peer has read everything, and nothing was done to the connection.
    void checkProgress() const {
        constexpr size_t kMostPerSecond = 20;
        if (m_isDisturbed || m_opens == 0) return;
        const WsFrames written = frames();
        EXPECT_TRUE(written.isClean()) << written;
        // A peer that closes, or has to be closed, does not get what waits.
        const bool mayLose = m_mayDrop || written.closeCode().has_value();
        EXPECT_TRUE(mayLose || arrivedIn(written) == m_accepted) << written;
        if (m_isCompressed) return;
        const Expected all = expected();
        if (all.events > kMostPerSecond) return;
        // Publications and pongs make a peer too slow, too.
        const auto tooSlow = static_cast<uint16_t>(WsCloseCode::PolicyViolation);
        if (written.closeCode() == tooSlow && all.closeCode != tooSlow) return;
        EXPECT_EQ(m_messages, all.messages);
        EXPECT_EQ(written.closeCode(), all.closeCode) << written;
        EXPECT_EQ(pongsIn(written), all.pings) << written;
        EXPECT_EQ(m_peer->isEnded(), all.closeCode.has_value());
    }

    static std::vector<std::string> pongsIn(const WsFrames& frames) {
        std::vector<std::string> pongs;
        for (const WsFrame& frame : frames.all) {
            if (frame.opcode == WsOpcode::Pong) pongs.push_back(frame.payload);
        }
        return pongs;
    }

    template <class Value>
    static bool isBeginOf(const std::vector<Value>& all, const std::vector<Value>& some) {
        return some.size() <= all.size() && std::equal(some.begin(), some.end(), all.begin());
    }

    // What was written is a 101 and then frames that a server may send; the last may be broken off.
    void check() const {
        const std::string& written = m_wire->written();
        const size_t end = std::min(written.find("\r\n\r\n"), written.size());
        const Replies replies =
            parseReplies(std::string_view(written).substr(0, std::min(end + 4, written.size())));
        EXPECT_EQ(replies.problem, "") << replies;
        if (replies.size() == 0 || replies[0].status != 101) return;
        const WsFrames all = frames();
        EXPECT_EQ(all.problem, "") << all;
        const uint16_t code = all.closeCode().value_or(1000);
        EXPECT_TRUE(code == static_cast<uint16_t>(WsCloseCode::NoStatus) || isValidCloseCode(code)) << code;
        const std::vector<std::string> arrived = arrivedIn(all);
        if (m_mayDrop) {
            auto at = m_accepted.begin();
            for (const std::string& text : arrived) {
                at = std::find(at, m_accepted.end(), text);
                ASSERT_NE(at, m_accepted.end()) << "out of order: " << text;
            }
        } else {
            EXPECT_TRUE(isBeginOf(m_accepted, arrived)) << all;
        }
        if (m_isCompressed) return;
        const Expected sent = expected();
        EXPECT_TRUE(isBeginOf(sent.messages, m_messages));
    }

    WsDeflater m_deflater{{}};
    WsConnectionPtr_t m_connection{};
    std::unique_ptr<ScriptedPeer> m_peer{};
    std::unique_ptr<ScriptedPeer> m_other{};
    WsConnectionPtr_t m_othersConnection{};
    std::string m_othersText{};
    std::string m_othersPiece{};  // of the next message
    size_t m_othersFed = 0;
    int m_othersMessages = 0;
    std::unique_ptr<Wire> m_wire{};
    std::unique_ptr<ConnChecker> m_checker{};
    std::vector<std::string> m_messages{};  // as handlers got them
    std::string m_piece{};                  // of the next
    std::vector<std::string> m_accepted{};  // what send took
    size_t m_sends = 0;
    const bool m_isCompressed;
    const bool m_mayDrop;  // what was accepted
    const bool m_inPiecesRead;
    bool m_inPieces = false;
    bool m_isDisturbed = false;
    bool m_isPaused = false;
    bool m_waits = false;  // the peer, in the end
    int m_opens = 0;
    int m_closes = 0;
};

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::FuzzInput input(data, size);
    const uint8_t flags = input.byte();
    tnet::Session(flags).run(input);
    return 0;
}
