#include "websocket/backlog.h"

#include <cassert>
#include <new>
#include <utility>

#include "tnet/heap_bytes.h"

namespace tnet {
namespace {

constexpr size_t kPointer = sizeof(void*);
// Of the list, and of the map: its node (next, key, place, the hash that it keeps) and two buckets, since it
// has up to twice as many as entries.
constexpr size_t kMessageBytes = heapBytes(2 * kPointer + sizeof(WsBacklog::Message));
constexpr size_t kKeyBytes =
    heapBytes(kPointer + sizeof(std::string_view) + sizeof(WsBacklog::Place) + sizeof(size_t)) + 2 * kPointer;

}  // namespace

size_t WsBacklog::bytesOf(std::string_view key, const SharedBytesPtr_t& frame) {
    return kMessageBytes + heapBytes(frame) + (key.empty() ? 0 : kKeyBytes + heapBytesOfText(key.size()));
}

void WsBacklog::insert(Place place, std::string_view key, SharedBytesPtr_t frame) {
    const Place placed = m_messages.insert(place, {std::string(key), std::move(frame)});
    try {
        const bool isNew = key.empty() || m_byKey.emplace(placed->key, placed).second;
        assert(isNew && "one message per key");
        static_cast<void>(isNew);
    } catch (const std::bad_alloc&) {
        m_messages.erase(placed);
        throw;
    }
    m_bytes += bytesOf(placed->key, placed->frame);
}

WsBacklog::Place WsBacklog::erase(Place message) {
    m_bytes -= bytesOf(message->key, message->frame);
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
    m_byKey.clear();
    m_messages.clear();
    m_bytes = 0;
}

}  // namespace tnet
