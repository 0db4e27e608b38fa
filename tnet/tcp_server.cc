#include "tnet/tcp_server.h"

#include <fcntl.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <exception>
#include <future>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tnet/acceptor.h"
#include "tnet/address_key.h"
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

// One loop: its acceptors, its checker, its service, its thread.
class TcpServer::Worker final : public ConnectionObserver {
public:
    Worker(TcpServer& server, std::unique_ptr<IOLoop> own)
        : m_server(server), m_ownLoop(std::move(own)), m_loop(m_ownLoop.get()), m_tasks(m_loop->tasks()) {}
    Worker(TcpServer& server, IOLoop* borrowed)
        : m_server(server), m_loop(borrowed), m_tasks(borrowed->tasks()) {}

    IOLoop* loop() const { return m_loop; }
    TaskQueue& tasks() const { return *m_tasks; }  // also when the loop is gone

    void addListener(FileDescriptor socket, const TcpServer::Listener& listener) {
        // Accepted sockets inherit it, which saves a system call for each.
        if (!listener.address.isUnix())
            setAcknowledgeTimeout(socket.get(), m_server.m_settings.acknowledgeTimeout);
        m_listeners.push_back(
            {std::move(socket), listener.transport, listener.isInherited, listener.address.isUnix()});
    }

    Status open() {
        auto checker = ConnChecker::create(m_loop, m_server.m_settings.checker);
        if (!checker) return checker.error();
        m_checker = std::move(*checker);
        return Done{};
    }

    // On the loop's thread: from here on connections come in.
    Status serve() {
        m_service = m_server.m_serviceFactory(m_loop);
        for (Listener& listener : m_listeners) {
            auto acceptor =
                Acceptor::create(m_loop, std::move(listener.socket),
                                 [this, transport = listener.transport](
                                     FileDescriptor socket, const sockaddr* peer, socklen_t size) {
                                     accepted(transport, std::move(socket), peer, size);
                                 });
            if (!acceptor) return acceptor.error();
            m_acceptors.push_back(std::move(*acceptor));
        }
        return Done{};
    }

    // Returns when it serves, or cannot.
    Status startThread() {
        std::promise<Status> outcome;
        try {
            m_thread = std::thread([this, &outcome] {
                outcome.set_value(serve());
                m_loop->start();
                closeAll();
            });
        } catch (const std::system_error& error) {
            return makeError(error.code(), "start a thread");
        }
        return outcome.get_future().get();
    }

    // Who is in a backlog, or has been answered its SYN, believes to be connected and may have sent a request.
    void drain() {
        // Answered before the service knows, they would not be told that it is the last answer.
        m_firstRead = Connection::FirstRead::WhenReadable;
        for (size_t i = m_acceptors.size(); i-- > 0;) {
            const bool isShared = m_listeners[i].isInherited || m_server.m_isHandedOver;
            const bool isAwaited = !isShared && !m_listeners[i].isUnix;  // a handshake takes a round trip
            const bool isTaken = m_acceptors[i]->acceptPending();
            if (!isAwaited && isTaken) m_acceptors.erase(m_acceptors.begin() + static_cast<ptrdiff_t>(i));
        }
        m_service->onDrain(*m_checker);
        closeListenersAfter(m_acceptors.empty() ? Duration::zero() : m_server.m_settings.handshakeTime);
    }

    void stop() {
        if (!m_ownLoop) return closeAll();
        m_loop->stop();
        if (m_thread.joinable()) m_thread.join();
        m_checker.reset();  // there is one still if the thread was never started
        m_ownLoop.reset();
    }

    // Unless others have filled the server again in between: then the next close resumes.
    void resumeAccepting() {
        setAccepting(true);
        pauseIfFull();
    }

    bool onPeerTold(const Connection& connection) override {
        if (connection.transport()->peer() == nullptr || m_server.admits(connection.peer())) return true;
        logger().debug("closed: too many connections of {}", connection.peer().toAddress().host());
        return false;
    }

    void onConnectionClosed(const Connection& connection) override {
        --m_open;
        const Transport& transport = *connection.transport();
        const bool isCounted = !transport.tellsPeer() || transport.peer() != nullptr;
        if (m_server.m_counter && isCounted) m_server.m_counter->remove(addressKey(connection.peer()));
        m_server.connectionClosed();
    }

private:
    struct Listener {
        FileDescriptor socket;  // until serve()
        TransportFactory_t transport;
        bool isInherited;
        bool isUnix;
    };

