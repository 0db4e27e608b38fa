#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "tests/faults/pattern.h"
#include "tests/faults/talk.h"
#include "websocket/deflate.h"
#include "websocket/frame.h"
#include "websocket/mask.h"
#include "websocket/receiver.h"

namespace tnet {
namespace {

constexpr std::array<uint8_t, 4> kMaskKey{0x37, 0xfa, 0x21, 0x3d};

std::string frameOf(WsOpcode opcode, std::string_view payload) {
    std::string frame(frameHeaderBytes(payload.size(), true), '\0');
    writeMaskedFrameHeader(frame.data(), opcode, true, false, payload.size(), kMaskKey);
    const size_t headerBytes = frame.size();
    frame.append(payload);
    applyMask(frame.data() + headerBytes, payload.size(), kMaskKey, 0);
    return frame;
}

class WsTalk {
public:
    WsTalk(const TalkRules& rules, uint32_t connection, std::minstd_rand& random)
        : m_rules(rules), m_connection(connection), m_random(random), m_wire(rules.address, rules.tls) {}

    TalkResult run(const std::string& target, size_t messages) {
        if (!m_wire.valid()) {
            over("the connect");
            return m_result;
        }
        if (!open(target)) return m_result;
        for (size_t i = 0; i < messages && isGood(); ++i) burst();
        if (isGood() && m_random() % 2 == 0) m_wire.send(frameOf(WsOpcode::Close, {}));
        return m_result;
    }

private:
    bool isGood() const { return m_result.broken == 0 && m_result.problem.empty(); }

    bool open(const std::string& target) {
        m_wire.send("GET " + target +
                    " HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n");
        size_t end = 0;
        while ((end = m_input.find("\r\n\r\n")) == std::string::npos) {
            if (!m_wire.receiveSome(m_input)) return over("the handshake");
        }
        const std::string head = m_input.substr(0, end + 2);
        m_input.erase(0, end + 4);
        if (head.rfind("HTTP/1.1 101 ", 0) != 0) {
            if (!m_rules.mayRefuse) return problem("no upgrade: " + head);
            m_result.broken = 1;
            return false;
        }
        WsReceiver::Settings settings;
        settings.role = WsRole::Client;
        if (head.find("permessage-deflate") != std::string::npos)
            settings.inflate = WsInflater::Settings{.windowBits = 15};
        m_receiver.emplace(settings);
        return true;
    }

    // Some messages and perhaps a ping, and then all that must come of them.
    void burst() {
        std::string frames;
        const size_t count = 1 + m_random() % 4;
        for (size_t i = 0; i < count; ++i) {
            const size_t size = m_random() % (m_random() % 4 == 0 ? 30000 : 700);
            frames += frameOf(WsOpcode::Text, patternOf(m_connection, m_sent++, size));
            m_sizes.push_back(size);
        }
        const bool pings = m_random() % 2 == 0;
        if (pings) frames += frameOf(WsOpcode::Ping, "ping " + std::to_string(m_connection));
        const bool isSent = m_wire.send(frames);
        m_awaitsPong = pings;
        while (isGood() && (m_echoed < m_sent || m_awaitsPong)) receive();
        if (isGood() && !isSent) over("the messages");
    }

    void receive() {
        std::string input = std::move(m_input);
        m_input.clear();
        if (input.empty() && !m_wire.receiveSome(input)) return void(over("a message"));
        std::span<char> bytes(input);
        for (;;) {
            switch (m_receiver->next(bytes)) {
                case WsReceiver::Event::NeedMore: return;
                case WsReceiver::Event::Message: onMessage(m_receiver->payload()); break;
                case WsReceiver::Event::Pong:
                    if (m_receiver->payload() != "ping " + std::to_string(m_connection))
                        problem("the pong of another: " + std::string(m_receiver->payload()));
                    m_awaitsPong = false;
                    break;
                case WsReceiver::Event::Close: return void(over("a Close"));
                case WsReceiver::Event::Error:
                    return void(problem(std::string("not WebSocket: ") + m_receiver->errorReason()));
                case WsReceiver::Event::Ping:
                case WsReceiver::Event::Part:
                case WsReceiver::Event::Piece: break;
            }
            if (!isGood()) return;
        }
    }

    void onMessage(std::string_view message) {
        ++m_result.units;
        if (message.rfind("news ", 0) == 0) return onNews(message);
        if (m_echoed == m_sent || message != patternOf(m_connection, m_echoed, m_sizes[m_echoed])) {
            problem("message " + std::to_string(m_echoed) + " of " + std::to_string(m_connection) +
                    " came back as «" + std::string(message.substr(0, 64)) + "»");
        }
        ++m_echoed;
    }

    // Each publication once and in order: what comes after the first.
    void onNews(std::string_view message) {
        uint64_t number = 0;
        std::from_chars(message.data() + 5, message.data() + message.size(), number);
        const bool isNext = !m_news || number == *m_news + 1 || (m_rules.mayMiss && number > *m_news);
        const std::string rest = " " + std::string(300, 'n');
        if (!isNext || message != "news " + std::to_string(number) + rest)
            problem("after news " + std::to_string(m_news.value_or(0)) + " came «" + std::string(message) +
                    "»");
        m_news = number;
    }

    bool over(const std::string& where) {
        m_result.broken = 1;
        if (m_wire.timedOut()) problem(where + ": nothing came any more");
        if (!m_rules.mayBreak) problem(where + ": the connection ended");
        return false;
    }

    bool problem(const std::string& what) {
        if (m_result.problem.empty()) m_result.problem = what;
        return false;
    }

    const TalkRules& m_rules;
    const uint32_t m_connection;
    std::minstd_rand& m_random;
    Wire m_wire;
    std::string m_input{};
    std::optional<WsReceiver> m_receiver{};
    std::vector<size_t> m_sizes{};  // of what was sent
    uint32_t m_sent = 0;
    uint32_t m_echoed = 0;
    bool m_awaitsPong = false;
    std::optional<uint64_t> m_news{};
    TalkResult m_result{};
};

}  // namespace

TalkResult talkWs(const TalkRules& rules, const std::string& target, uint32_t connection,
                  std::minstd_rand& random, size_t messages) {
    return WsTalk(rules, connection, random).run(target, messages);
}

}  // namespace tnet
