#include "websocket/topics.h"

#include <utility>
#include <vector>

#include "tnet/io_loop.h"
#include "websocket/loop.h"
#include "websocket/publication.h"
#include "websocket/topic_tree.h"

namespace tnet {

WsTopics::WsTopics() = default;
WsTopics::~WsTopics() = default;

bool WsTopics::publish(std::string_view topic, std::string_view payload, WsOpcode opcode) {
    if (!isValidTopic(topic)) return false;
    m_published.fetch_add(1, std::memory_order_relaxed);
    const auto publication = std::make_shared<const WsPublication>(topic, payload, opcode);
    std::vector<std::shared_ptr<WsLoop>> locked;  // let go of outside the lock
    const std::lock_guard lock(m_mutex);
    for (const std::weak_ptr<WsLoop>& weak : m_loops) {
        if (std::shared_ptr<WsLoop> loop = weak.lock()) {
            if (loop->mayHaveSubscribers()) loop->post(publication);
            locked.push_back(std::move(loop));
        }
    }
    return true;
}

size_t WsTopics::subscribers(std::string_view filter) const {
    const std::lock_guard lock(m_mutex);
    const auto found = m_counts.find(filter);
    return found == m_counts.end() ? 0 : found->second;
}

size_t WsTopics::connections() const {
    const std::lock_guard lock(m_mutex);
    size_t count = 0;
    for (const std::weak_ptr<WsLoop>& weak : m_loops) {
        if (const std::shared_ptr<WsLoop> loop = weak.lock()) count += loop->connections();
    }
    return count;
}

WsTopics::Stats WsTopics::stats() const {
    Stats stats;
    stats.published = m_published.load(std::memory_order_relaxed);
    stats.delivered = m_delivered.load(std::memory_order_relaxed);
    stats.dropped = m_dropped.load(std::memory_order_relaxed);
    const std::lock_guard lock(m_mutex);
    stats.subscriptions = m_subscriptions;
    return stats;
}

// By the task queue: its address is not used again while a WsLoop holds it, as that of a loop could be.
std::shared_ptr<WsLoop> WsTopics::loopFor(IOLoop& loop) {
    const std::lock_guard lock(m_mutex);
    std::erase_if(m_loops, [](const std::weak_ptr<WsLoop>& weak) { return weak.expired(); });
    for (const std::weak_ptr<WsLoop>& weak : m_loops) {
        std::shared_ptr<WsLoop> known = weak.lock();
        if (known && known->tasks() == loop.tasks()) return known;
    }
    auto made = std::make_shared<WsLoop>(loop, weak_from_this());
    loop.keep(made);
    m_loops.push_back(made);
    return made;
}

void WsTopics::subscribed(std::string_view filter) {
    const std::lock_guard lock(m_mutex);
    const auto found = m_counts.find(filter);
    if (found != m_counts.end()) {
        ++found->second;
    } else {
        m_counts.emplace(filter, 1);
    }
    ++m_subscriptions;
}

void WsTopics::unsubscribed(std::string_view filter) {
    const std::lock_guard lock(m_mutex);
    --m_subscriptions;
    const auto found = m_counts.find(filter);
    if (found != m_counts.end() && --found->second == 0) m_counts.erase(found);
}

}  // namespace tnet
