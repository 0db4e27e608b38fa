#include "tnet/tcp_server.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <future>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tnet/acceptor.h"
#include "tnet/address_counter.h"
#include "tnet/address_key.h"
#include "tnet/durations.h"
#include "tnet/io_handler.h"
#include "tnet/log.h"
#include "tnet/out_of_memory.h"

namespace tnet {
namespace {

// The service of a server that was given one callback for all.
class CallbackService final : public TcpService {
public:
    explicit CallbackService(ConnEventCallback_t callback) : m_callback(std::move(callback)) {}
    void onConnection(const ConnectionPtr_t& connection) override {
        connection->setEventCallback(m_callback);
    }

private:
    ConnEventCallback_t m_callback;
};

}  // namespace

// What the loops of a server share. It outlives the server where that is destroyed in a callback of its loop.
class TcpServer::Shared {
public:
    // What the server is asked to do. The thread of the server alone.
    enum class Phase : uint8_t { New, Serving, Draining, Stopped };

    explicit Shared(const Settings& all) : settings(all) {
        if (all.maxConnectionsPerAddress > 0) counter = std::make_unique<AddressCounter>(all.maxConnections);
    }

    bool isFull() const { return connections.load() >= settings.maxConnections; }

    // Counts it in any case. False: one too many.
    bool admits(const PeerAddress& peer) {
        if (!counter) return true;
        return counter->add(addressKey(peer)) <= settings.maxConnectionsPerAddress;
    }

    void connectionClosed() {
        connections.fetch_sub(1);
        if (isAcceptingPaused.load() && !isFull()) resumeAccepting();
        signalIfAllClosed();
    }

    void listenersClosed() {
        undrained.fetch_sub(1);
        signalIfAllClosed();
    }

    bool isAllClosed() const { return undrained.load() == 0 && connections.load() == 0; }

    // Waits for it until `end`.
    void awaitAllClosed(TimePoint end) {
        std::unique_lock lock(m_mutex);
        const auto isOver = [this] { return isAllClosed(); };
        if (end == TimePoint::max()) return m_allClosed.wait(lock, isOver);
        m_allClosed.wait_until(lock, end, isOver);
    }

    void resumeAccepting();
    // Runs `act` on the thread of each worker's loop, unless the worker is gone by then.
    void forEachWorker(const std::function<void(Worker&)>& act);

    const Settings settings;
    ServiceFactory_t serviceFactory{};
    std::unique_ptr<AddressCounter> counter{};     // null: no limit per address
    std::vector<std::weak_ptr<Worker>> workers{};  // from before the threads start until they are joined
    std::vector<TaskQueuePtr_t> tasks{};           // of each, also when it is gone
    Phase phase = Phase::New;

    std::atomic<size_t> connections{0};
    std::atomic<size_t> undrained{0};            // workers of a server that drains with listeners
    std::atomic<bool> isAcceptingPaused{false};  // some acceptor waits for room
    std::atomic<bool> isDraining{false};
    std::atomic<bool> isHandedOver{false};

private:
    void signalIfAllClosed() {
        if (!isAllClosed()) return;
        const std::lock_guard lock(m_mutex);  // not between the waiter's check and its wait
        m_allClosed.notify_all();
    }

