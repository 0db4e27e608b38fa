#include "bench/ws_fanout_load.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <utility>

#include "bench/load_report.h"

namespace tnet {

FanoutLoad::FanoutLoad(LoadTarget& target, FanoutLoadSettings settings, const WsMessages& messages)
    : m_settings(std::move(settings)), m_messages(messages), m_epoll(createLoadEpoll()) {
    m_subscribers.resize(m_settings.subscribers);
    m_underWay.resize(m_settings.window);
    for (size_t i = 0; i < m_subscribers.size(); ++i) {
        m_fds.push_back(target.connectFromNextSource());
        openWebSocket(m_fds.back(), target, m_settings.subscribePath);
        watchForInput(m_epoll, m_fds.back(), i);
    }
    m_publisher = target.connectFromNextSource();
    openWebSocket(m_publisher, target, m_settings.publishPath);
    watchForInput(m_epoll, m_publisher, kPublisher);
}

void FanoutLoad::run() {
    publishAndAwait(1);
    m_latenciesNs.clear();
    std::printf("ready=1\n");
    std::fflush(stdout);
    std::string line;
    std::getline(std::cin, line);

    const Clock::time_point started = Clock::now();
    publishAndAwait(m_settings.messages);
    const std::chrono::duration<double> elapsed = Clock::now() - started;
    const uint64_t deliveries = m_settings.messages * m_subscribers.size();
    std::printf("subscribers=%zu\nmessages=%llu\ndeliveries=%llu\nseconds=%.6f\nrate=%.1f\n",
                m_subscribers.size(), static_cast<unsigned long long>(m_settings.messages),
                static_cast<unsigned long long>(deliveries), elapsed.count(),
                static_cast<double>(deliveries) / elapsed.count());
    printLatencies(m_latenciesNs);
    std::printf("done=1\n");
    std::fflush(stdout);
    holdUntilStdinEnds(m_fds);
}

void FanoutLoad::publishAndAwait(uint64_t count) {
    m_last += count;
    while (m_published < m_last && m_published - m_done < m_settings.window) {
        publishNext();
    }
    std::array<epoll_event, 512> events{};
    const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kLoadPatience);
    while (m_done < m_last) {
        const int ready = epoll_wait(m_epoll, events.data(), static_cast<int>(events.size()),
                                     static_cast<int>(patience.count()));
        if (ready == 0) {
            fail("nothing came for " + std::to_string(kLoadPatience.count()) + " seconds: message " +
                 std::to_string(m_done) + " has not reached " +
                 std::to_string(m_underWay[m_done % m_settings.window].missing) + " subscribers");
        }
        for (int i = 0; i < ready; ++i) {
            const uint64_t index = events[static_cast<size_t>(i)].data.u64;
            if (index == kPublisher) {
                fail("the publisher was answered, or its connection ended");
            }
            read(m_subscribers[index], m_fds[index]);
        }
    }
}

void FanoutLoad::publishNext() {
    std::string frame;
    m_messages.append(frame, m_published);
    m_underWay[m_published % m_settings.window] = {m_subscribers.size(), Clock::now()};
    ++m_published;
    sendWhole(m_publisher, frame);
}

void FanoutLoad::read(WsProgress& subscriber, int fd) {
    const ssize_t got = recv(fd, m_input.data(), m_input.size(), MSG_DONTWAIT);
    if (got < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            return;
        }
        failWithErrno("cannot read");
    }
    if (got == 0) {
        fail("the server closed a subscriber's connection");
    }
    const uint64_t first = subscriber.number;
    const size_t deliveries = subscriber.take(m_messages, 1, m_input.data(), static_cast<size_t>(got));
    for (uint64_t number = first; number < first + deliveries; ++number) {
        meetDelivery(number);
    }
}

void FanoutLoad::meetDelivery(uint64_t number) {
    if (number >= m_published) {
        fail("a subscriber got message " + std::to_string(number) + ", which nobody has published");
    }
    Message& message = m_underWay[number % m_settings.window];
    if (--message.missing > 0) {
        return;
    }
    m_latenciesNs.push_back(nanosecondsOf(Clock::now() - message.publishedAt));
    ++m_done;
    if (m_published < m_last) {
        publishNext();
    }
}

}  // namespace tnet
