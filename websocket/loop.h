// WsLoop: what the WebSocket connections of one loop share: the tree of topics, the inbox that other threads
// fill, receivers to borrow, and the lists by which silent peers are found.
//
//     publish, send, subscribe of other threads ──> inbox, in order ──(one wake per batch)──> runInbox, in turns
//
// Internal to //websocket. Threads: its loop's, where a function does not say otherwise.
// Lifetime: kept by the loop, and by its connections, with which it may outlive the loop; it is inert then.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "http/idle_list.h"
#include "tnet/clock.h"
#include "tnet/io_loop.h"
#include "tnet/task_queue.h"
#include "tnet/turn.h"
#include "websocket/deflate.h"
#include "websocket/publication.h"
#include "websocket/receiver.h"
#include "websocket/route.h"
#include "websocket/topic_tree.h"
#include "websocket/topics.h"

namespace tnet {

// What another thread asks a connection for.
using WsTask_t = std::function<void(WsConnection&)>;

// One route's connections on one loop.
struct WsLane {
    WsLane(WsLoop& home, std::shared_ptr<const WsRoute> ofRoute);

    WsLoop& loop;
    const std::shared_ptr<const WsRoute> route;
    const WsReceiver::Settings plain;     // } without compression, and
    const WsReceiver::Settings inflated;  // } with a window that no connection owns
    std::unique_ptr<WsReceiver> sparePlain{};
    std::unique_ptr<WsReceiver> spareInflated{};
    // Every connection is in one of them.
    IdleList quiet{};    // since it was looked at
    IdleList pinged{};   // since the ping, which the peer has to answer
    IdleList leaving{};  // closed by the drain
    TimerId timer{};
};

class WsLoop : public std::enable_shared_from_this<WsLoop> {
public:
    WsLoop(IOLoop& loop, std::weak_ptr<WsTopics> topics);
    ~WsLoop();
    WsLoop(const WsLoop&) = delete;
    WsLoop& operator=(const WsLoop&) = delete;

    // --- Any thread ---

    const TaskQueuePtr_t& tasks() const { return m_tasks; }
    bool isInLoopThread() const { return m_tasks->isInLoopThread(); }
    WsTopicsPtr_t topics() const { return m_topics.lock(); }
    size_t connections() const { return m_connections.load(std::memory_order_relaxed); }

    // What waits in the inbox, and what is being worked off, is bounded (WsTopics::Settings). Whoever is to post
    // reserves first.
    enum class Room : uint8_t {
        Reserved,
        None,
        // Of a publication: it can reach nobody. One that is in the inbox may still reach a connection that
        // comes next, and then those after it must, too: a subscriber's publications have no gap.
        NotNeeded,
    };
    Room reserve(size_t bytes);
    bool reserveForTask(size_t bytes);
    void giveBack(size_t items, size_t bytes);

    // In order with one another; `bytes` is what was reserved. Does nothing if the loop is gone.
    void post(WsPublicationPtr_t publication, size_t bytes);
    void post(WeakWsConnectionPtr_t connection, WsTask_t task, size_t bytes);

    // What an item takes of memory, at most.
    static size_t bytesOf(const WsPublication& publication);
    static size_t bytesOfTask(size_t closureBytes,
                              size_t textBytes);  // of the closure, and what its texts take

    // The last thing that a connection is asked for, and what frees memory: counted, but never refused.
    void reserveAlways(size_t bytes);

    // --- The loop's thread ---

    IOLoop& loop() { return m_loop; }
    WsLane& laneOf(const std::shared_ptr<const WsRoute>& route);

    void add(WsLane& lane, WsConnection& connection);
    void remove(WsConnection& connection);
    // A peer that was pinged has sent something.
    void heardAgain(WsLane& lane, WsConnection& connection);

    bool subscribe(WsConnection& connection, std::string_view filter);
    void unsubscribe(WsConnection& connection, std::string_view filter);

    // A deflater without history for windows of 2^windowBits.
    WsDeflater& deflater(int windowBits);
    std::string& scratch() { return m_scratch; }  // for what it writes

    // Closes all connections (1001), evenly over `spread`; zero or negative: as soon as turns allow.
    void drain(std::chrono::milliseconds spread);

private:
    struct Item {
        WsPublicationPtr_t publication{};    // or:
        WeakWsConnectionPtr_t connection{};  // } weak, or an inbox that is not emptied any more would hold
        WsTask_t task{};                     // } itself through what is in it
        size_t bytes = 0;
    };
    struct Waiting {
        size_t items = 0;
        size_t bytes = 0;
    };

    bool hasRoom(size_t bytes) const;
    void enqueue(Item item);
    bool wakeLoop();
    void runInbox();
    void runTask(Turn& turn, Waiting& done);
    void beginGroup(Turn& turn);
    void deliverGroup(Turn& turn, Waiting& done);
    void popItem(Waiting& done);
    void watch(WsLane& lane);
    void look(WsLane& lane);
    WsLane* laneToDrain();
    void drainSome();

    IOLoop& m_loop;  // used on its thread only, while it lives
    const TaskQueuePtr_t m_tasks;
    const std::weak_ptr<WsTopics> m_topics;
    WsTopicTree m_tree;
    std::vector<std::unique_ptr<WsLane>> m_lanes;
    std::array<std::unique_ptr<WsDeflater>, 16> m_deflaters{};  // by window bits
    std::string m_scratch;
    std::atomic<size_t> m_connections{0};

    struct Drain {
        TimePoint begin{};
        Duration spread{};
        size_t connections = 0;
        size_t closed = 0;
        TimerId timer{};
    };
    Drain m_drain{};

    std::mutex m_mutex;
    std::deque<Item> m_inbox{};     // } guarded
    Waiting m_waiting{};            // } by m_mutex: in m_inbox and m_batch, or reserved
    bool m_isWakeUnderWay = false;  // } runInbox() will be called

    // What is being worked off, in as many turns as it takes. Publications to the same topic that follow one another
    // are a group: each subscriber gets all of them before the next subscriber does.
    std::deque<Item> m_batch{};
    size_t m_groupSize = 0;  // at the front of m_batch; the tree is matching for them. Zero: none is
    size_t m_groupBytes = 0;
};

}  // namespace tnet
