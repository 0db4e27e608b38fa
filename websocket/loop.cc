#include "websocket/loop.h"

#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include "tnet/log.h"
#include "tnet/release_memory.h"
#include "websocket/connection.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;

constexpr size_t kKeptScratch = 64 << 10;

WsReceiver::Settings settingsOf(const WsRoute& route, std::optional<WsInflater::Settings> inflate) {
    WsReceiver::Settings settings;
    settings.inPieces = static_cast<bool>(route.onPiece);
    settings.maxMessageBytes = route.maxMessageBytes;
    settings.maxFrameBytes = route.maxFrameBytes;
    settings.maxFragments = route.maxFragments;
    settings.inflate = inflate;
    return settings;
}

// How often a connection is looked at; zero: never.
milliseconds periodOf(const WsRoute& route) {
    if (route.pingInterval > milliseconds::zero()) return route.pingInterval;
    const bool hasWindows = route.compression == WsCompression::Dedicated;
    const milliseconds release = hasWindows ? route.releaseWindowsAfter : milliseconds::zero();
    if (route.idleTimeout <= milliseconds::zero()) return release;
    return release > milliseconds::zero() ? std::min(route.idleTimeout, release) : route.idleTimeout;
}

WsConnection& connectionOf(IdleLink& link) { return static_cast<WsConnection&>(link); }

}  // namespace

WsLane::WsLane(WsLoop& home, std::shared_ptr<const WsRoute> ofRoute)
    : loop(home),
      route(std::move(ofRoute)),
      plain(settingsOf(*route, std::nullopt)),
      inflated(settingsOf(*route, WsInflater::Settings{.windowBits = 15, .noContextTakeover = true})) {}

WsLoop::WsLoop(IOLoop& loop, std::weak_ptr<WsTopics> topics)
    : m_loop(loop), m_tasks(loop.tasks()), m_topics(std::move(topics)) {}

WsLoop::~WsLoop() = default;

// --- The inbox ---

bool WsLoop::mayHaveSubscribers() {
    if (connections() > 0) return true;
    const std::lock_guard lock(m_mutex);
    return !m_inbox.empty();
}

bool WsLoop::post(Callback_t task) { return enqueue({nullptr, std::move(task)}); }

bool WsLoop::post(WsPublicationPtr_t publication) { return enqueue({std::move(publication), nullptr}); }

bool WsLoop::enqueue(Item item) {
    bool first = false;
    {
        const std::lock_guard lock(m_mutex);
        m_inbox.push_back(std::move(item));
        first = !std::exchange(m_isWakeUnderWay, true);
    }
    if (!first) return true;  // whoever was has seen to the wake
    try {
        Callback_t run = [self = shared_from_this()] { self->runInbox(); };
        if (isInLoopThread()) {
            m_loop.addCallback(std::move(run));
            return true;
        }
        if (m_tasks->post(std::move(run))) return true;
    } catch (const std::bad_alloc&) {
        // It is in the inbox, and its turn comes with the next one's wake.
        const std::lock_guard lock(m_mutex);
        m_isWakeUnderWay = false;
        return true;
    }
    std::vector<Item> dropped;  // destroyed outside the lock
    const std::lock_guard lock(m_mutex);
    dropped.swap(m_inbox);
    return false;
}

void WsLoop::runInbox() {
    {
        const std::lock_guard lock(m_mutex);
        m_batch.swap(m_inbox);
        m_isWakeUnderWay = false;
    }
    const auto publications = std::count_if(m_batch.begin(), m_batch.end(),
                                            [](const Item& item) { return item.publication != nullptr; });
    for (Item& item : m_batch) {
        if (item.publication) {
            publishHere(*item.publication, publications > 1);
        } else {
            item.task();
        }
        item = {};  // what it owns goes before the next one runs
    }
    m_batch.clear();
}

void WsLoop::publishHere(const WsPublication& publication, bool gather) {
    size_t delivered = 0;
    m_tree.match(publication.topic(), [&](WsSubscriber& subscriber) {
        auto& connection = static_cast<WsConnection&>(subscriber);
        connection.orAbort([&] {
            if (connection.deliver(publication, gather)) ++delivered;
        });
    });
    if (const WsTopicsPtr_t topics = m_topics.lock()) topics->noteDelivered(delivered);
}

// --- Connections ---

WsLane& WsLoop::laneOf(const std::shared_ptr<const WsRoute>& route) {
    for (const auto& lane : m_lanes) {
        if (lane->route == route) return *lane;
    }
    m_lanes.push_back(std::make_unique<WsLane>(*this, route));
    return *m_lanes.back();
}

void WsLoop::add(WsLane& lane, WsConnection& connection) {
    m_connections.fetch_add(1, std::memory_order_relaxed);
    const bool isFirst = lane.quiet.empty();  // otherwise the timer is for one that is due earlier
    lane.quiet.pushBack(connection, m_loop.now());
    if (isFirst || !lane.timer.isValid()) watch(lane);
}

