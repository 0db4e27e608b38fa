// EventStream: one client's server-sent events (the HTML standard, §9.2), bounded as a WebSocket's queue is.
//
//     send ──> HttpBodyWriter, until it says Wait ──> a queue of its own, with the policy at its limit
//                       ^───────────────── resume, when the writer has drained ──────────────┘
//
// Threads: the hub's. Lifetime: shared; destroyed unfinished it breaks the connection off, and the client
// comes back with its Last-Event-ID.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "examples/push/metrics.h"
#include "http/responder.h"
#include "tnet/send_queue.h"
#include "websocket/route.h"

namespace tnet {

class EventStream {
public:
    struct Settings {
        size_t maxQueuedBytes = 1 << 20;  // beside what the writer takes before it says Wait
        WsOverflow overflow = WsOverflow::Close;
    };

    EventStream(HttpBodyWriter writer, std::string topic, Settings settings, PushMetrics& metrics)
        : m_writer(std::move(writer)), m_topic(std::move(topic)), m_settings(settings), m_metrics(metrics) {}

    // Whole events, with the empty line at their end. False: the stream is over, the client gone or too slow.
    bool send(const SharedBytesPtr_t& event);

    // A comment, which keeps proxies from closing; nothing if something waits already. False: as above.
    bool keepAlive();

    // As the writer's: called on another thread when resume() has something to do.
    void onDrain(Callback_t callback) { m_writer.onDrain(std::move(callback)); }
    void resume();

    void finish() { m_writer.finish(); }

    const std::string& topic() const { return m_topic; }
    size_t queuedBytes() const { return m_queuedBytes; }

private:
    enum class State { Flowing, Waiting, Over };

    void write(const std::string& text);
    bool overflow(const SharedBytesPtr_t& event);
    void dropOldest();

    HttpBodyWriter m_writer;
    const std::string m_topic;
    const Settings m_settings;
    PushMetrics& m_metrics;
    State m_state = State::Flowing;
    std::deque<SharedBytesPtr_t> m_queue;
    size_t m_queuedBytes = 0;
};

using EventStreamPtr_t = std::shared_ptr<EventStream>;

}  // namespace tnet
