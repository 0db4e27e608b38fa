// http_load: an HTTP/1.1 load that believes nothing: every answer must be a 200 with exactly the body
// "Hello, World!", or it says what came instead and exits 1.
//
//   keepalive   C connections that stay open, each sending D pipelined requests, then reading D answers
//   close       C at a time: connect, one request with "Connection: close", read to the end, close, again
//   idle        opens C connections, one request each, prints ready=1 and holds them until stdin ends
//
// It connects and sends blocking (on loopback neither waits) and reads through one epoll. In `close` the
// server closes first, so TIME_WAIT is the server's and the client's ports are free again at once; the
// connections come from eight loopback addresses, so that no pair of addresses and ports comes back soon.
//
// Output: key=value lines. Exit status: 0, 1 for a wrong answer or a lost connection, 2 for a wrong flag.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/http_answer.h"
#include "bench/load_flags.h"
#include "bench/load_socket.h"

namespace {

using tnet::Answer;
using tnet::checkAnswer;
using tnet::fail;
using tnet::failWithErrno;
using tnet::Verdict;

using Clock = std::chrono::steady_clock;

constexpr size_t kOpeningAtOnce = 64;  // idle: below any server's backlog
constexpr size_t kMaxPipeline = 256;   // the requests of one send must fit the socket

enum class Mode { KeepAlive, Close, Idle };

struct Options {
    Mode mode = Mode::KeepAlive;
    std::string address = "127.0.0.1";
    uint16_t port = 0;
    uint64_t connections = 64;
    uint64_t pipeline = 1;
    uint64_t requests = 0;  // 0: until the time is up
    uint64_t seconds = 0;   // 0: until the requests are done
};

struct Connection {
    int fd = -1;
    size_t outstanding = 0;  // requests sent and not yet answered
    std::string partial;     // the beginning of an answer that is not complete yet
};

class Load {
public:
    explicit Load(const Options& options)
        : m_options(options), m_target(options.address, options.port), m_epoll(tnet::createLoadEpoll()) {
        // What wrk sends, byte for byte; raw_http wants Connection last.
        m_request = "GET / HTTP/1.1\r\nHost: " + m_target.text() + "\r\n" +
                    (options.mode == Mode::Close ? "Connection: close\r\n" : "") + "\r\n";
        for (size_t i = 0; i < options.pipeline; ++i) {
            m_burst += m_request;
        }
        m_connections.resize(options.connections);
    }

    void run() {
        m_started = Clock::now();
        if (m_options.mode == Mode::KeepAlive) {
            openAndSendAll();
        } else {
            const size_t atOnce = m_options.mode == Mode::Close ? m_connections.size() : kOpeningAtOnce;
            for (size_t i = 0; i < atOnce; ++i) {
                startNext();
            }
        }
        while (m_open > 0 && !isHolding()) {
            waitAndRead();
        }
        report();
        if (m_options.mode == Mode::Idle) {
            holdUntilToldToStop();
        }
    }

private:
    bool isTimeUp() const {
        return m_options.seconds > 0 && Clock::now() - m_started >= std::chrono::seconds(m_options.seconds);
    }

    // How many requests may still be sent, at most `wanted`.
    size_t allowance(size_t wanted) const {
        if (m_options.requests > 0) {
            wanted = std::min<uint64_t>(wanted, m_options.requests - m_sent);
        }
        return isTimeUp() ? 0 : wanted;
    }

    bool isHolding() const { return m_options.mode == Mode::Idle && m_answered == m_options.connections; }

    // keepalive: all connections first, so that the server has them all from the first request on.
    void openAndSendAll() {
        for (Connection& connection : m_connections) {
            open(connection);
        }
        for (Connection& connection : m_connections) {
            sendBurst(connection);
        }
    }

    // close, idle: one more connection with its one request, if one is still to be made.
    void startNext() {
        if (m_next == m_connections.size() || allowance(1) == 0) {
            return;
        }
        Connection& connection = m_connections[m_next++];
        open(connection);
        sendBurst(connection);
    }

    void open(Connection& connection) {
        connection.fd =
            m_options.mode == Mode::KeepAlive ? m_target.connect() : m_target.connectFromNextSource();
        tnet::watchForInput(m_epoll, connection.fd,
                            static_cast<uint64_t>(&connection - m_connections.data()));
        ++m_open;
    }