    std::mutex m_mutex;
    std::condition_variable m_allClosed;  // with m_mutex: isAllClosed() became true
};

// One loop: its acceptors, its checker, its service, its thread.
//
//     New ──serve──> Serving ──drain──> Draining
//      │                └───────┬──────────┘
//      │                      close           acceptors gone, connections closed; their events are still to be told
//      │                     Closing
//      │                        │ finish      the last event is told: service and checker go, from the top of the loop
//      └────────────────────> Closed
//
// Whatever is posted, timed or called looks at the phase first, and a phase never goes back. All but New and the
// way to Closed from there happens on the loop's thread.
class TcpServer::Worker final : public IOHandler,
                                public ConnectionObserver,
                                public std::enable_shared_from_this<TcpServer::Worker> {
public:
    Worker(std::shared_ptr<Shared> shared, std::unique_ptr<IOLoop> own)
        : m_shared(std::move(shared)),
          m_ownLoop(std::move(own)),
          m_loop(m_ownLoop.get()),
          m_isAttached(false) {}
    Worker(std::shared_ptr<Shared> shared, IOLoop* borrowed)
        : m_shared(std::move(shared)), m_loop(borrowed), m_isAttached(true) {}
    ~Worker() override {
        assert((m_phase == Phase::New || m_phase == Phase::Closed) && "destroyed while it serves");
    }

    IOLoop* loop() const { return m_loop; }
    bool isAttached() const { return m_isAttached; }

    void addListener(FileDescriptor socket, const TcpServer::Listener& listener) {
        m_listeners.push_back(
            {std::move(socket), listener.transport, listener.isInherited, listener.address.isUnix()});
    }

    // On the loop's thread: from here on connections come in. After an error it is Closed.
    Status serve() {
        Status served = open();
        m_phase = served ? Phase::Serving : Phase::Closed;
        if (!served) release();
        return served;
    }

    // Returns when it serves, or cannot.
    Status startThread() {
        std::promise<Status> outcome;
        try {
            m_thread = std::thread([this, &outcome] {
                outcome.set_value(serve());
                m_loop->start();
                closeNow();
            });
        } catch (const std::system_error& error) {
            return makeError(error.code(), "start a thread");
        }
        return outcome.get_future().get();
    }

    // Who is in a backlog, or has been answered its SYN, believes to be connected and may have sent a request.
    void drain() {
        if (m_phase != Phase::Serving) return;
        const auto self = shared_from_this();
        m_phase = Phase::Draining;
        // Answered before the service knows, they would not be told that it is the last answer.
        m_firstRead = Connection::FirstRead::WhenReadable;
        m_acceptsUntil = timeAfter(m_loop->clock().now(), m_shared->settings.handshakeTime);
        const TimePoint next = acceptWhoWaits();
        if (m_phase == Phase::Draining) m_service->onDrain(*m_checker);
        if (m_phase == Phase::Draining) goOnDrainingAt(next);
    }

    // On the thread of the server, which for a borrowed loop is the loop's. Returns when it is Closed, unless the
    // loop is calling back: then it is as soon as the loop can.
    void stop() {
        if (m_loop == nullptr) return;  // it was its own
        if (m_isAttached) {
            if (m_phase == Phase::Closed) return;  // the loop may be gone
            if (m_phase != Phase::New) return closeAttached();
        } else {
            assert(m_thread.get_id() != std::this_thread::get_id() &&
                   "stop() from one of the server's threads");
            m_loop->stop();
            if (m_thread.joinable()) m_thread.join();
            m_loop = nullptr;
            m_ownLoop.reset();
        }
        if (m_phase == Phase::New) m_phase = Phase::Closed;  // it never began
    }

    // Unless others have filled the server again in between: then the next close resumes.
    void resumeAccepting() {
        if (!isAccepting()) return;
        setAccepting(true);
        pauseIfFull();
    }

    bool onPeerTold(const Connection& connection) override {
        if (connection.transport()->peer() == nullptr || m_shared->admits(connection.peer())) return true;
        logger().debug("closed: too many connections of {}", connection.peer().toAddress().host());
        return false;
    }

    void onConnectionClosed(const Connection& connection) override {
        --m_open;
        const Transport& transport = *connection.transport();
        const bool isCounted = !transport.tellsPeer() || transport.peer() != nullptr;
        if (m_shared->counter && isCounted) m_shared->counter->remove(addressKey(connection.peer()));
        m_shared->connectionClosed();
        // The service may be on the stack; from the top of the loop it is not.
        if (m_untilFinished && m_open == 0) m_loop->defer(m_untilFinished);
    }

    void handleEvents(uint32_t) override {}
    void handleDeferred() override {
        if (m_phase == Phase::Closing && m_open == 0) finish();
    }
    void handleLoopExit() override {}

private:
    enum class Phase : uint8_t { New, Serving, Draining, Closing, Closed };

    struct Listener {
        FileDescriptor socket;  // until serve()
        TransportFactory_t transport;
        bool isInherited;
        bool isUnix;
    };

    struct Accepting {
        std::unique_ptr<Acceptor> acceptor;
        bool isInherited;
        bool isUnix;
    };

    bool isAccepting() const { return m_phase == Phase::Serving || m_phase == Phase::Draining; }

    Status open() {
        auto checker = ConnChecker::create(m_loop, m_shared->settings.checker);
        if (!checker) return checker.error();
        m_checker = std::move(*checker);
        m_service = m_shared->serviceFactory(m_loop);
        for (Listener& listener : m_listeners) {
            const Address address = localAddress(listener.socket.get());
            auto acceptor = Acceptor::create(
                m_loop, std::move(listener.socket),
                [this, transport = listener.transport](FileDescriptor socket, const sockaddr* peer,
                                                       socklen_t size) {
                    accepted(transport, std::move(socket), peer, size);
                },
                [this, address] { listenerEnded(address); });
            if (!acceptor) return acceptor.error();
            m_acceptors.push_back({std::move(*acceptor), listener.isInherited, listener.isUnix});
        }
        m_listeners.clear();
        return Done{};
    }

    // What a transport's factory or the service throws, out of memory or otherwise, costs this connection alone.
    void accepted(const TransportFactory_t& transport, FileDescriptor socket, const sockaddr* peer,
                  socklen_t size) {
        const auto self = shared_from_this();  // what is told may stop the server, or destroy it
        const PeerAddress address(peer, size);
        try {
            const ConnectionPtr_t connection = makeConnection(transport, std::move(socket), address);
            if (connection) serve(connection);
        } catch (const std::exception& error) {
            logger().error("closed: a connection could not be served: {}", error.what());
        } catch (...) {
            logger().error("closed: a connection could not be served");
        }
    }

    // Null: it is not admitted. Otherwise it is not counted yet, except for its address.
    ConnectionPtr_t makeConnection(const TransportFactory_t& transport, FileDescriptor socket,
                                   const PeerAddress& address) {
        TransportPtr_t made = transport();
        const bool isCounted = m_shared->counter && !made->tellsPeer();
        if (isCounted && !m_shared->admits(address)) {
            m_shared->counter->remove(addressKey(address));
            logger().debug("closed: too many connections of {}", address.toAddress().host());
            return nullptr;
        }
        try {
            auto connection = std::make_shared<Connection>(m_loop, std::move(socket), std::move(made),
                                                           Connection::Origin::Accepted);
            connection->setPeer(address);
            connection->setMaxQueuedBytes(m_shared->settings.maxQueuedBytes);
            return connection;
        } catch (...) {
            if (isCounted) m_shared->counter->remove(addressKey(address));
            throw;
        }
    }

    // Counted from here on, until it is closed.
    void serve(const ConnectionPtr_t& connection) {
        connection->setObserver(this);
        ++m_open;
        m_shared->connections.fetch_add(1);
        try {
            m_service->onConnection(connection);
            m_checker->add(connection);
            if (!isAccepting()) connection->close();  // it was stopped in there
            connection->start(m_firstRead);
        } catch (...) {
            connection->close();
            throw;
        }
        pauseIfFull();
    }

    void setAccepting(bool accepting) {
        for (const Accepting& each : m_acceptors)
            accepting ? each.acceptor->resume() : each.acceptor->pause();
    }

    void pauseIfFull() {
        if (!m_shared->isFull()) return;
        setAccepting(false);
        m_shared->isAcceptingPaused.store(true);
        if (!m_shared->isFull()) m_shared->resumeAccepting();  // one closed in between
    }

    // A drain shuts our own Unix-domain listeners down, and is no news.
    void listenerEnded(const Address& address) const {
        if (m_shared->isDraining.load()) return;
        logger().error("{} was shut down by another process that holds it; nobody can connect any more",
                       address.toString());
    }

    // --- Draining ---

    // Accepts those who wait, a turn of each listener, and closes the listeners that have nobody left to wait for.
    // Returns when to go on.
    TimePoint acceptWhoWaits() {
        const TimePoint now = m_loop->clock().now();
        const bool isOver = now >= m_acceptsUntil;
        TimePoint next = isOver ? TimePoint::max() : m_acceptsUntil;
        for (size_t i = m_acceptors.size(); i-- > 0;) {
            const Acceptor::Pending left = m_acceptors[i].acceptor->acceptPending();
            if (m_phase != Phase::Draining) return now;
            const Accepting& each = m_acceptors[i];
            const bool isShared = each.isInherited || m_shared->isHandedOver.load();
            const bool isAwaited = !isShared && !each.isUnix;  // a handshake takes a round trip
            bool isDone = false;
            switch (left) {
                case Acceptor::Pending::None: isDone = isOver || !isAwaited; break;
                // For who else holds it, it goes on without us.
                case Acceptor::Pending::More: isDone = isOver && isShared; break;
                // Those that close make room.
                case Acceptor::Pending::Exhausted: isDone = isOver && isShared; break;
                case Acceptor::Pending::Paused:
                case Acceptor::Pending::Failed: isDone = isOver; break;
            }
            if (isDone) {
                m_acceptors.erase(m_acceptors.begin() + static_cast<ptrdiff_t>(i));
            } else if (left == Acceptor::Pending::More) {
                next = now;
            } else if (left != Acceptor::Pending::None) {
                next = std::min(next, timeAfter(now, Acceptor::kRetryPause));
            }
        }
        return next;
    }

    void goOnDrainingAt(TimePoint next) {
        const TimePoint now = m_loop->clock().now();
        const Duration wait = m_acceptors.empty() ? Duration::zero() : timeUntil(now, next);
        m_drainTimer = m_loop->runAfter(std::max(wait, Duration::zero()), [this] {
            m_drainTimer = {};
            goOnDraining();
        });
    }

    void goOnDraining() {
        const auto self = shared_from_this();
        const TimePoint next = acceptWhoWaits();
        if (m_phase != Phase::Draining) return;
        if (!m_acceptors.empty()) return goOnDrainingAt(next);
        m_service->onListenersClosed(*m_checker);
        m_shared->listenersClosed();
    }

    // --- The end ---

    void beginClosing() {
        if (!isAccepting()) return;
        m_phase = Phase::Closing;
        if (m_drainTimer.isValid()) m_loop->cancel(std::exchange(m_drainTimer, {}));
        m_acceptors.clear();
        m_checker->forEach([](const ConnectionPtr_t& connection) { connection->close(); });
    }

    // On the loop's thread, outside its rounds.
    void closeNow() {
        beginClosing();
        while (m_open > 0)
            m_loop->runOnce(Duration::zero());  // Conn_CloseEvents come from the top of the loop
        if (m_phase == Phase::Closing) finish();
    }

    void closeAttached() {
        const auto self = shared_from_this();
        if (!m_loop->isCallingBack()) return closeNow();
        beginClosing();
        if (m_phase != Phase::Closing || m_untilFinished) return;
        m_untilFinished = self;
        if (m_open == 0) m_loop->defer(self);
    }

    // Every Conn_CloseEvent has been told, and neither the service nor a connection is on the stack.
    void finish() {
        m_phase = Phase::Closed;
        const auto self = std::move(m_untilFinished);
        release();
    }

    // In the order of dependence.
    void release() {
        m_acceptors.clear();
        m_listeners.clear();
        m_service.reset();
        m_checker.reset();
    }

    const std::shared_ptr<Shared> m_shared;
    std::unique_ptr<IOLoop> m_ownLoop;
    IOLoop* m_loop;  // null: its own, and gone
    const bool m_isAttached;
    std::vector<Listener> m_listeners;
    std::unique_ptr<ConnChecker> m_checker;
    std::unique_ptr<TcpService> m_service;
    std::vector<Accepting> m_acceptors;
    TimerId m_drainTimer{};      // valid while it is Draining and a step is due
    TimePoint m_acceptsUntil{};  // Draining: who has begun by then is accepted
    size_t m_open = 0;
    std::shared_ptr<Worker> m_untilFinished;  // Closing in a callback: itself, since the server may go before
    Connection::FirstRead m_firstRead = Connection::FirstRead::AtOnce;
    Phase m_phase = Phase::New;
    std::thread m_thread;
};

void TcpServer::Shared::forEachWorker(const std::function<void(Worker&)>& act) {
    for (size_t i = 0; i < workers.size(); ++i) {
        tasks[i]->post([act, weak = workers[i]] {
            if (const auto alive = weak.lock()) act(*alive);
        });
    }
}

void TcpServer::Shared::resumeAccepting() {
    if (!isAcceptingPaused.exchange(false)) return;
    try {
        forEachWorker([](Worker& worker) { worker.resumeAccepting(); });
    } catch (const std::bad_alloc&) {
        endOutOfMemory("the tasks that resume accepting");  // it would stay paused for ever
    }
}

TcpServer::TcpServer(const Settings& settings) : m_shared(std::make_shared<Shared>(settings)) {}

TcpServer::~TcpServer() { stop(); }

void TcpServer::setEventCallback(ConnEventCallback_t callback) {
    setServiceFactory(
        [callback = std::move(callback)](IOLoop*) { return std::make_unique<CallbackService>(callback); });
}

void TcpServer::setServiceFactory(ServiceFactory_t factory) {
    assert(m_shared->phase != Shared::Phase::Serving && m_shared->phase != Shared::Phase::Draining &&
           "before start");
    m_shared->serviceFactory = std::move(factory);
}

size_t TcpServer::connections() const { return m_shared->connections.load(std::memory_order_relaxed); }

// --- Listening ---

Status TcpServer::mayBegin(const char* what) const {
    switch (m_shared->phase) {
        case Shared::Phase::New: return Done{};
        case Shared::Phase::Stopped:
            return makeError(std::errc::operation_not_permitted,
                             std::string(what) + ": the server has stopped");
        default:
            return makeError(std::errc::operation_not_permitted,
                             std::string(what) + ": the server has started already");
    }
}

ListenOptions TcpServer::listenOptions() const {
    ListenOptions options;
    options.backlog = m_shared->settings.backlog;
    options.acknowledgeTimeout = m_shared->settings.acknowledgeTimeout;
    options.unixMode = m_shared->settings.unixMode;
    return options;
}

Result<Address> TcpServer::listen(const Address& address, TransportFactory_t transport) {
    if (const Status allowed = mayBegin("listen"); !allowed) return allowed.error();
    ListenOptions options = listenOptions();
    options.reusePort = !address.isUnix();
    auto socket = listenOn(address, options);
    if (!socket) return socket.error();
    const Address bound = localAddress(socket->get());
    m_socketFiles.emplace_back(bound);
    m_listeners.push_back({std::move(*socket), bound, std::move(transport)});
    return bound;
}

Result<Address> TcpServer::listen(FileDescriptor socket, TransportFactory_t transport) {
    if (const Status allowed = mayBegin("listen"); !allowed) return allowed.error();
    const Address address = localAddress(socket.get());
    if (const std::error_code error = prepareListener(socket.get())) {
        const std::string name = "listen on descriptor " + std::to_string(socket.get());
        if (error != std::errc::invalid_argument) return makeError(error, name);
        return Error{error, name + ": " + address.toString() + " is no stream socket that listens"};
    }
    if (!address.isUnix()) {
        setNoDelay(socket.get(), true);
        setAcknowledgeTimeout(socket.get(), m_shared->settings.acknowledgeTimeout);
    }
    m_listeners.push_back({std::move(socket), address, std::move(transport), true});
    return address;
}

// --- Starting ---

Status TcpServer::start(size_t threads) {
    if (const Status allowed = begin(); !allowed) return allowed;
    if (threads == 0) return makeError(std::errc::invalid_argument, "start: no threads");
    for (size_t i = 0; i < threads; ++i) {
        auto loop = IOLoop::create(*m_shared->settings.clock);
        if (!loop) return giveUp(loop.error());
        m_workers.push_back(std::make_shared<Worker>(m_shared, std::move(*loop)));
    }
    if (const Status opened = openWorkers(); !opened) return giveUp(opened.error());
    for (const auto& worker : m_workers) {
        if (const Status started = worker->startThread(); !started) return giveUp(started.error());
    }
    m_shared->phase = Shared::Phase::Serving;
    return Done{};
}

Status TcpServer::attach(IOLoop* loop) {
    if (const Status allowed = begin(); !allowed) return allowed;
    m_workers.push_back(std::make_shared<Worker>(m_shared, loop));
    if (const Status opened = openWorkers(); !opened) return giveUp(opened.error());
    if (const Status served = m_workers.front()->serve(); !served) return giveUp(served.error());
    m_shared->phase = Shared::Phase::Serving;
    return Done{};
}

Status TcpServer::begin() {
    if (const Status allowed = mayBegin("start"); !allowed) return allowed;
    if (m_listeners.empty())
        return makeError(std::errc::invalid_argument, "start: nothing listens; call listen first");
    if (m_shared->serviceFactory) return Done{};
    return makeError(std::errc::invalid_argument, "start: neither event callback nor service factory is set");
}

// As if listen had never been called: what listened in part would go on refusing some of its peers.
Status TcpServer::giveUp(const Error& error) {
    removeSocketFiles();
    for (const auto& worker : m_workers) worker->stop();
    m_shared->workers.clear();
    m_shared->tasks.clear();
    m_workers.clear();
    m_listeners.clear();
    m_sockets.clear();
    return error;
}

Status TcpServer::openWorkers() {
    for (Listener& listener : m_listeners) {
        if (!listener.socket.valid()) continue;  // spread with its group
        const Status opened =
            listener.isInherited ? spreadInherited(listener.address) : openSiblings(listener);
        if (!opened) return opened;
    }
    for (const auto& worker : m_workers) {
        m_shared->workers.push_back(worker);
        m_shared->tasks.push_back(worker->loop()->tasks());
    }
    return Done{};
}

// Every worker gets a socket: the first worker the one that was bound, the others one that joins its group, or,
// since Unix sockets know no groups, the same one again.
Status TcpServer::openSiblings(Listener& listener) {
    for (size_t i = m_workers.size(); i-- > 1;) {
        auto socket = siblingOf(listener);
        if (!socket) return socket.error();
        if (!listener.address.isUnix()) m_sockets.push_back({socket->get(), false});
        m_workers[i]->addListener(std::move(*socket), listener);
    }
    m_sockets.push_back({listener.socket.get(), false});
    m_workers.front()->addListener(std::move(listener.socket), listener);
    return Done{};
}

// Every worker gets one of the sockets with this address, and every socket a worker: some workers share a socket, or
// some have several. No socket is added to the group: whoever handed it over holds those that there are.
Status TcpServer::spreadInherited(const Address& address) {
    std::vector<Listener*> group;
    for (Listener& listener : m_listeners) {
        if (listener.isInherited && listener.address == address) group.push_back(&listener);
    }
    const size_t shares = std::max(group.size(), m_workers.size());
    for (size_t i = 0; i < shares; ++i) {
        Listener& listener = *group[i % group.size()];
        Worker& worker = *m_workers[i % m_workers.size()];
        if (i + group.size() >= shares) {
            m_sockets.push_back({listener.socket.get(), true});
            worker.addListener(std::move(listener.socket), listener);
        } else {
            auto copy = copyOf(listener);
            if (!copy) return copy.error();
            worker.addListener(std::move(*copy), listener);
        }
    }
    return Done{};
}

std::vector<int> TcpServer::handOver() {
    assert(m_shared->phase != Shared::Phase::Draining && "before the sockets are closed");
    m_shared->isHandedOver.store(true);
    std::vector<int> sockets;
    for (const ListeningSocket& socket : m_sockets) sockets.push_back(socket.fd);
    return sockets;
}

Result<FileDescriptor> TcpServer::siblingOf(const Listener& listener) const {
    if (listener.address.isUnix()) return copyOf(listener);
    ListenOptions options = listenOptions();
    options.joinGroup = true;
    return listenOn(listener.address, options);
}

Result<FileDescriptor> TcpServer::copyOf(const Listener& listener) {
    FileDescriptor copy(::fcntl(listener.socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy.valid()) return makeErrnoError(errno, "listen " + listener.address.toString());
    return copy;
}

// --- The end ---

void TcpServer::beginDrain() {
    if (m_shared->phase != Shared::Phase::Serving) return;
    m_shared->phase = Shared::Phase::Draining;
    m_shared->isDraining.store(true);
    m_shared->undrained.store(m_workers.size());
    removeSocketFiles();
    refuseNewPeers();
    m_shared->forEachWorker([](Worker& worker) { worker.drain(); });
}

// All at once: the kernel picks any of a group, also one that refuses already and is about to be closed.
// What others hold, too, must stay open for them.
void TcpServer::refuseNewPeers() {
    if (m_shared->isHandedOver.load()) return;
    for (const ListeningSocket& socket : m_sockets) {
        if (socket.isInherited) continue;
        const std::error_code error = tnet::refuseNewPeers(socket.fd);
        if (error) logger().warn("drain: {}; who connects now may be reset", error.message());
    }
}

// While they still listen: see socket_file.h.
void TcpServer::removeSocketFiles() {
    if (!m_shared->isHandedOver.load()) {
        for (SocketFile& file : m_socketFiles) file.remove();
    }
    m_socketFiles.clear();
}

size_t TcpServer::drain(std::chrono::milliseconds deadline) {
    beginDrain();
    if (m_shared->phase != Shared::Phase::Draining) return 0;
    const TimePoint end = timeAfter(Clock::system().now(), deadline);
    const auto shared = m_shared;  // a callback may destroy this server meanwhile
    const Workers workers = m_workers;
    const bool isAttached = workers.front()->isAttached();
    if (!isAttached) shared->awaitAllClosed(end);
    if (isAttached) {
        constexpr Duration kLook =
            std::chrono::milliseconds(20);  // at the deadline, and whether all is closed
        IOLoop* const loop = workers.front()->loop();
        if (loop->isCallingBack()) return 0;
        const auto isOver = [&] {
            return shared->isAllClosed() || shared->phase == Shared::Phase::Stopped ||
                   Clock::system().now() >= end;
        };
        while (!isOver()) loop->runOnce(kLook);
    }
    const size_t forced = shared->connections.load();
    if (shared->phase == Shared::Phase::Stopped) {
        stopAll(*shared, workers);  // this may be gone
    } else {
        stop();
    }
    return forced;
}

void TcpServer::stop() {
    removeSocketFiles();
    m_listeners.clear();
    m_sockets.clear();
    const auto shared = m_shared;  // a callback may destroy this server meanwhile
    const Workers workers = m_workers;
    stopAll(*shared, workers);
}

void TcpServer::stopAll(Shared& shared, const Workers& workers) {
    shared.phase = Shared::Phase::Stopped;
    for (const auto& worker : workers) worker->stop();
}

std::vector<IOLoop*> TcpServer::loops() const {
    std::vector<IOLoop*> loops;
    if (m_shared->phase == Shared::Phase::Stopped) return loops;
    for (const auto& worker : m_workers) loops.push_back(worker->loop());
    return loops;
}

}  // namespace tnet
