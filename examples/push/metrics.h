// PushMetrics: what the service counts, and its text for Prometheus (text format 0.0.4).
//
// Threads: any; counters are atomics, of which each is exact and no two are of the same moment.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tnet {

class PushMetrics {
public:
    std::atomic<uint64_t> published{0};
    std::atomic<uint64_t> publishedBytes{0};  // of the bodies
    std::atomic<uint64_t> refused{0};         // publications, for want of a right to publish
    std::atomic<uint64_t> overloaded{0};      // publications, for want of room in a loop's inbox
    std::atomic<uint64_t> eventsDelivered{0};
    std::atomic<uint64_t> eventsDropped{0};
    std::atomic<uint64_t> slowSockets{0};  // closed
    std::atomic<uint64_t> slowStreams{0};  // closed
    std::atomic<uint64_t> clientErrors{0};

    // From the request's arrival until all loops had it.
    void notePublish(std::chrono::nanoseconds took);

    // What others know, at the moment of asking.
    struct Gauges {
        size_t sockets = 0;
        size_t streams = 0;
        size_t subscriptions = 0;
        size_t socketBytes = 0;  // queued
        size_t streamBytes = 0;  // queued
        uint64_t socketsDelivered = 0;
        uint64_t socketsDropped = 0;
        size_t historyTopics = 0;
        size_t historyMessages = 0;
        size_t historyBytes = 0;
    };
    std::string text(const Gauges& gauges) const;

private:
    // Upper bounds in microseconds; behind the last one comes +Inf.
    static constexpr std::array<uint64_t, 12> kBounds{50,    100,    250,    500,     1'000,   2'500,
                                                      5'000, 10'000, 25'000, 100'000, 250'000, 1'000'000};

    std::array<std::atomic<uint64_t>, kBounds.size() + 1> m_buckets{};
    std::atomic<uint64_t> m_totalNanoseconds{0};
};

}  // namespace tnet