void WsLoop::remove(WsConnection& connection) {
    m_connections.fetch_sub(1, std::memory_order_relaxed);
    connection.unlink();
    if (m_tree.subscriptions(connection) == 0) return;
    try {
        if (const WsTopicsPtr_t topics = m_topics.lock()) {
            for (const std::string& filter : m_tree.filters(connection)) topics->unsubscribed(filter);
        }
    } catch (const std::bad_alloc&) {
        // It goes all the same.
        logger().error("out of memory: topics count a subscriber that is gone");
    }
    m_tree.unsubscribeAll(connection);
}

bool WsLoop::subscribe(WsConnection& connection, std::string_view filter) {
    const WsTopicTree::Subscribed outcome = m_tree.subscribe(filter, connection);
    if (outcome == WsTopicTree::Subscribed::Invalid) return false;
    if (outcome != WsTopicTree::Subscribed::Added) return true;
    try {
        if (const WsTopicsPtr_t topics = m_topics.lock()) topics->subscribed(filter);
    } catch (const std::bad_alloc&) {
        m_tree.unsubscribe(filter, connection);
        throw;
    }
    return true;
}

void WsLoop::unsubscribe(WsConnection& connection, std::string_view filter) {
    if (!m_tree.unsubscribe(filter, connection)) return;
    if (const WsTopicsPtr_t topics = m_topics.lock()) topics->unsubscribed(filter);
}

WsDeflater& WsLoop::deflater(int windowBits) {
    auto& deflater = m_deflaters[static_cast<size_t>(windowBits)];
    if (!deflater) {
        deflater = std::make_unique<WsDeflater>(
            WsDeflater::Settings{.windowBits = windowBits, .noContextTakeover = true});
    }
    if (m_scratch.capacity() > kKeptScratch) releaseMemory(m_scratch);
    m_scratch.clear();
    return *deflater;
}

// --- Silent peers ---

void WsLoop::watch(WsLane& lane) {
    const milliseconds period = periodOf(*lane.route);
    if (period <= milliseconds::zero()) return;
    std::optional<TimePoint> next;
    if (const IdleLink* const link = lane.quiet.front()) next = link->idleSince() + period;
    if (const IdleLink* const link = lane.pinged.front()) {
        const TimePoint due = link->idleSince() + lane.route->pongTimeout;
        next = next ? std::min(*next, due) : due;
    }
    if (lane.timer.isValid()) m_loop.cancel(lane.timer);
    lane.timer = {};
    if (!next) return;
    // The loop's timers go before the loop, and lanes live as long as this.
    // What it captures allocates nothing: it has to be set again from inside itself.
    lane.timer = m_loop.runAfter(*next - m_loop.clock().now(), [this, &lane] {
        lane.timer = {};
        look(lane);
        watch(lane);
    });
}

void WsLoop::look(WsLane& lane) {
    const TimePoint now = m_loop.now();
    const WsRoute& route = *lane.route;
    const milliseconds period = periodOf(route);
    while (IdleLink* const link = lane.quiet.front()) {
        if (link->idleSince() + period > now) break;
        WsConnection& connection = connectionOf(*link);
        const bool pings = route.pingInterval > milliseconds::zero() && connection.mayPing();
        if (connection.takeHeard() || !pings) {
            lane.quiet.pushBack(connection, now);
        } else {
            const bool awaitsPong = route.pongTimeout > milliseconds::zero();
            (awaitsPong ? lane.pinged : lane.quiet).pushBack(connection, now);
            connection.ping();
        }
        connection.orAbort([&] { connection.lookAfter(now); });
    }
    while (IdleLink* const link = lane.pinged.front()) {
        if (link->idleSince() + route.pongTimeout > now) break;
        WsConnection& connection = connectionOf(*link);
        lane.quiet.pushBack(connection, now);
        if (!connection.takeHeard() && !connection.isPaused()) connection.abort();
    }
}

void WsLoop::drain(milliseconds spread) {
    std::vector<WsConnectionPtr_t> open;
    for (const auto& lane : m_lanes) {
        for (IdleList* const list : {&lane->quiet, &lane->pinged}) {
            for (IdleLink* link = list->front(); link != nullptr; link = list->next(*link))
                open.push_back(connectionOf(*link).shared_from_this());
        }
    }
    for (size_t i = 0; i < open.size(); ++i) {
        const auto delay = Duration(spread) * static_cast<int64_t>(i) / static_cast<int64_t>(open.size());
        const auto close = [](WsConnection& connection) {
            connection.close(WsCloseCode::GoingAway, "the server is shutting down");
        };
        if (delay == Duration::zero()) {
            close(*open[i]);
            continue;
        }
        m_loop.runAfter(delay, [close, weak = WeakWsConnectionPtr_t(open[i])] {
            if (const WsConnectionPtr_t connection = weak.lock()) close(*connection);
        });
    }
}

}  // namespace tnet
