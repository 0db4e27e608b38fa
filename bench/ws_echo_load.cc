#include "bench/ws_echo_load.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "bench/load_report.h"

namespace tnet {

EchoLoad::EchoLoad(const LoadTarget& target, EchoLoadSettings settings, const WsMessages& messages)
    : m_settings(std::move(settings)), m_messages(messages), m_epoll(createLoadEpoll()) {
    m_connections.resize(m_settings.connections);
    for (size_t i = 0; i < m_connections.size(); ++i) {
        Connection& connection = m_connections[i];
        connection.fd = target.connect();
        openWebSocket(connection.fd, target, m_settings.path);
        // Every connection has numbers of its own: what went to a wrong one does not pass for its own.
        connection.nextNumber = connection.progress.number = i;
        watchForInput(m_epoll, connection.fd, i);
    }
}

void EchoLoad::run() {
    m_started = m_now = Clock::now();
    for (Connection& connection : m_connections) {
        sendMessages(connection, m_settings.inFlight);
    }
    std::array<epoll_event, 256> events{};
    const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kLoadPatience);
    while (m_echoed < m_sent) {
        const int ready = epoll_wait(m_epoll, events.data(), static_cast<int>(events.size()),
                                     static_cast<int>(patience.count()));
        if (ready == 0) {
            fail("nothing came for " + std::to_string(kLoadPatience.count()) + " seconds, " +
                 std::to_string(m_sent - m_echoed) + " messages are not back");
        }
        for (int i = 0; i < ready; ++i) {
            const epoll_event& event = events[static_cast<size_t>(i)];
            Connection& connection = m_connections[event.data.u64];
            if ((event.events & EPOLLOUT) != 0) {
                sendUnsent(connection);
            }
            if ((event.events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
                read(connection);
            }
        }
    }
    report();
}

size_t EchoLoad::allowance(size_t wanted) const {
    if (m_settings.messages > 0) {
        return std::min<uint64_t>(wanted, m_settings.messages - m_sent);
    }
    return m_now - m_started < m_settings.seconds ? wanted : 0;
}

void EchoLoad::sendMessages(Connection& connection, size_t count) {
    count = allowance(count);
    if (count == 0) {
        return;
    }
    std::string& bytes = connection.unsent.empty() ? m_burst : connection.unsent;
    for (size_t i = 0; i < count; ++i) {
        m_messages.append(bytes, connection.nextNumber);
        connection.nextNumber += m_connections.size();
    }
    connection.outstanding += count;
    m_sent += count;
    connection.sentAt = m_now;
    if (!connection.unsent.empty()) {
        return;
    }
    const ssize_t sent = send(connection.fd, m_burst.data(), m_burst.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) {
        failWithErrno("cannot send");
    }
    if (sent != static_cast<ssize_t>(m_burst.size())) {
        connection.unsent = m_burst.substr(static_cast<size_t>(std::max<ssize_t>(sent, 0)));
        watchForOutput(connection, true);
    }
    m_burst.clear();
}

void EchoLoad::sendUnsent(Connection& connection) {
    const ssize_t sent =
        send(connection.fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        if (errno != EAGAIN) {
            failWithErrno("cannot send");
        }
        return;
    }
    connection.unsent.erase(0, static_cast<size_t>(sent));
    if (connection.unsent.empty()) {
        watchForOutput(connection, false);
    }
}

void EchoLoad::watchForOutput(const Connection& connection, bool isOn) const {
    epoll_event event{};
    event.events = isOn ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u64 = static_cast<uint64_t>(&connection - m_connections.data());
    if (epoll_ctl(m_epoll, EPOLL_CTL_MOD, connection.fd, &event) != 0) {
        failWithErrno("epoll_ctl");
    }
}

void EchoLoad::read(Connection& connection) {
    const ssize_t got = recv(connection.fd, m_input.data(), m_input.size(), MSG_DONTWAIT);
    if (got < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            return;
        }
        failWithErrno("cannot read");
    }
    if (got == 0) {
        fail("the server closed a connection with " + std::to_string(connection.outstanding) +
             " messages not back");
    }
    m_now = Clock::now();
    const size_t echoes =
        connection.progress.take(m_messages, m_connections.size(), m_input.data(), static_cast<size_t>(got));
    if (echoes > connection.outstanding ||
        (echoes == connection.outstanding && connection.progress.offset > 0)) {
        fail("more came back than was sent");
    }
    if (m_settings.inFlight == 1 && echoes == 1) {
        m_latenciesNs.push_back(nanosecondsOf(m_now - connection.sentAt));
    }
    connection.outstanding -= echoes;
    m_echoed += echoes;
    if (echoes > 0) {
        sendMessages(connection, echoes);
    }
}

void EchoLoad::report() const {
    const std::chrono::duration<double> elapsed = Clock::now() - m_started;
    std::printf("connections=%zu\nmessages=%llu\nseconds=%.6f\nrate=%.1f\n", m_connections.size(),
                static_cast<unsigned long long>(m_echoed), elapsed.count(),
                static_cast<double>(m_echoed) / elapsed.count());
    printLatencies(m_latenciesNs);
    std::fflush(stdout);
}

}  // namespace tnet
