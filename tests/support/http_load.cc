#include "tests/support/http_load.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <utility>

namespace tnet {

// One connection.
class HttpLoad::Client {
public:
    explicit Client(const Address& address) : m_socket(BlockingClient::connectTo(address)) {}

    bool valid() const { return m_socket.valid(); }

    // Whether the server's end, or a reset, has come.
    bool hasEnded() const {
        char byte = 0;
        const ssize_t n = ::recv(m_socket.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        return n == 0 || (n < 0 && errno != EAGAIN);
    }

    bool send(std::string_view bytes) { return m_socket.send(bytes); }

    struct Reply {
        std::string body{};
        bool isLast = false;
    };

    // Nothing: the stream ended, see problem().
    std::optional<Reply> receive() {
        size_t head = std::string::npos;
        while ((head = m_input.find("\r\n\r\n")) == std::string::npos) {
            if (!receiveSome()) return std::nullopt;
        }
        const std::string_view fields = std::string_view(m_input).substr(0, head + 2);
        constexpr std::string_view kLength = "\r\nContent-Length: ";
        const size_t at = fields.find(kLength);
        size_t length = 0;
        if (at == std::string_view::npos) {
            m_problem = "an answer without length";
            return std::nullopt;
        }
        std::from_chars(fields.data() + at + kLength.size(), fields.data() + fields.size(), length);
        Reply reply;
        reply.isLast = fields.find("\r\nConnection: close\r\n") != std::string_view::npos;
        while (m_input.size() < head + 4 + length) {
            if (!receiveSome()) return std::nullopt;
        }
        reply.body = m_input.substr(head + 4, length);
        m_input.erase(0, head + 4 + length);
        return reply;
    }

    const std::string& problem() const { return m_problem; }

    // Without a port in TIME_WAIT, of which there are not enough.
    void reset() { m_socket.reset(); }

private:
    bool receiveSome() {
        std::array<char, 4096> buffer;
        const ssize_t n = ::recv(m_socket.fd(), buffer.data(), buffer.size(), 0);
        if (n > 0) m_input.append(buffer.data(), static_cast<size_t>(n));
        if (n == 0) m_problem = "the end came";
        if (n < 0) m_problem = std::strerror(errno);
        if (n <= 0 && !m_input.empty()) m_problem += " inside an answer";
        return n > 0;
    }

    BlockingClient m_socket;
    std::string m_input{};
    std::string m_problem{};
};

HttpLoad::HttpLoad(const Settings& settings) : m_settings(settings) {
    unsigned seed = 1;
    for (size_t i = 0; i < settings.fresh; ++i)
        m_threads.emplace_back([this, s = seed++] { run(1, false, s); });
    for (size_t i = 0; i < settings.kept; ++i)
        m_threads.emplace_back([this, s = seed++] { run(1, true, s); });
    for (size_t i = 0; i < settings.pipelining; ++i)
        m_threads.emplace_back([this, s = seed++] { run(5, true, s); });
}

HttpLoad::~HttpLoad() { stop(); }

void HttpLoad::stop() {
    m_isOver = true;
    for (std::thread& thread : m_threads) thread.join();
    m_threads.clear();
}

HttpLoad::Counts HttpLoad::counts() const {
    return {m_answered.load(), m_refused.load(), m_untouched.load(), m_told.load(), m_lost.load()};
}

std::string HttpLoad::firstLoss() const {
    const std::lock_guard lock(m_mutex);
    return m_firstLoss;
}

void HttpLoad::lose(uint64_t requests, const std::string& how) {
    m_lost += requests;
    const std::lock_guard lock(m_mutex);
    if (m_firstLoss.empty()) m_firstLoss = how;
}

void HttpLoad::run(size_t pipelined, bool isKept, unsigned seed) {
    using std::chrono::microseconds;
    std::minstd_rand random(seed);
    const auto pause = [&random](unsigned most) {
        if (random() % 2 == 0) std::this_thread::sleep_for(microseconds(random() % most));
    };
    const std::string kind = !isKept ? "fresh: " : pipelined > 1 ? "pipelined: " : "kept: ";
    while (!m_isOver) {
        Client client(m_settings.address);
        if (!client.valid()) {
            ++m_refused;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        if (!isKept) pause(3000);
        for (uint64_t served = 0, isLast = 0; isLast == 0 && !(m_isOver && served > 0);) {
            if (client.hasEnded()) {
                if (served == 0) ++m_untouched;
                break;
            }
            const uint64_t first = m_next.fetch_add(pipelined);
            std::string requests;
            for (size_t i = 0; i < pipelined; ++i) {
                requests += "GET " + m_settings.path + std::to_string(first + i) +
                            " HTTP/1.1\r\nHost: example.com\r\n\r\n";
            }
            if (!client.send(requests)) {
                if (served == 0) ++m_untouched;
                break;  // never sent whole
            }
            for (size_t i = 0; i < pipelined; ++i) {
                const auto reply = client.receive();
                if (!reply && isLast != 0) {
                    m_told += pipelined - i;
                    break;
                }
                if (!reply) {
                    lose(pipelined - i, kind + client.problem() + ", request " + std::to_string(i) +
                                            " of its burst, after " + std::to_string(served));
                    isLast = 1;
                    break;
                }
                if (reply->body.find(std::to_string(first + i)) == std::string::npos)
                    lose(1, kind + "somebody else's answer: " + reply->body);
                ++m_answered;
                ++served;
                if (reply->isLast) isLast = 1;
            }
            if (!isKept) break;
            pause(2000);
        }
        client.reset();
    }
}

}  // namespace tnet
