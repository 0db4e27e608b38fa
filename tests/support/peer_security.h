// PeerSecurity: what scripted peers and their connections put around their bytes: nothing, or TLS.
//
//     connection under test -> transport over(the scripted one) -> ScriptedTransport -> receive, takeReceived
//
// A test that links //tests/support:peer_tls and finds TNET_TEST_TLS set runs over TLS; tests/tls.bzl makes such
// tests of those that exist. Without either there is none.
//
// Threads: the loop's only. Lifetime: its ScriptedPeer's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tnet/connection.h"
#include "tnet/transport.h"

namespace tnet {

class PeerSecurity {
public:
    using Factory_t = std::unique_ptr<PeerSecurity> (*)(Connection::Origin);

    // For a connection of that origin; null: its bytes go as they are.
    static std::unique_ptr<PeerSecurity> create(Connection::Origin origin);
    static bool isOn();
    static void setFactory(Factory_t factory);

    virtual ~PeerSecurity() = default;

    // The transport for the connection under test. Once.
    virtual TransportPtr_t over(TransportPtr_t lower) = 0;

    // Bytes that the connection sent; they must be in order.
    virtual void receive(std::string_view wire) = 0;
    virtual std::string takeReceived() = 0;  // what they said
    virtual bool hasReceivedEnd() const = 0;

    virtual bool isEstablished() const = 0;

    // What the peer says; once established. send: in one record, if it fits.
    virtual void send(std::string_view bytes) = 0;
    virtual void sendEnd() = 0;
    virtual std::string takeOutput() = 0;  // as bytes for the connection

    // True: fragments are those of the bytes on the wire, rather than records.
    virtual bool cutsWire() const = 0;
};

}  // namespace tnet
