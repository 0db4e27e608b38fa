#include "examples/push/metrics.h"

#include <algorithm>
#include <cstdio>
#include <initializer_list>

namespace tnet {
namespace {

struct Sample {
    const char* labels;  // in braces, or empty
    uint64_t value;
};

void head(std::string& out, const char* name, const char* type, const char* help) {
    out.append("# HELP ").append(name).append(" ").append(help).append("\n");
    out.append("# TYPE ").append(name).append(" ").append(type).append("\n");
}

void add(std::string& out, const char* name, const char* type, const char* help,
         std::initializer_list<Sample> samples) {
    head(out, name, type, help);
    for (const Sample& sample : samples)
        out.append(name).append(sample.labels).append(" ").append(std::to_string(sample.value)).append("\n");
}

std::string seconds(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.9g", value);
    return text;
}

constexpr const char* kSocket = R"({kind="websocket"})";
constexpr const char* kStream = R"({kind="sse"})";

}  // namespace

void PushMetrics::notePublish(std::chrono::nanoseconds took) {
    const auto microseconds = static_cast<uint64_t>(took.count() + 999) / 1000;
    const auto* const bucket = std::lower_bound(kBounds.begin(), kBounds.end(), microseconds);
    ++m_buckets[static_cast<size_t>(bucket - kBounds.begin())];
    m_totalNanoseconds += static_cast<uint64_t>(took.count());
}

std::string PushMetrics::text(const Gauges& now) const {
    std::string out;
    add(out, "push_connections", "gauge", "Subscribers connected now.",
        {{kSocket, now.sockets}, {kStream, now.streams}});
    add(out, "push_subscriptions", "gauge", "Topic filters of all subscribers.",
        {{kSocket, now.subscriptions}, {kStream, now.streams}});
    add(out, "push_published_total", "counter", "Messages published.", {{"", published}});
    add(out, "push_published_bytes_total", "counter", "Bytes of the messages published.",
        {{"", publishedBytes}});
    add(out, "push_publish_refused_total", "counter", "Publications refused with 401 or 403.",
        {{"", refused}});
    add(out, "push_publish_overloaded_total", "counter", "Publications refused with 503.",
        {{"", overloaded}});
    add(out, "push_delivered_total", "counter", "Messages sent or queued, one for each subscriber.",
        {{kSocket, now.socketsDelivered}, {kStream, eventsDelivered}});
    add(out, "push_dropped_total", "counter", "Messages dropped because their subscriber was too slow.",
        {{kSocket, now.socketsDropped}, {kStream, eventsDropped}});
    add(out, "push_slow_closed_total", "counter", "Subscribers closed because they were too slow.",
        {{kSocket, slowSockets}, {kStream, slowStreams}});
    add(out, "push_client_errors_total", "counter", "Messages of clients that were refused.",
        {{"", clientErrors}});
    add(out, "push_queue_bytes", "gauge", "Bytes that wait for slow subscribers.",
        {{kSocket, now.socketBytes}, {kStream, now.streamBytes}});
    add(out, "push_history_topics", "gauge", "Topics with history.", {{"", now.historyTopics}});
    add(out, "push_history_messages", "gauge", "Messages kept for replay.", {{"", now.historyMessages}});
    add(out, "push_history_bytes", "gauge", "Bytes of the messages kept for replay.",
        {{"", now.historyBytes}});

    constexpr const char* kLatency = "push_publish_seconds";
    head(out, kLatency, "histogram", "From the arrival of a publication until all loops had it.");
    uint64_t count = 0;
    for (size_t i = 0; i < m_buckets.size(); ++i) {
        count += m_buckets[i];
        const bool isLast = i == kBounds.size();
        const std::string bound = isLast ? "+Inf" : seconds(static_cast<double>(kBounds[i]) / 1e6);
        out.append(kLatency).append("_bucket{le=\"").append(bound).append("\"} ");
        out.append(std::to_string(count)).append("\n");
    }
    out.append(kLatency).append("_sum ").append(seconds(static_cast<double>(m_totalNanoseconds) / 1e9));
    out.append("\n").append(kLatency).append("_count ").append(std::to_string(count)).append("\n");
    return out;
}

}  // namespace tnet
