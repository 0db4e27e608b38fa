// WsBacklog: whole messages of one connection that wait for their turn, in order; one per key if they have keys.
//
//     insert(end, "a", 1), insert(end, "b", 2)      a1 b2
//     find("a") -> erase -> insert there, "a", 3    a3 b2
//
// Pure. Threads: one. Lifetime: frames are shared; places are valid until their message goes.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tnet/send_queue.h"
#include "websocket/sip_hash.h"

namespace tnet {

class WsBacklog {
public:
    struct Message {
        std::string key;  // empty: none
        SharedBytesPtr_t frame;
    };
    using Place = std::list<Message>::iterator;

    bool empty() const { return m_messages.empty(); }
    // Of memory, of all messages: an upper bound. A frame that others share counts in full.
    size_t bytes() const { return m_bytes; }
    // What insert() would add.
    static size_t bytesOf(std::string_view key, const SharedBytesPtr_t& frame);

    Place begin() { return m_messages.begin(); }
    Place end() { return m_messages.end(); }

    // The message with that key; end() if there is none.
    Place find(std::string_view key) {
        const auto found = m_byKey.find(key);
        return found == m_byKey.end() ? end() : found->second;
    }

    // In front of `place`. No other message has the key.
    void insert(Place place, std::string_view key, SharedBytesPtr_t frame);

    // Returns the place behind it.
    Place erase(Place message);

    // Takes the first one out; not if it is empty.
    SharedBytesPtr_t pop();

    void clear();

private:
    std::list<Message> m_messages;
    std::unordered_map<std::string_view, Place, SipTextHash, std::equal_to<>>
        m_byKey;  // views of the messages' keys, which peers may choose
    size_t m_bytes = 0;
};

}  // namespace tnet