    // What a transport's factory or the service throws, out of memory or otherwise, costs this connection alone.
    void accepted(const TransportFactory_t& transport, FileDescriptor socket, const sockaddr* peer,
                  socklen_t size) {
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
        const bool isCounted = m_server.m_counter && !made->tellsPeer();
        if (isCounted && !m_server.admits(address)) {
            m_server.m_counter->remove(addressKey(address));
            logger().debug("closed: too many connections of {}", address.toAddress().host());
            return nullptr;
        }
        try {
            auto connection = std::make_shared<Connection>(m_loop, std::move(socket), std::move(made),
                                                           Connection::Origin::Accepted);
            connection->setPeer(address);
            connection->setMaxQueuedBytes(m_server.m_settings.maxQueuedBytes);
            return connection;
        } catch (...) {
            if (isCounted) m_server.m_counter->remove(addressKey(address));
            throw;
        }
    }

    // Counted from here on, until it is closed.
    void serve(const ConnectionPtr_t& connection) {
        connection->setObserver(this);
        ++m_open;
        m_server.m_connections.fetch_add(1);
        try {
            m_service->onConnection(connection);
            m_checker->add(connection);
            connection->start(m_firstRead);
        } catch (...) {
            connection->close();
            throw;
        }
        pauseIfFull();
    }

    void closeListenersAfter(Duration time) {
        m_listenerTimer = m_loop->runAfter(time, [this] {
            m_listenerTimer = {};
            bool isDone = true;
            for (const auto& acceptor : m_acceptors) isDone = acceptor->acceptPending() && isDone;
            // Those that close meanwhile make room.
            if (!isDone) return closeListenersAfter(Acceptor::kExhaustedPause);
            m_acceptors.clear();
            m_service->onListenersClosed(*m_checker);
            m_server.listenersClosed();
        });
    }

    void setAccepting(bool accepting) {
        for (const auto& acceptor : m_acceptors) accepting ? acceptor->resume() : acceptor->pause();
    }

    void pauseIfFull() {
        if (!m_server.isFull()) return;
        setAccepting(false);
        m_server.m_acceptingPaused.store(true);
        if (!m_server.isFull()) m_server.resumeAccepting();  // one closed in between
    }

    // On the loop's thread, outside its rounds: ends everything, in the order of dependence.
    void closeAll() {
        if (m_listenerTimer.isValid()) m_loop->cancel(m_listenerTimer);
        m_acceptors.clear();
        if (m_checker) m_checker->forEach([](const ConnectionPtr_t& connection) { connection->close(); });
        while (m_open > 0)
            m_loop->runOnce(Duration::zero());  // Conn_CloseEvents come from the top of the loop
        m_service.reset();
        m_checker.reset();
    }

    TcpServer& m_server;
    std::unique_ptr<IOLoop> m_ownLoop;
    IOLoop* m_loop;
    TaskQueuePtr_t m_tasks;
    std::vector<Listener> m_listeners;
    std::unique_ptr<ConnChecker> m_checker;
    std::unique_ptr<TcpService> m_service;
    std::vector<std::unique_ptr<Acceptor>> m_acceptors;
    TimerId m_listenerTimer{};  // valid while the server drains and still accepts
    size_t m_open = 0;
    Connection::FirstRead m_firstRead = Connection::FirstRead::AtOnce;
    std::thread m_thread;
};

TcpServer::TcpServer(const Settings& settings) : m_settings(settings) {
    if (settings.maxConnectionsPerAddress > 0)
        m_counter = std::make_unique<AddressCounter>(settings.maxConnections);
}

TcpServer::~TcpServer() { stop(); }

void TcpServer::setEventCallback(ConnEventCallback_t callback) {
    setServiceFactory(
        [callback = std::move(callback)](IOLoop*) { return std::make_unique<CallbackService>(callback); });
}

void TcpServer::setServiceFactory(ServiceFactory_t factory) {
    assert(m_workers.empty() && "before start");
    m_serviceFactory = std::move(factory);
}

Result<Address> TcpServer::listen(const Address& address, TransportFactory_t transport) {
    assert(m_workers.empty() && "before start");
    ListenOptions options;
    options.backlog = m_settings.backlog;
    options.reusePort = !address.isUnix();
    auto socket = listenOn(address, options);
    if (!socket) return socket.error();
    const Address bound = localAddress(socket->get());
    m_listeners.push_back({std::move(*socket), bound, std::move(transport)});
    return bound;
}

Result<Address> TcpServer::listen(FileDescriptor socket, TransportFactory_t transport) {
    assert(m_workers.empty() && "before start");
    const Address address = localAddress(socket.get());
    if (address.family() == AF_UNSPEC)
        return makeError(std::errc::not_a_socket, "listen on descriptor " + std::to_string(socket.get()));
    if (!address.isUnix()) setNoDelay(socket.get(), true);
    m_listeners.push_back({std::move(socket), address, std::move(transport), true});
    return address;
}

Status TcpServer::start(size_t threads) {
    assert(m_workers.empty() && threads > 0);
    for (size_t i = 0; i < threads; ++i) {
        auto loop = IOLoop::create(*m_settings.clock);
        if (!loop) {
            m_workers.clear();
            return loop.error();
        }
        m_workers.push_back(std::make_shared<Worker>(*this, std::move(*loop)));
    }
    if (const Status opened = openWorkers(); !opened) {
        m_workers.clear();
        return opened;
    }
    for (const auto& worker : m_workers) {
        if (const Status started = worker->startThread(); !started) {
            stop();
            return started;
        }
    }
    return Done{};
}

