#include "websocket/topics.h"

#include <new>
#include <utility>
#include <vector>

#include "tnet/io_loop.h"
#include "websocket/loop.h"
#include "websocket/publication.h"
#include "websocket/topic_tree.h"

namespace tnet {

namespace {

// The loops that get a publication: all that may have subscribers, or none.
struct Receivers {
    // False: one of them has no room.
    bool reserve(size_t bytesOfItem) {
        bytes = bytesOfItem;
        for (size_t i = 0; i < loops.size(); ++i) {
            switch (loops[i]->reserve(bytes)) {
                case WsLoop::Room::Reserved: std::swap(loops[i], loops[reserved++]); break;
                case WsLoop::Room::NotNeeded: break;
                case WsLoop::Room::None: giveBack(); return false;
            }
        }
        return true;
    }

    // Throws std::bad_alloc, which some of them may have got it before.
    void post(const WsPublicationPtr_t& publication) {
        try {
            while (reserved > 0) loops[reserved - 1]->post(publication, bytes), --reserved;
        } catch (const std::bad_alloc&) {
            giveBack();
            throw;
        }
    }

    void giveBack() {
        while (reserved > 0) loops[--reserved]->giveBack(1, bytes);
    }

    std::vector<std::shared_ptr<WsLoop>> loops{};
    size_t reserved = 0;  // of them, from the first one on
    size_t bytes = 0;
};

}  // namespace

WsTopics::WsTopics(Settings settings) : m_settings(settings) {}
WsTopics::~WsTopics() = default;

WsPublishStatus WsTopics::publish(std::string_view topic, std::string_view payload, WsOpcode opcode) {
    if (!isValidTopic(topic)) return WsPublishStatus::Invalid;
    const auto publication = std::make_shared<const WsPublication>(topic, payload, opcode);
    Receivers to;  // lets go of loops outside the lock
    const std::lock_guard lock(m_mutex);
    to.loops.reserve(m_loops.size());
    for (const std::weak_ptr<WsLoop>& weak : m_loops) {
        if (std::shared_ptr<WsLoop> loop = weak.lock()) to.loops.push_back(std::move(loop));
    }
    if (!to.reserve(WsLoop::bytesOf(*publication))) {
        m_refused.fetch_add(1, std::memory_order_relaxed);
        return WsPublishStatus::Full;
    }
    m_published.fetch_add(1, std::memory_order_relaxed);
    to.post(publication);
    return WsPublishStatus::Accepted;
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
    stats.refused = m_refused.load(std::memory_order_relaxed);
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
