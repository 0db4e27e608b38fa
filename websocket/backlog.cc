#include "websocket/backlog.h"

#include <cassert>
#include <utility>

namespace tnet {

void WsBacklog::insert(Place place, std::string_view key, SharedBytesPtr_t frame) {
    m_bytes += frame->size();
    const Place placed = m_messages.insert(place, {std::string(key), std::move(frame)});
    if (key.empty()) return;
    const bool isNew = m_byKey.emplace(key, placed).second;
    assert(isNew && "one message per key");
    static_cast<void>(isNew);
}

WsBacklog::Place WsBacklog::erase(Place message) {
    m_bytes -= message->frame->size();
    if (!message->key.empty()) m_byKey.erase(message->key);
    return m_messages.erase(message);
}

SharedBytesPtr_t WsBacklog::pop() {
    assert(!empty());
    SharedBytesPtr_t frame = m_messages.front().frame;
    erase(m_messages.begin());
    return frame;
}

void WsBacklog::clear() {
    m_messages.clear();
    m_byKey.clear();
    m_bytes = 0;
}

}  // namespace tnet
