// PushHub: gives messages their ids, keeps the history, and hands both to the subscribers.
//
//     any thread: publish, subscribe, stream ──> the hub's loop, one after the other
//         publish:   id, history ──> WsTopics ──> inbox of each loop ──> subscribers
//                                └─> event streams of the topic
//         subscribe: what the history has ──> the connection's queue; then its subscription begins
//
// Replay and live messages join without gap or duplicate because both come from one thread. What it asks of a
// WebSocket connection goes through the inbox of that connection's loop, in order, as its publications do: a
// message from before the subscription passes there before it and came with the replay; one from after it
// comes behind it. For the same reason the ids that a connection sees only rise, so that its last id is all it
// needs to come back.
//
// Threads: any, where a function does not say otherwise. Its loop serves no connections.
// Lifetime: outlives the server whose handlers call it; borrows the loop and the metrics.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "examples/push/event_stream.h"
#include "examples/push/history.h"
#include "examples/push/metrics.h"
#include "http/responder.h"
#include "tnet/io_loop.h"
#include "websocket/server.h"

namespace tnet {

class PushHub {
public:
    struct Settings {
        PushHistory::Settings history{};
        EventStream::Settings stream{};
        std::chrono::milliseconds keepAlive{15'000};  // between comments on event streams
    };

    PushHub(IOLoop& loop, WsTopicsPtr_t topics, PushMetrics& metrics, Settings settings);

    // `topic` is valid, `data` is UTF-8. Answers {"id":N}, or 503 if a loop has no room for it.
    void publish(std::string topic, std::string data, HttpResponder responder);

    // Filters are valid. With `after`, what followed that id is sent first, for filters without wildcards. Each
    // is confirmed: {"subscribed":"t","id":N}, and "complete" if there was an `after`.
    void subscribe(WsConnectionPtr_t connection, std::vector<std::string> filters,
                   std::optional<uint64_t> after);
    void unsubscribe(WsConnectionPtr_t connection, std::string filter);

    // Between its opening and its end.
    void add(WsConnectionPtr_t connection);
    void remove(WsConnectionPtr_t connection);

    // Answers with the topic's events until the client goes. `head`: what the answer begins with.
    void stream(std::string topic, std::optional<uint64_t> after, HttpResponse head, HttpResponder responder);

    // Answers with the metrics; with 200, or 503 while it drains.
    void report(HttpResponder responder);
    void reportHealth(HttpResponder responder);

    // Ends the event streams, evenly over `spread`. On the hub's loop.
    void drain(std::chrono::milliseconds spread);

private:
    using Clock = std::chrono::steady_clock;

    void publishHere(std::string topic, const std::string& data, Clock::time_point received,
                     HttpResponder& to);
    void subscribeHere(WsConnection& connection, const std::vector<std::string>& filters,
                       std::optional<uint64_t> after);
    void streamHere(const std::string& topic, std::optional<uint64_t> after, HttpResponse head,
                    HttpResponder& to);
    void sendToStreams(const PushMessage& message);
    void end(const EventStreamPtr_t& stream);
    void keepAlive();
    std::vector<EventStreamPtr_t> allStreams() const;
    std::string metricsText() const;

    IOLoop& m_loop;
    const WsTopicsPtr_t m_topics;
    PushMetrics& m_metrics;
    const Settings m_settings;
    uint64_t m_lastId;
    PushHistory m_history;
    std::unordered_set<WsConnectionPtr_t> m_connections;
    std::unordered_map<std::string, std::unordered_set<EventStreamPtr_t>> m_streams;  // by topic
    bool m_draining = false;
};

}  // namespace tnet