Status TcpServer::attach(IOLoop* loop) {
    assert(m_workers.empty());
    m_workers.push_back(std::make_shared<Worker>(*this, loop));
    if (const Status opened = openWorkers(); !opened) return opened;
    return m_workers.front()->serve();
}

Status TcpServer::openWorkers() {
    for (Listener& listener : m_listeners) {
        if (!listener.socket.valid()) continue;  // spread with its group
        const Status opened =
            listener.isInherited ? spreadInherited(listener.address) : openSiblings(listener);
        if (!opened) return opened;
    }
    for (const auto& worker : m_workers) {
        if (const Status opened = worker->open(); !opened) return opened;
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
    assert(!m_isDraining && "before the sockets are closed");
    m_isHandedOver = true;
    std::vector<int> sockets;
    for (const ListeningSocket& socket : m_sockets) sockets.push_back(socket.fd);
    return sockets;
}

Result<FileDescriptor> TcpServer::siblingOf(const Listener& listener) const {
    if (!listener.address.isUnix()) {
        ListenOptions options;
        options.backlog = m_settings.backlog;
        options.joinGroup = true;
        return listenOn(listener.address, options);
    }
    return copyOf(listener);
}

Result<FileDescriptor> TcpServer::copyOf(const Listener& listener) {
    FileDescriptor copy(::fcntl(listener.socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy.valid()) return makeErrnoError(errno, "listen " + listener.address.toString());
    return copy;
}

void TcpServer::beginDrain() {
    if (m_workers.empty() || std::exchange(m_isDraining, true)) return;
    refuseNewPeers();
    m_undrained.store(m_workers.size());
    forEachWorker([](Worker& worker) { worker.drain(); });
}

// All at once: the kernel picks any of a group, also one that refuses already and is about to be closed.
// What others hold, too, must stay open for them.
void TcpServer::refuseNewPeers() {
    if (m_isHandedOver) return;
    for (const ListeningSocket& socket : m_sockets) {
        if (socket.isInherited) continue;
        const std::error_code error = tnet::refuseNewPeers(socket.fd);
        if (error) logger().warn("drain: {}; who connects now may be reset", error.message());
    }
}

size_t TcpServer::drain(std::chrono::milliseconds deadline) {
    if (m_workers.empty()) return 0;
    beginDrain();
    size_t forced = 0;
    {
        std::unique_lock lock(m_mutex);
        m_allClosed.wait_for(lock, deadline, [this] { return isAllClosed(); });
        forced = connections();
    }
    stop();
    return forced;
}

void TcpServer::stop() {
    for (const auto& worker : m_workers) worker->stop();
    m_workers.clear();
    m_listeners.clear();
    m_sockets.clear();
}

std::vector<IOLoop*> TcpServer::loops() const {
    std::vector<IOLoop*> loops;
    for (const auto& worker : m_workers) loops.push_back(worker->loop());
    return loops;
}

// Runs `act` on the thread of each worker's loop, unless the worker is gone by then.
void TcpServer::forEachWorker(const std::function<void(Worker&)>& act) {
    for (const auto& worker : m_workers) {
        worker->tasks().post([act, weak = std::weak_ptr<Worker>(worker)] {
            if (const auto alive = weak.lock()) act(*alive);
        });
    }
}

// Counts it in any case. False: one too many.
bool TcpServer::admits(const PeerAddress& peer) {
    if (!m_counter) return true;
    return m_counter->add(addressKey(peer)) <= m_settings.maxConnectionsPerAddress;
}

void TcpServer::connectionClosed() {
    m_connections.fetch_sub(1);
    if (m_acceptingPaused.load() && !isFull()) resumeAccepting();
    signalIfAllClosed();
}

void TcpServer::listenersClosed() {
    m_undrained.fetch_sub(1);
    signalIfAllClosed();
}

bool TcpServer::isFull() const { return m_connections.load() >= m_settings.maxConnections; }

void TcpServer::resumeAccepting() {
    if (!m_acceptingPaused.exchange(false)) return;
    try {
        forEachWorker([](Worker& worker) { worker.resumeAccepting(); });
    } catch (const std::bad_alloc&) {
        endOutOfMemory("the tasks that resume accepting");  // it would stay paused for ever
    }
}

bool TcpServer::isAllClosed() const { return m_undrained.load() == 0 && m_connections.load() == 0; }

void TcpServer::signalIfAllClosed() {
    if (m_undrained.load() != 0 || m_connections.load() != 0) return;
    const std::lock_guard lock(m_mutex);  // not between the waiter's check and its wait
    m_allClosed.notify_all();
}

}  // namespace tnet
