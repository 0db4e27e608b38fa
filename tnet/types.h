// types: the vocabulary of the base package: event bits, connection states and events, callbacks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "tnet/cpp20.h"

namespace tnet {

class Connection;
class IOLoop;

// What a descriptor is watched for, and what happened to it. Bits; combine with |.
enum : uint32_t {
    TNET_READ = 1U << 0U,   // readable, or the peer ended its direction
    TNET_WRITE = 1U << 1U,  // writable
    TNET_ERROR = 1U << 2U,  // failed or hung up; reported whether asked for or not
};

// The life of a connection; it only ever moves forward.
enum class ConnState : uint8_t {
    Connecting,     // connect returned EINPROGRESS, or the transport's handshake is under way
    Connected,      // both directions work
    Disconnecting,  // shutDown was called: what is queued is being delivered, input is dropped
    Disconnected,   // closed, the descriptor with it; every call is a no-op
};

enum ConnEvent : uint8_t {
    Conn_EstablishedEvent,    // the server accepted and the transport is ready      context: none
    Conn_ConnectEvent,        // a client's connect succeeded, the transport is ready context: none
    Conn_ConnectingEvent,     // connect returned EINPROGRESS                        context: none
    Conn_ReadEvent,           // bytes arrived      context: const StackBuffer*, valid during the call
    Conn_WriteCompleteEvent,  // everything sent so far has been handed to the kernel context: none
    Conn_ErrorEvent,  // the connection failed; Conn_CloseEvent follows      context: const std::error_code*
    Conn_CloseEvent,  // closed, by either side; always last, exactly once   context: none
};

using ConnectionPtr_t = std::shared_ptr<Connection>;
using WeakConnectionPtr_t = std::weak_ptr<Connection>;

// The single event callback of a connection. Runs on the connection's loop; must not throw. What it
// owns lives as long as it does: until it is replaced, or until Conn_CloseEvent has been delivered.
using ConnEventCallback_t = std::function<void(const ConnectionPtr_t&, ConnEvent, const void* context)>;

using IOCallback_t = std::function<void(uint32_t events)>;  // TNET_* bits
using Callback_t = std::function<void()>;

}  // namespace tnet
