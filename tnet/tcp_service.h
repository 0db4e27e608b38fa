// TcpService: what a layer does with the connections of one loop of a TcpServer.
//
// Threads: made, called and destroyed on its loop's thread.
// Lifetime: outlives the connections of its loop.
#pragma once

#include "tnet/conn_checker.h"
#include "tnet/types.h"

namespace tnet {

class TcpService {
public:
    virtual ~TcpService() = default;

    // A connection was accepted: give it an event callback. Conn_EstablishedEvent follows after this call.
    virtual void onConnection(const ConnectionPtr_t& connection) = 0;

    // The server drains. Finish what is in flight and end every connection;
    // what is left at the deadline is closed. By default all are shut down (what is queued is delivered).
    virtual void onDrain(ConnChecker& connections);

    // Follows onDrain when the listeners are closed: until then some more connections may have come, of peers that
    // were on their way. By default these are shut down, too.
    virtual void onListenersClosed(ConnChecker& connections);

protected:
    TcpService() = default;
    TcpService(const TcpService&) = delete;
    TcpService& operator=(const TcpService&) = delete;
};

}  // namespace tnet