    void sendBurst(Connection& connection) {
        connection.outstanding = allowance(m_options.pipeline);
        if (connection.outstanding == 0) {
            end(connection);
            return;
        }
        m_sent += connection.outstanding;
        const std::string_view bytes(m_burst.data(), connection.outstanding * m_request.size());
        if (send(connection.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(bytes.size())) {
            failWithErrno("cannot send");
        }
    }

    void waitAndRead() {
        std::array<epoll_event, 256> events{};
        const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(tnet::kLoadPatience);
        const int ready = epoll_wait(m_epoll, events.data(), static_cast<int>(events.size()),
                                     static_cast<int>(patience.count()));
        if (ready == 0) {
            fail("no answer for " + std::to_string(tnet::kLoadPatience.count()) + " seconds, " +
                 std::to_string(m_sent - m_answered) + " requests unanswered");
        }
        for (int i = 0; i < ready; ++i) {
            read(m_connections[events[static_cast<size_t>(i)].data.u64]);
        }
    }

    void read(Connection& connection) {
        const ssize_t got = recv(connection.fd, m_input.data(), m_input.size(), MSG_DONTWAIT);
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return;
            }
            failWithErrno("cannot read");
        }
        if (got == 0) {
            meetEnd(connection);
            return;
        }
        const size_t answers = take(connection, std::string_view(m_input.data(), static_cast<size_t>(got)));
        if (answers > connection.outstanding) {
            fail("more answers than requests");
        }
        connection.outstanding -= answers;
        m_answered += answers;
        if (connection.outstanding == 0) {
            if (!connection.partial.empty()) {
                fail("bytes after the last answer: " + connection.partial.substr(0, 200));
            }
            meetLastAnswer(connection, answers);
        }
    }

    // Returns how many answers are complete now; keeps the rest.
    size_t take(Connection& connection, std::string_view input) {
        std::string joined;
        if (!connection.partial.empty()) {
            joined = std::move(connection.partial);
            joined += input;
            input = joined;
            connection.partial.clear();
        }
        size_t answers = 0;
        while (!input.empty()) {
            const Answer answer = checkAnswer(input);
            if (answer.verdict == Verdict::Wrong) {
                fail("wrong answer: " + std::string(input.substr(0, 400)));
            }
            if (answer.verdict == Verdict::Incomplete) {
                connection.partial = input;
                break;
            }
            input.remove_prefix(answer.bytes);
            ++answers;
        }
        return answers;
    }

    void meetLastAnswer(Connection& connection, size_t answers) {
        if (m_options.mode == Mode::KeepAlive) {
            sendBurst(connection);
        } else if (m_options.mode == Mode::Idle && answers > 0) {
            startNext();
        }
    }

    void meetEnd(Connection& connection) {
        if (m_options.mode != Mode::Close || connection.outstanding > 0) {
            fail("the server closed a connection with " + std::to_string(connection.outstanding) +
                 " requests unanswered");
        }
        end(connection);
        if (allowance(1) > 0) {
            open(connection);
            sendBurst(connection);
        }
    }

    void end(Connection& connection) {
        close(connection.fd);
        connection.fd = -1;
        --m_open;
    }

    void report() const {
        const std::chrono::duration<double> elapsed = Clock::now() - m_started;
        std::printf("connections=%llu\nrequests=%llu\nseconds=%.6f\nrate=%.1f\n",
                    static_cast<unsigned long long>(m_options.connections),
                    static_cast<unsigned long long>(m_answered), elapsed.count(),
                    static_cast<double>(m_answered) / elapsed.count());
        std::fflush(stdout);
    }

    void holdUntilToldToStop() const {
        std::vector<int> fds;
        for (const Connection& connection : m_connections) {
            fds.push_back(connection.fd);
        }
        std::printf("ready=1\n");
        std::fflush(stdout);
        tnet::holdUntilStdinEnds(fds);
    }

    const Options m_options;
    tnet::LoadTarget m_target;
    const int m_epoll;
    std::string m_request;
    std::string m_burst;  // the request, `pipeline` times
    std::vector<Connection> m_connections;
    size_t m_next = 0;  // the connection that startNext() opens
    uint64_t m_open = 0;
    uint64_t m_sent = 0;
    uint64_t m_answered = 0;
    Clock::time_point m_started;
    std::array<char, 64 * 1024> m_input{};
};

constexpr const char* kUsage =
    "usage: http_load keepalive|close|idle --port N [--address A] [--connections N]\n"
    "                 [--requests N] [--seconds N] [--pipeline N]\n"
    "keepalive and close need --requests or --seconds; --pipeline (1 to 256) is for keepalive\n";

Mode parseMode(const tnet::LoadFlags& flags) {
    if (flags.mode() == "keepalive") {
        return Mode::KeepAlive;
    }
    if (flags.mode() == "close") {
        return Mode::Close;
    }
    if (flags.mode() == "idle") {
        return Mode::Idle;
    }
    flags.reject("unknown mode " + flags.mode());
}

Options parseOptions(tnet::LoadFlags flags) {
    Options options;
    options.mode = parseMode(flags);
    options.address = flags.text("--address", options.address);
    options.port = flags.port();
    options.connections = flags.number("--connections", options.connections);
    options.requests = flags.number("--requests", options.requests);
    options.seconds = flags.number("--seconds", options.seconds);
    options.pipeline = flags.number("--pipeline", options.pipeline);
    flags.rejectOthers();
    if (options.mode == Mode::Idle ? options.requests + options.seconds != 0
                                   : options.requests + options.seconds == 0) {
        flags.reject(options.mode == Mode::Idle ? "idle sends one request per connection"
                                                : "neither --requests nor --seconds");
    }
    if (options.pipeline > kMaxPipeline || (options.pipeline > 1 && options.mode != Mode::KeepAlive)) {
        flags.reject("--pipeline is for keepalive, at most 256");
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    Load load(parseOptions(tnet::LoadFlags("http_load", kUsage, argc, argv)));
    load.run();
    return 0;
}
