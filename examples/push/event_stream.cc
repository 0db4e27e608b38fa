#include "examples/push/event_stream.h"

namespace tnet {

bool EventStream::send(const SharedBytesPtr_t& event) {
    if (m_state == State::Flowing) {
        write(*event);
        if (m_state != State::Over) ++m_metrics.eventsDelivered;
        return m_state != State::Over;
    }
    // All events of a stream are of one topic, so the latest takes the place of all that wait.
    while (m_settings.overflow == WsOverflow::KeepLatest && !m_queue.empty()) dropOldest();
    const bool isTooMuch = m_queuedBytes > 0 && m_queuedBytes + event->size() > m_settings.maxQueuedBytes;
    if (isTooMuch && !overflow(event)) return m_state != State::Over;
    m_queue.push_back(event);
    m_queuedBytes += event->size();
    ++m_metrics.eventsDelivered;
    return true;
}

// True: there is room now.
bool EventStream::overflow(const SharedBytesPtr_t& event) {
    switch (m_settings.overflow) {
        case WsOverflow::Close:
            ++m_metrics.slowStreams;
            m_state = State::Over;
            return false;
        case WsOverflow::DropNewest: ++m_metrics.eventsDropped; return false;
        case WsOverflow::DropOldest:
        case WsOverflow::KeepLatest: break;
    }
    while (!m_queue.empty() && m_queuedBytes + event->size() > m_settings.maxQueuedBytes) dropOldest();
    return true;
}

void EventStream::dropOldest() {
    m_queuedBytes -= m_queue.front()->size();
    m_queue.pop_front();
    ++m_metrics.eventsDropped;
}

bool EventStream::keepAlive() {
    if (m_state == State::Flowing) write(":\n\n");
    return m_state != State::Over && m_writer.isOpen();
}

void EventStream::resume() {
    if (m_state == State::Waiting) m_state = State::Flowing;
    while (m_state == State::Flowing && !m_queue.empty()) {
        const SharedBytesPtr_t event = m_queue.front();
        m_queuedBytes -= event->size();
        m_queue.pop_front();
        write(*event);
    }
}

void EventStream::write(const std::string& text) {
    switch (m_writer.write(text)) {
        case HttpBodyWriter::Wrote::Accepted: return;
        case HttpBodyWriter::Wrote::Wait: m_state = State::Waiting; return;
        case HttpBodyWriter::Wrote::Closed: m_state = State::Over; return;
    }
}

}  // namespace tnet
