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
// and the service factory refer to must live until then. With attach, stop() and the destructor may be called in a
// callback of the loop, of one of the server's own connections, too: see stop().
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tnet/address.h"
#include "tnet/conn_checker.h"
#include "tnet/connection.h"
#include "tnet/io_loop.h"
#include "tnet/result.h"
#include "tnet/socket.h"
#include "tnet/socket_file.h"
#include "tnet/tcp_service.h"
#include "tnet/transport.h"

namespace tnet {

class TcpServer {
public:
    struct Settings {
        // All loops together; accepting pauses there and resumes below (with several loops it may be
        // passed by one per loop for a moment).
        size_t maxConnections = 65536;
        // Of one client address, IPv6 counted by its /64; zero: no limit. One more is closed as soon as it is
        // accepted (behind a proxy that tells: when it has told). Unix-domain peers are not counted.
        size_t maxConnectionsPerAddress = 0;
        size_t maxQueuedBytes = Connection::kDefaultMaxQueuedBytes;  // per connection
        int backlog = 1024;
        // A peer that acknowledges nothing of what was sent, or has no room for more, for so long is gone;
        // zero, or max(): the kernel's own time, some 15 minutes. TCP only. No send timeout beyond this has
        // any effect there.
        std::chrono::milliseconds acknowledgeTimeout{60000};
        ConnChecker::Settings checker{};
        // For how long a server that drains, and lets nobody new begin, accepts those who have begun: a round trip.
        // Zero or less: once, and max(): until they are closed by stop() or drain()'s deadline.
        std::chrono::milliseconds handshakeTime{200};
        // The mode of the files of Unix-domain listeners, which says who may connect. Nothing: 0777 less the umask.
        std::optional<mode_t> unixMode{};
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
    // addresses. Returns the address that was bound (port 0: the kernel's choice). Errors name it;
    // operation_not_permitted once the server has started. The file of a Unix path is removed when the server
    // drains or stops, unless it was handed over, or another lies there by then.
    Result<Address> listen(const Address& address, TransportFactory_t transport = plainTransport);

    // The same on a socket that listens already: inherited (tnet/inherited_sockets.h), as a rule. Sockets
    // with the same address are one group: each of them is served, and every loop serves one, alone or with
    // others. Others may hold the socket, too, so a drain does not keep new peers from it as it does from our
    // own: who connects between its last accept and its close waits for the others that hold it, or is reset
    // if there are none. It becomes non-blocking, for all of them. If one of them shuts it down, that is
    // logged, and it is not served any more. Error: invalid_argument if it is no stream socket that listens;
    // not_a_socket, or what the kernel says.
    Result<Address> listen(FileDescriptor socket, TransportFactory_t transport = plainTransport);

    // Runs `threads` loops, each in a thread of its own, until stop() or drain(). Once. Errors: invalid_argument if
    // `threads` is zero, nothing listens, or neither callback nor service factory is set;
    // operation_not_permitted if it has started or stopped before; what a loop, a thread or a socket says.
    // After an error nothing listens any more: listen() and start() again, or give up.
    Status start(size_t threads);

    // Instead of start: serves on a loop that the caller runs. The loop outlives the server. Errors: as start.
    Status attach(IOLoop* loop);

    // For a successor (tnet/successor.h): the listening sockets of all loops. Borrowed, until beginDrain or
    // stop. From now on they are taken for held by others, too: a drain keeps nobody from them.
    std::vector<int> handOver();

    // Lets nobody new connect, tells the services to finish, accepts who is in the backlogs, within
    // maxConnections, and closes the listeners after Settings::handshakeTime: who was told to be connected is
    // served; those for whom there was no room until then are reset. Returns at once; later calls do nothing.
    void beginDrain();

    // beginDrain; waits until listeners and connections are gone or `deadline` is over (zero or less: at once; max():
    // never); stop(). Returns how many connections had to be closed by force. With attach it runs the loop meanwhile;
    // called in a callback it cannot wait: then it is beginDrain() and returns zero.
    size_t drain(std::chrono::milliseconds deadline);

    // Closes everything, and joins the threads: when it returns, every connection has told its
    // Conn_CloseEvent and the services are gone. Not from a thread of its own. With attach: on the loop's
    // thread. In a callback of the loop it closes everything, too, but the events come when the callback has
    // returned, and the services go after them, from the loop (or when that is destroyed). The same holds for
    // the destructor in a callback: what callbacks and services refer to must live until then. Stopped for
    // good; later calls do nothing but finish what a call in a callback began.
    void stop();

    // Connections open now. Any thread.
    size_t connections() const;

    // One per loop, in the order of the loops; empty before start and after stop.
    std::vector<IOLoop*> loops() const;

private:
    class Shared;
    class Worker;
    using Workers = std::vector<std::shared_ptr<Worker>>;

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

    Status mayBegin(const char* what) const;
    Status begin();
    Status giveUp(const Error& error);
    Status openWorkers();
    Status openSiblings(Listener& listener);
    Status spreadInherited(const Address& address);
    Result<FileDescriptor> siblingOf(const Listener& listener) const;
    static Result<FileDescriptor> copyOf(const Listener& listener);
    ListenOptions listenOptions() const;
    void refuseNewPeers();
    void removeSocketFiles();
    static void stopAll(Shared& shared, const Workers& workers);

    std::shared_ptr<Shared> m_shared;  // with the workers, which may outlive this
    std::vector<Listener> m_listeners;
    Workers m_workers;
    std::vector<ListeningSocket> m_sockets;  // each once; the workers' acceptors own them until they drain
    std::vector<SocketFile> m_socketFiles;   // until it drains or stops
};

}  // namespace tnet
