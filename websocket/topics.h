// WsTopics: publish and subscribe across all loops of the process.
//
//     any thread: publish ──> frame, encoded once ──> inbox of each loop ──> its tree of topics ──> subscribers
//                                                     (one wake per batch)
//
// A publication reaches everyone who was subscribed before it, on every loop; those of one thread to one
// topic, in their order. A subscriber whose filters match more than once gets one copy. What is queued for a
// subscriber counts against its route's maxQueuedBytes, and the bytes are shared by all.
//
// Each loop works its inbox off in turns, so that publications do not keep it from its connections; what
// waits in it is bounded, and a publication that one of the inboxes has no room for is refused: either all
// loops get it or none does.
//
// Topics and filters are MQTT's: levels between slashes, `+` for one level, `#` for the rest (topic_tree.h).
//
// Threads: any. Lifetime: made with std::make_shared; shared by servers. Without loops, publications go nowhere.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "websocket/sip_hash.h"
#include "websocket/types.h"

namespace tnet {

class IOLoop;
class WsLoop;

enum class WsPublishStatus : uint8_t {
    Accepted,  // on its way to all who are subscribed
    Full,      // nobody gets it: a loop is behind with its inbox. Try again later, or do without
    Invalid,   // the topic is no topic name
    Closed,    // the connection that was to publish is closed or closing
};

class WsTopics : public std::enable_shared_from_this<WsTopics> {
public:
    // What may wait in the inbox of each loop: publications, and what other threads ask of its connections. A single
    // item may be larger if nothing else waits. Closing and unsubscribing is never refused.
    struct Settings {
        size_t inboxItems = 16 << 10;
        size_t inboxBytes = 16 << 20;  // of memory
    };

    struct Stats {
        uint64_t published = 0;  // publications that were accepted
        uint64_t refused = 0;    // for want of room
        uint64_t delivered = 0;  // to subscribers: sent or queued
        uint64_t dropped = 0;    // for subscribers that are too slow, as their routes say
        size_t subscriptions = 0;
    };

    WsTopics() : WsTopics(Settings{}) {}
    explicit WsTopics(Settings settings);
    ~WsTopics();
    WsTopics(const WsTopics&) = delete;
    WsTopics& operator=(const WsTopics&) = delete;

    // `payload` is UTF-8 if `opcode` is Text. Unless it is Accepted, nothing happens. Never calls back.
    WsPublishStatus publish(std::string_view topic, std::string_view payload,
                            WsOpcode opcode = WsOpcode::Text);

    // Connections subscribed to exactly this filter.
    size_t subscribers(std::string_view filter) const;
    Stats stats() const;
    // Open now, on all loops; subscribed or not.
    size_t connections() const;

    // --- For //websocket ---

    // The loop's part, made when it is first asked for, and the loop's to keep. On the loop's thread.
    std::shared_ptr<WsLoop> loopFor(IOLoop& loop);

    void subscribed(std::string_view filter);
    void unsubscribed(std::string_view filter);
    void noteDelivered(size_t count) { m_delivered.fetch_add(count, std::memory_order_relaxed); }
    void noteDropped(size_t count) { m_dropped.fetch_add(count, std::memory_order_relaxed); }

    const Settings& settings() const { return m_settings; }

private:
    const Settings m_settings;
    mutable std::mutex m_mutex;
    std::vector<std::weak_ptr<WsLoop>> m_loops;                                      // } guarded
    std::unordered_map<std::string, size_t, SipTextHash, std::equal_to<>> m_counts;  // } by m_mutex;
    size_t m_subscriptions = 0;                                                      // } peers choose filters
    std::atomic<uint64_t> m_published{0};
    std::atomic<uint64_t> m_refused{0};
    std::atomic<uint64_t> m_delivered{0};
    std::atomic<uint64_t> m_dropped{0};
};

using WsTopicsPtr_t = std::shared_ptr<WsTopics>;

}  // namespace tnet
