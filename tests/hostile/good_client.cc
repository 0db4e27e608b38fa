#include "tests/hostile/good_client.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "tests/hostile/ws_frames.h"

namespace tnet {
namespace {

using Timer = std::chrono::steady_clock;

constexpr std::string_view kAsk = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
constexpr std::string_view kHello = "Hello, World!";
constexpr std::chrono::seconds kPatience{10};

BlockingClient connectTo(const Address& server) {
    BlockingClient client = BlockingClient::connectTo(server);
    const timeval patience{kPatience.count(), 0};
    if (client.valid()) ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return client;
}

// Head and body of an answer with 200 and a Content-Length; empty if it is none, and `why` then.
std::string receiveBody(BlockingClient& client, std::string& why) {
    std::string input;
    std::array<char, 4096> buffer;
    size_t wanted = std::string::npos;
    while (input.size() < wanted) {
        const ssize_t n = ::recv(client.fd(), buffer.data(), buffer.size(), 0);
        if (n <= 0) {
            why = n == 0 ? "the end came" : std::strerror(errno);
            return {};
        }
        input.append(buffer.data(), static_cast<size_t>(n));
        const size_t head = input.find("\r\n\r\n");
        if (wanted != std::string::npos || head == std::string::npos) continue;
        constexpr std::string_view kLength = "\r\nContent-Length: ";
        const size_t at = input.find(kLength);
        size_t length = 0;
        if (at < head)
            std::from_chars(input.data() + at + kLength.size(), input.data() + input.size(), length);
        wanted = head + 4 + length;
    }
    if (!input.starts_with("HTTP/1.1 200 ")) {
        why = input.substr(0, input.find('\r'));
        return {};
    }
    return input.substr(input.find("\r\n\r\n") + 4);
}

}  // namespace

std::string askOnce(const Address& server, const std::string& path) {
    BlockingClient client = connectTo(server);
    std::string why;
    if (!client.valid() ||
        !client.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
        return {};
    return receiveBody(client, why);
}

GoodClient::GoodClient(const Address& server, Settings settings)
    : m_server(server), m_settings(settings), m_thread([this] { run(); }) {}

GoodClient::~GoodClient() { stop(); }

void GoodClient::stop() {
    m_isOver = true;
    if (m_thread.joinable()) m_thread.join();
}

void GoodClient::run() {
    auto next = Timer::now();
    for (size_t turn = 0; !m_isOver; ++turn) {
        std::this_thread::sleep_until(next);
        const auto begin = Timer::now();
        next = std::max(next + m_settings.pace, begin);  // a server that is slow is not asked more often
        bool isGood = false;
        if (turn % 3 == 0) {
            if (!m_kept.valid()) m_kept = connectTo(m_server);
            isGood = askOn(m_kept, "on a kept connection");
            if (!isGood) m_kept.close();
        } else if (turn % 3 == 1) {
            isGood = echo();
            if (!isGood) m_webSocket.close();
        } else {
            if (!m_connects) continue;
            BlockingClient fresh = connectTo(m_server);
            isGood = askOn(fresh, "on a fresh connection");
            if (fresh.valid()) fresh.reset();  // no port in TIME_WAIT
        }
        const std::chrono::duration<double, std::milli> took = Timer::now() - begin;
        m_milliseconds.push_back(took.count());
        if (!isGood) ++m_failed;
        ++m_asked;
    }
}

bool GoodClient::failed(const std::string& how) {
    if (m_firstFailure.empty()) m_firstFailure = how;
    return false;
}

bool GoodClient::askOn(BlockingClient& client, const char* kind) {
    if (!client.valid()) return failed(std::string(kind) + ": connect: " + std::strerror(errno));
    if (!client.send(kAsk)) return failed(std::string(kind) + ": send: " + std::strerror(errno));
    std::string why;
    const std::string body = receiveBody(client, why);
    return body == kHello || failed(std::string(kind) + ": " + (why.empty() ? "another answer" : why));
}

bool GoodClient::upgrade() {
    m_webSocket = connectTo(m_server);
    if (!m_webSocket.valid()) return failed(std::string("WebSocket: connect: ") + std::strerror(errno));
    std::string answer;
    if (m_webSocket.send(upgradeRequest("/ws/echo"))) {
        while (!answer.ends_with("\r\n\r\n")) {
            const std::string next = m_webSocket.receive(1);
            if (next.empty()) break;
            answer += next;
        }
    }
    return answer.starts_with("HTTP/1.1 101 ") || failed("WebSocket: not upgraded");
}

// Answers pings on the way, as a browser does.
bool GoodClient::echo() {
    if (!m_webSocket.valid() && !upgrade()) return false;
    const std::string message = std::to_string(++m_next);
    if (!m_webSocket.send(maskedFrame(WsOpcode::Text, message))) return failed("WebSocket: send");
    for (;;) {
        const std::string head = m_webSocket.receive(2);
        if (head.size() < 2) return failed("WebSocket: the end came, or nothing");
        const std::string payload = m_webSocket.receive(static_cast<uint8_t>(head[1]));
        const auto opcode = static_cast<WsOpcode>(head[0] & 0xf);
        if (opcode == WsOpcode::Ping) {
            if (!m_webSocket.send(maskedFrame(WsOpcode::Pong, payload))) return failed("WebSocket: send");
            continue;
        }
        return (opcode == WsOpcode::Text && payload == message) || failed("WebSocket: another message");
    }
}

GoodClient::Figures GoodClient::figures() const {
    Figures figures{.asked = m_milliseconds.size(), .failed = m_failed, .firstFailure = m_firstFailure};
    std::vector<double> sorted = m_milliseconds;
    std::sort(sorted.begin(), sorted.end());
    if (sorted.empty()) return figures;
    figures.p50 = sorted[sorted.size() / 2];
    figures.p99 = sorted[sorted.size() * 99 / 100];
    figures.max = sorted.back();
    return figures;
}

}  // namespace tnet
