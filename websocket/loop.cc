#include "websocket/loop.h"

#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include "tnet/durations.h"
#include "tnet/heap_bytes.h"
#include "tnet/log.h"
#include "tnet/release_memory.h"
#include "websocket/connection.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;

constexpr size_t kKeptScratch = 64 << 10;

// Of an inbox, before the connections of the loop have their turn. A step is an item, or a publication's
// delivery to one subscriber.
constexpr TurnBudget kInboxTurn{512, 512 << 10};
// Publications that one subscriber gets before the next subscriber has its turn.
constexpr TurnBudget kGroupTurn{64, 64 << 10};

// Connections that are looked at, or closed by a drain, in a row: a ping or a Close each.
constexpr TurnBudget kLookTurn{256, 256 << 10};

// What an item takes: its place in a deque, whose blocks of 512 bytes have a few bytes left and cost a pointer each.
constexpr size_t kItemBytes = 88;

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
Duration periodOf(const WsRoute& route) {
    if (route.pingInterval > milliseconds::zero())
        return saturated(route.pingInterval) / WsConnection::kLooksPerPing;
    const bool hasWindows = route.compression == WsCompression::Dedicated;
    const milliseconds release = hasWindows ? route.releaseWindowsAfter : milliseconds::zero();
    if (route.idleTimeout <= milliseconds::zero()) return saturated(release);
    return saturated(release > milliseconds::zero() ? std::min(route.idleTimeout, release)
                                                    : route.idleTimeout);
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

// --- The inbox: any thread ---

// Of a publication, one that waits alone may be larger than the limit.
bool WsLoop::hasRoom(size_t bytes) const {
    if (m_waiting.items == 0) return true;
    const WsTopicsPtr_t topics = m_topics.lock();
    if (!topics) return true;  // nothing is published any more
    const WsTopics::Settings& limits = topics->settings();
    return m_waiting.items < limits.inboxItems && bytes <= limits.inboxBytes &&
           m_waiting.bytes <= limits.inboxBytes - bytes;
}

WsLoop::Room WsLoop::reserve(size_t bytes) {
    const std::lock_guard lock(m_mutex);
    if (connections() == 0 && m_waiting.items == 0) return Room::NotNeeded;
    if (!hasRoom(bytes)) return Room::None;
    ++m_waiting.items;
    m_waiting.bytes += bytes;
    return Room::Reserved;
}

bool WsLoop::reserveForTask(size_t bytes) {
    const std::lock_guard lock(m_mutex);
    if (!hasRoom(bytes)) return false;
    ++m_waiting.items;
    m_waiting.bytes += bytes;
    return true;
}

void WsLoop::reserveAlways(size_t bytes) {
    const std::lock_guard lock(m_mutex);
    ++m_waiting.items;
    m_waiting.bytes += bytes;
}

void WsLoop::giveBack(size_t items, size_t bytes) {
    const std::lock_guard lock(m_mutex);
    m_waiting.items -= items;
    m_waiting.bytes -= bytes;
}

size_t WsLoop::bytesOf(const WsPublication& publication) { return kItemBytes + publication.memoryBytes(); }

size_t WsLoop::bytesOfTask(size_t closureBytes, size_t textBytes) {
    return kItemBytes + heapBytes(closureBytes) + textBytes;
}

void WsLoop::post(WsPublicationPtr_t publication, size_t bytes) {
    enqueue({.publication = std::move(publication), .bytes = bytes});
}

void WsLoop::post(WeakWsConnectionPtr_t connection, WsTask_t task, size_t bytes) {
    enqueue({.connection = std::move(connection), .task = std::move(task), .bytes = bytes});
}

void WsLoop::enqueue(Item item) {
    {
        const std::lock_guard lock(m_mutex);
        m_inbox.push_back(std::move(item));
        if (std::exchange(m_isWakeUnderWay, true)) return;
    }
    try {
        if (wakeLoop()) return;
    } catch (const std::bad_alloc&) {
        // It is in the inbox, and its turn comes with the next one's wake.
        const std::lock_guard lock(m_mutex);
        m_isWakeUnderWay = false;
        return;
    }
    std::deque<Item> dropped;  // the loop is gone; destroyed outside the lock
    const std::lock_guard lock(m_mutex);
    dropped.swap(m_inbox);
    m_waiting = {};
}

// False: the loop is gone.
bool WsLoop::wakeLoop() {
    // The loop keeps this for as long as it has tasks of its own.
    if (isInLoopThread()) return m_loop.addCallback([this] { runInbox(); }), true;
    return m_tasks->post([self = shared_from_this()] { self->runInbox(); });
}

// --- The inbox: the loop ---

void WsLoop::runInbox() {
    if (m_batch.empty()) {
        const std::lock_guard lock(m_mutex);
        m_batch.swap(m_inbox);
    }
    Turn turn(kInboxTurn);
    Waiting done;
    while (!m_batch.empty() && !turn.isOver()) {
        if (m_batch.front().task) {
            runTask(turn, done);
        } else {
            if (m_groupSize == 0) beginGroup(turn);
            deliverGroup(turn, done);
        }
    }
    {
        const std::lock_guard lock(m_mutex);
        m_waiting.items -= std::min(done.items, m_waiting.items);
        m_waiting.bytes -= std::min(done.bytes, m_waiting.bytes);
        m_isWakeUnderWay = !m_batch.empty() || !m_inbox.empty();
        if (!m_isWakeUnderWay) return;
    }
    try {
        m_loop.addCallback([this] { runInbox(); });
    } catch (const std::bad_alloc&) {
        const std::lock_guard lock(m_mutex);  // as in enqueue()
        m_isWakeUnderWay = false;
    }
}

void WsLoop::popItem(Waiting& done) {
    ++done.items;
    done.bytes += m_batch.front().bytes;
    m_batch.pop_front();
}

void WsLoop::runTask(Turn& turn, Waiting& done) {
    turn.spend(m_batch.front().bytes);
    const Item item = std::move(m_batch.front());  // what it owns goes before the next one runs
    popItem(done);
    if (const WsConnectionPtr_t connection = item.connection.lock())
        connection->runPosted(item.task, item.bytes);
}

void WsLoop::beginGroup(Turn& turn) {
    const std::string& topic = m_batch.front().publication->topic();
    m_groupBytes = 0;
    while (m_groupSize < m_batch.size() && m_groupSize < kGroupTurn.steps &&
           m_groupBytes < kGroupTurn.bytes) {
        const WsPublicationPtr_t& next = m_batch[m_groupSize].publication;
        if (!next || next->topic() != topic) break;
        m_groupBytes += next->frame()->size();
        ++m_groupSize;
    }
    turn.spend(0, static_cast<uint32_t>(m_groupSize));
    turn.spend(0, static_cast<uint32_t>(std::min<size_t>(m_tree.beginMatch(topic), UINT32_MAX)));
}

// To as many subscribers as the turn allows.
void WsLoop::deliverGroup(Turn& turn, Waiting& done) {
    size_t delivered = 0;
    while (WsSubscriber* const subscriber = m_tree.nextMatch(turn)) {
        auto& connection = static_cast<WsConnection&>(*subscriber);
        connection.orAbort([&] {
            for (size_t i = 0; i < m_groupSize; ++i)
                delivered += connection.deliver(*m_batch[i].publication) ? 1 : 0;
        });
        turn.spend(m_groupBytes, static_cast<uint32_t>(m_groupSize - 1));
    }
    if (const WsTopicsPtr_t topics = m_topics.lock()) topics->noteDelivered(delivered);
    if (m_tree.isMatching()) return;
    for (; m_groupSize > 0; --m_groupSize) popItem(done);
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
    heardAgain(lane, connection);
}

void WsLoop::heardAgain(WsLane& lane, WsConnection& connection) {
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
    const Duration period = periodOf(*lane.route);
    if (period <= Duration::zero()) return;
    std::optional<TimePoint> next;
    if (const IdleLink* const link = lane.quiet.front()) next = timeAfter(link->idleSince(), period);
    if (const IdleLink* const link = lane.pinged.front()) {
        const TimePoint due = timeAfter(link->idleSince(), lane.route->pongTimeout);
        next = next ? std::min(*next, due) : due;
    }
    if (lane.timer.isValid()) m_loop.cancel(lane.timer);
    lane.timer = {};
    if (!next) return;
    // The loop's timers go before the loop, and lanes live as long as this.
    // What it captures allocates nothing: it has to be set again from inside itself.
    lane.timer = m_loop.runAfter(timeUntil(m_loop.clock().now(), *next), [this, &lane] {
        lane.timer = {};
        look(lane);
        watch(lane);  // at once, if the turn is over
    });
}

void WsLoop::look(WsLane& lane) {
    const TimePoint now = m_loop.now();
    const WsRoute& route = *lane.route;
    const Duration period = periodOf(route);
    const bool pings = route.pingInterval > milliseconds::zero();
    const bool awaitsPong = route.pongTimeout > milliseconds::zero();
    Turn turn(kLookTurn);
    for (IdleLink* link = nullptr; (link = lane.quiet.front()) != nullptr && !turn.isOver(); turn.spend(0)) {
        if (timeAfter(link->idleSince(), period) > now) break;
        WsConnection& connection = connectionOf(*link);
        const bool isDue = pings && connection.isPingDue(awaitsPong);
        (isDue && awaitsPong ? lane.pinged : lane.quiet).pushBack(connection, now);
        if (isDue) connection.ping();
        connection.orAbort([&] { connection.lookAfter(now); });
    }
    for (IdleLink* link = nullptr; (link = lane.pinged.front()) != nullptr && !turn.isOver(); turn.spend(0)) {
        if (timeAfter(link->idleSince(), route.pongTimeout) > now) break;
        WsConnection& connection = connectionOf(*link);
        lane.quiet.pushBack(connection, now);
        connection.notePongMissed();
    }
}

// --- Drain ---

void WsLoop::drain(milliseconds spread) {
    m_loop.cancel(m_drain.timer);
    m_drain = {.begin = m_loop.clock().now(),
               .spread = std::max(saturated(spread), Duration::zero()),
               .connections = std::max<size_t>(connections(), 1)};
    drainSome();
}

// Null: none is left.
WsLane* WsLoop::laneToDrain() {
    for (const auto& lane : m_lanes) {
        if (!lane->quiet.empty() || !lane->pinged.empty()) return lane.get();
    }
    return nullptr;
}

void WsLoop::drainSome() {
    m_drain.timer = {};
    const TimePoint now = m_loop.clock().now();
    const Duration pause = m_drain.spread / static_cast<int64_t>(m_drain.connections);
    Turn turn(kLookTurn);
    while (WsLane* const lane = laneToDrain()) {
        const auto turns = static_cast<int64_t>(std::min(m_drain.closed, m_drain.connections));
        const TimePoint due = timeAfter(m_drain.begin, pause * turns);
        if (due > now || turn.isOver()) {
            m_drain.timer = m_loop.runAfter(timeUntil(now, due), [this] { drainSome(); });
            return;
        }
        WsConnection& connection =
            connectionOf(lane->quiet.empty() ? *lane->pinged.front() : *lane->quiet.front());
        lane->leaving.pushBack(connection, now);
        connection.noteHeard();
        connection.close(WsCloseCode::GoingAway, "the server is shutting down");
        ++m_drain.closed;
        turn.spend(0);
    }
}

}  // namespace tnet
