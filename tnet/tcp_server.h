// TcpServer: listens, accepts, and spreads connections over n loops in n threads.
//
//     listen ──> Acceptor of loop 1 ──> Connection ──> TcpService of loop 1 (or one callback for all)
//           └──> Acceptor of loop 2 ──> ...             the kernel spreads them (SO_REUSEPORT)
//
//     TcpServer server;
//     server.setEventCallback([](const ConnectionPtr_t& c, ConnEvent event, const void* context) {...});
//     server.listen(*Address::parse("0.0.0.0:7"));
//     server.start(2);
//     ...
//     server.drain(std::chrono::seconds(10));
//
// Threads: all functions from the thread that made it, but connections(); callbacks and services run
// on the loops' threads. Lifetime: stop() or the destructor ends its threads first; what the callback
// and the service factory refer to must live until then.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "tnet/address.h"
#include "tnet/address_counter.h"
#include "tnet/conn_checker.h"
#include "tnet/connection.h"
#include "tnet/io_loop.h"
#include "tnet/result.h"
#include "tnet/socket.h"
#include "tnet/tcp_service.h"
#include "tnet/transport.h"

namespace tnet {

class TcpServer {
public:
    struct Settings {
        // All loops together; accepting pauses there and resumes below (with several loops it may be
        // passed by one per loop for a moment).
        size_t maxConnections = 65536;
        // Of one client address, IPv6 counted by its /64; zero: no limit. One more is closed as soon as it is accepted
        // (behind a proxy that tells: when it has told). Unix-domain peers are not counted.
        size_t maxConnectionsPerAddress = 0;
        size_t maxQueuedBytes = Connection::kDefaultMaxQueuedBytes;  // per connection
        int backlog = 1024;
        // A peer that acknowledges nothing of what was sent, or has no room for more, for so long is gone; zero, or max():
        // the kernel's own time, some 15 minutes. TCP only. No send timeout beyond this has any effect there.
        std::chrono::milliseconds acknowledgeTimeout{60000};
        ConnChecker::Settings checker{};
        // For how long a server that drains, and lets nobody new begin, accepts those who have begun: a round trip.
        std::chrono::milliseconds handshakeTime{200};
        const Clock* clock = &Clock::system();  // borrowed
    };
    using ServiceFactory_t = std::function<std::unique_ptr<TcpService>(IOLoop* loop)>;

    TcpServer() : TcpServer(Settings{}) {}
    explicit TcpServer(const Settings& settings);
    ~TcpServer();  // stop()

    TcpServer(const TcpServer&) = delete;
    TcpServer& operator=(const TcpServer&) = delete;

    // What happens on the connections: every connection gets a copy of the callback, or what the
    // service of its loop gives it. One of the two, before start.
    void setEventCallback(ConnEventCallback_t callback);
    void setServiceFactory(ServiceFactory_t factory);

    // Binds and listens; connections are accepted from start() on. May be called for several
    // addresses. Returns the address that was bound (port 0: the kernel's choice). Errors name it.
    Result<Address> listen(const Address& address, TransportFactory_t transport = plainTransport);

    // The same on a socket that listens already: inherited (tnet/inherited_sockets.h), as a rule. Sockets with the same
    // address are one group: each of them is served, and every loop serves one, alone or with others. Others may
    // hold the socket, too, so a drain does not keep new peers from it as it does from our own: who connects
    // between its last accept and its close waits for the others that hold it, or is reset if there are none.
    // Error: not_a_socket, or what the kernel says.
    Result<Address> listen(FileDescriptor socket, TransportFactory_t transport = plainTransport);

    // Runs `threads` loops, each in a thread of its own, until stop() or drain(). Once.
    Status start(size_t threads);

    // Instead of start: serves on a loop that the caller runs. The loop outlives the server.
    Status attach(IOLoop* loop);

    // For a successor (tnet/successor.h): the listening sockets of all loops. Borrowed, until beginDrain or stop. From
    // now on they are taken for held by others, too: a drain keeps nobody from them.
    std::vector<int> handOver();

    // Lets nobody new connect, tells the services to finish, accepts who is in the backlogs, and closes the listeners
    // after Settings::handshakeTime: who was told to be connected is served. Returns at once; later calls do nothing.
    void beginDrain();

    // beginDrain; waits until listeners and connections are gone or `deadline` is over; stop(). Returns how
    // many connections had to be closed by force. Not with attach: nobody would run the loop.
    size_t drain(std::chrono::milliseconds deadline);

    // Closes everything now and joins the threads. With attach: on the loop's thread, while the loop
    // is not calling back.
    void stop();

    // Connections open now. Any thread.
    size_t connections() const { return m_connections.load(std::memory_order_relaxed); }

    // One per loop, in the order of the loops; empty before start.
    std::vector<IOLoop*> loops() const;

private:
    class Worker;
    struct Listener {
        FileDescriptor socket;
        Address address;
        TransportFactory_t transport;
        bool isInherited = false;
    };

    struct ListeningSocket {
        int fd;
        bool isInherited;
    };

    Status openWorkers();
    Status openSiblings(Listener& listener);
    Status spreadInherited(const Address& address);
    Result<FileDescriptor> siblingOf(const Listener& listener) const;
    static Result<FileDescriptor> copyOf(const Listener& listener);
    void forEachWorker(const std::function<void(Worker&)>& act);
    void refuseNewPeers();
    bool admits(const PeerAddress& peer);
    void connectionClosed();
    void listenersClosed();
    bool isFull() const;
    void resumeAccepting();
    bool isAllClosed() const;
    void signalIfAllClosed();

    Settings m_settings;
    ServiceFactory_t m_serviceFactory;
    std::vector<Listener> m_listeners;
    std::vector<std::shared_ptr<Worker>> m_workers;
    std::vector<ListeningSocket> m_sockets;     // each once; the workers' acceptors own them until they drain
    std::unique_ptr<AddressCounter> m_counter;  // null: no limit per address

    std::atomic<size_t> m_connections{0};
    bool m_isDraining = false;
    bool m_isHandedOver = false;
    std::atomic<size_t> m_undrained{0};          // workers of a server that drains with listeners
    std::atomic<bool> m_acceptingPaused{false};  // some acceptor waits for room
    std::mutex m_mutex;
    std::condition_variable m_allClosed;  // with m_mutex: m_connections became zero
};

}  // namespace tnet
