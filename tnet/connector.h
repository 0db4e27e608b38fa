// Connector: opens connections, asynchronously and with a timeout.
//
//     Connector connector(loop);
//     ConnectionPtr_t connection = connector.connect(address, [](const ConnectionPtr_t& c, ConnEvent e, ...) {...});
//
// Exactly one outcome, told to the event callback and never before connect() has returned:
//     success      Conn_ConnectEvent (preceded by Conn_ConnectingEvent unless it succeeded at once)
//     refusal      Conn_ErrorEvent with the reason, Conn_CloseEvent
//     timeout      Conn_ErrorEvent with timed_out, Conn_CloseEvent
//     cancel       connection->close(): Conn_CloseEvent alone
// With TLS the handshake belongs to connecting, and the timeout covers it.
//
// Threads: the loop's only. Lifetime: the Connector may go before its connections.
#pragma once

#include <chrono>

#include "tnet/address.h"
#include "tnet/connection.h"
#include "tnet/io_loop.h"

namespace tnet {

class Connector {
public:
    struct Settings {
        std::chrono::milliseconds timeout{10000};  // zero: the kernel's own, some minutes
        TransportFactory_t transport = plainTransport;
    };

    explicit Connector(IOLoop* loop) : Connector(loop, Settings{}) {}
    Connector(IOLoop* loop, Settings settings);

    // The connection is Connecting; sends made now leave when it is connected. Never null.
    ConnectionPtr_t connect(const Address& address, ConnEventCallback_t callback);

private:
    IOLoop* m_loop;
    Settings m_settings;
};

}  // namespace tnet
