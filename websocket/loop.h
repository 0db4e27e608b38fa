// WsLoop: what the WebSocket connections of one loop share: the tree of topics, the inbox that other threads
// fill, receivers to borrow, and the lists by which silent peers are found.
//
//     publish, send, subscribe of other threads ──> inbox, in order ──(one wake per batch)──> runInbox
//
// Internal to //websocket. Threads: its loop's, where a function does not say otherwise.
// Lifetime: kept by the loop, and by its connections, with which it may outlive the loop; it is inert then.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "http/idle_list.h"
#include "tnet/io_loop.h"
#include "tnet/task_queue.h"
#include "websocket/deflate.h"
#include "websocket/publication.h"
#include "websocket/receiver.h"
#include "websocket/route.h"
#include "websocket/topic_tree.h"
#include "websocket/topics.h"

namespace tnet {

// One route's connections on one loop.
struct WsLane {
    WsLane(WsLoop& home, std::shared_ptr<const WsRoute> ofRoute);

    WsLoop& loop;
    const std::shared_ptr<const WsRoute> route;
    const WsReceiver::Settings plain;     // } without compression, and
    const WsReceiver::Settings inflated;  // } with a window that no connection owns
    std::unique_ptr<WsReceiver> sparePlain{};
    std::unique_ptr<WsReceiver> spareInflated{};
    IdleList quiet{};   // } every connection is in one of them; pinged:
    IdleList pinged{};  // } the peer has to answer
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

    // False: a publication would reach nobody. One that is in the inbox may still reach who comes next, and then
    // those behind it must, too: a subscriber's publications have no gap.
    bool mayHaveSubscribers();

    // In order with one another. False: the loop is gone.
    bool post(Callback_t task);
    bool post(WsPublicationPtr_t publication);

    // --- The loop's thread ---

    IOLoop& loop() { return m_loop; }
    WsLane& laneOf(const std::shared_ptr<const WsRoute>& route);

    void add(WsLane& lane, WsConnection& connection);
    void remove(WsConnection& connection);

    bool subscribe(WsConnection& connection, std::string_view filter);
    void unsubscribe(WsConnection& connection, std::string_view filter);

    // A deflater without history for windows of 2^windowBits.
    WsDeflater& deflater(int windowBits);
    std::string& scratch() { return m_scratch; }  // for what it writes

    // Closes all connections (1001), evenly over `spread`.
    void drain(std::chrono::milliseconds spread);

private:
    struct Item {  // one of the two
        WsPublicationPtr_t publication{};
        Callback_t task{};
    };

    bool enqueue(Item item);
    void runInbox();
    void publishHere(const WsPublication& publication, bool gather);
    void watch(WsLane& lane);
    void look(WsLane& lane);

    IOLoop& m_loop;  // used on its thread only, while it lives
    const TaskQueuePtr_t m_tasks;
    const std::weak_ptr<WsTopics> m_topics;
    WsTopicTree m_tree;
    std::vector<std::unique_ptr<WsLane>> m_lanes;
    std::array<std::unique_ptr<WsDeflater>, 16> m_deflaters{};  // by window bits
    std::string m_scratch;
    std::atomic<size_t> m_connections{0};

    std::mutex m_mutex;
    std::vector<Item> m_inbox;      // guarded by m_mutex
    bool m_isWakeUnderWay = false;  // guarded by m_mutex: runInbox() will be called
    std::vector<Item> m_batch;
};

}  // namespace tnet
