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
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "bench/http_answer.h"

namespace {

using tnet::Answer;
using tnet::checkAnswer;
using tnet::Verdict;

using Clock = std::chrono::steady_clock;

constexpr size_t kOpeningAtOnce = 64;  // idle: below any server's backlog
constexpr uint32_t kSourceAddresses = 8;
constexpr size_t kMaxPipeline = 256;  // the requests of one send must fit the socket
constexpr std::chrono::seconds kPatience{10};

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "http_load: %s\n", what.c_str());
    std::exit(1);
}

[[noreturn]] void failWithErrno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

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
    explicit Load(const Options& options) : m_options(options) {
        m_target.sin_family = AF_INET;
        m_target.sin_port = htons(options.port);
        if (inet_pton(AF_INET, options.address.c_str(), &m_target.sin_addr) != 1) {
            fail("not an IPv4 address: " + options.address);
        }
        // What wrk sends, byte for byte; raw_http wants Connection last.
        m_request = "GET / HTTP/1.1\r\nHost: " + options.address + ":" + std::to_string(options.port) +
                    "\r\n" + (options.mode == Mode::Close ? "Connection: close\r\n" : "") + "\r\n";
        for (size_t i = 0; i < options.pipeline; ++i) {
            m_burst += m_request;
        }
        m_connections.resize(options.connections);
        m_epoll = epoll_create1(EPOLL_CLOEXEC);
        if (m_epoll < 0) {
            failWithErrno("epoll_create1");
        }
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
        connection.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection.fd < 0) {
            failWithErrno("socket");
        }
        const int on = 1;
        setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (m_options.mode != Mode::KeepAlive) {
            bindToSource(connection.fd);
        }
        if (connect(connection.fd, reinterpret_cast<const sockaddr*>(&m_target), sizeof m_target) != 0) {
            failWithErrno("cannot connect to " + m_options.address + ":" + std::to_string(m_options.port));
        }
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &connection;
        if (epoll_ctl(m_epoll, EPOLL_CTL_ADD, connection.fd, &event) != 0) {
            failWithErrno("epoll_ctl");
        }
        ++m_open;
    }

    // The port is chosen by connect(), which knows the whole pair and can use every port once per address.
    void bindToSource(int fd) {
        const int on = 1;
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        sockaddr_in source{};
        source.sin_family = AF_INET;
        source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + m_source);
        m_source = (m_source + 1) % kSourceAddresses;
        if (bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
            failWithErrno("cannot bind to a loopback address");
        }
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
        const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
        const int ready = epoll_wait(m_epoll, events.data(), static_cast<int>(events.size()),
                                     static_cast<int>(patience.count()));
        if (ready == 0) {
            fail("no answer for " + std::to_string(kPatience.count()) + " seconds, " +
                 std::to_string(m_sent - m_answered) + " requests unanswered");
        }
        for (int i = 0; i < ready; ++i) {
            read(*static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr));
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

    void holdUntilToldToStop() {
        std::printf("ready=1\n");
        std::fflush(stdout);
        std::array<char, 64> ignored{};
        while (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
        }
        // A connection the server gave up meanwhile was not idle memory: say so.
        size_t lost = 0;
        for (const Connection& connection : m_connections) {
            char byte = 0;
            const ssize_t got = recv(connection.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
            lost += got >= 0 || errno != EAGAIN ? 1 : 0;
        }
        std::printf("closed_by_server=%zu\n", lost);
        if (lost > 0) {
            fail("the server did not keep " + std::to_string(lost) + " connections open");
        }
    }

    const Options m_options;
    sockaddr_in m_target{};
    std::string m_request;
    std::string m_burst;  // the request, `pipeline` times
    std::vector<Connection> m_connections;
    size_t m_next = 0;  // the connection that startNext() opens
    int m_epoll = -1;
    uint32_t m_source = 0;
    uint64_t m_open = 0;
    uint64_t m_sent = 0;
    uint64_t m_answered = 0;
    Clock::time_point m_started;
    std::array<char, 64 * 1024> m_input{};
};

[[noreturn]] void usage(const std::string& what) {
    std::fprintf(stderr,
                 "http_load: %s\n"
                 "usage: http_load keepalive|close|idle --port N [--address A] [--connections N]\n"
                 "                 [--requests N] [--seconds N] [--pipeline N]\n"
                 "keepalive and close need --requests or --seconds; --pipeline (1 to 256) is for keepalive\n",
                 what.c_str());
    std::exit(2);
}

uint64_t parseNumber(std::string_view flag, std::string_view text) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == 0) {
        usage(std::string(flag) + " wants a number above 0, not " + std::string(text));
    }
    return number;
}

Mode parseMode(std::string_view text) {
    if (text == "keepalive") {
        return Mode::KeepAlive;
    }
    if (text == "close") {
        return Mode::Close;
    }
    if (text == "idle") {
        return Mode::Idle;
    }
    usage("unknown mode " + std::string(text));
}

Options parseOptions(const std::vector<std::string_view>& arguments) {
    if (arguments.empty()) {
        usage("no mode");
    }
    Options options;
    options.mode = parseMode(arguments[0]);
    for (size_t i = 1; i < arguments.size(); i += 2) {
        const std::string_view flag = arguments[i];
        if (i + 1 == arguments.size()) {
            usage("no value for " + std::string(flag));
        }
        const std::string_view value = arguments[i + 1];
        if (flag == "--address") {
            options.address = value;
        } else if (flag == "--port") {
            options.port = static_cast<uint16_t>(std::min<uint64_t>(parseNumber(flag, value), 65535));
        } else if (flag == "--connections") {
            options.connections = parseNumber(flag, value);
        } else if (flag == "--requests") {
            options.requests = parseNumber(flag, value);
        } else if (flag == "--seconds") {
            options.seconds = parseNumber(flag, value);
        } else if (flag == "--pipeline") {
            options.pipeline = parseNumber(flag, value);
        } else {
            usage("unknown flag " + std::string(flag));
        }
    }
    if (options.port == 0) {
        usage("no --port");
    }
    if (options.mode == Mode::Idle ? options.requests + options.seconds != 0
                                   : options.requests + options.seconds == 0) {
        usage(options.mode == Mode::Idle ? "idle sends one request per connection"
                                         : "neither --requests nor --seconds");
    }
    if (options.pipeline > kMaxPipeline || (options.pipeline > 1 && options.mode != Mode::KeepAlive)) {
        usage("--pipeline is for keepalive, at most 256");
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    Load load(parseOptions({argv + 1, argv + argc}));
    load.run();
    return 0;
}
