// ScriptedPeer: a connection on a scripted transport, seen from its other end.
//
//     ScriptedPeer peer(loop.get());
//     peer.connection()->setEventCallback(...);              // or let a layer take it over
//     peer.start();
//     peer.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3);     // cut into fragments of three bytes
//     EXPECT_EQ(peer.collect(), "HTTP/1.1 200 OK\r\n...");   // what was written since the last time
//
// In a binary that runs over TLS (see peer_security.h) the connection is TLS's server, or its client if it was not
// accepted, and the peer is the other. What the peer says, and what it collects, are the bytes inside; the scripted
// transport below and its faults are about records.
//
// Threads: the loop's only; the loop must not be running (the peer runs it).
// Lifetime: the loop outlives it. A connection still open when it is destroyed is closed.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/peer_security.h"
#include "tests/support/scripted_transport.h"
#include "tnet/connection.h"
#include "tnet/io_loop.h"

namespace tnet {

class ScriptedPeer {
public:
    static constexpr size_t kWhole = ScriptedTransport::kWhole;
    using Arrival = ScriptedTransport::Arrival;

    explicit ScriptedPeer(IOLoop* loop, Connection::Origin origin = Connection::Origin::Accepted);
    ~ScriptedPeer();
    ScriptedPeer(const ScriptedPeer&) = delete;
    ScriptedPeer& operator=(const ScriptedPeer&) = delete;

    const ConnectionPtr_t& connection() const { return m_connection; }
    ScriptedTransport& transport() const { return *m_transport; }

    // What a test may ask that is about plain bytes, or about TLS.
    static bool isSecure() { return PeerSecurity::isOn(); }

    // Starts the connection. May call back before it returns. Over TLS the loop runs until the handshake is over,
    // and transport() counts from then on.
    void start();
    // The second part of it, if the connection was started by itself. `behind` is what the peer sends as soon as it
    // may: in TLS 1.3 in the packet of its last flight.
    void shakeHands(std::string_view behind = {});

    // The peer sends: each read of the connection finds one fragment. Nothing is read before the loop
    // runs. Buffered: the socket is silent after the first fragment, as after a TLS record.
    // Over TLS each fragment is a record of its own, on the socket, or the records are cut into fragments.
    ScriptedPeer& feed(std::string_view bytes, size_t fragment = kWhole, Arrival arrival = Arrival::OnSocket);
    ScriptedPeer& feedEnd();    // the peer ends its direction, over TLS with close_notify
    ScriptedPeer& feedReset();  // the peer resets the connection

    // What feed would put on the wire, for tests of TLS to cut up. It must get there before what is fed next.
    std::string recordsOf(std::string_view bytes);

    // Over TLS a shutDown waits for the peer's end, and the peer answers ours with it at once; what it is fed
    // afterwards, it does not send. From now on it does not answer.
    void withholdEnd() { m_withholdsEnd = true; }

    // Runs the loop without waiting until nothing moves any more.
    void settle();

    // What was written since the last time.
    std::string takeWritten();

    // settle(), then what was written since the last collect. Enough for all that happens on the loop
    // without timers; for what comes from other threads wait with collectUntilClosed or runUntil.
    std::string collect();

    // Runs the loop until the connection is closed, at most `deadline` of real time (then the test
    // fails), and returns what was written since the last collect.
    std::string collectUntilClosed(std::chrono::milliseconds deadline = std::chrono::seconds(10));

    // We closed, or the connection failed.
    bool isClosed() const { return m_connection->state() == ConnState::Disconnected; }
    // Our direction has ended: closed, or FIN sent.
    bool isEnded() const { return isClosed() || m_transport->isWriteEnded(); }

private:
    void feedRecords(std::string_view bytes, size_t fragment);
    void exchange(std::string_view* behind = nullptr);
    void answerEnd();

    IOLoop* m_loop;
    std::unique_ptr<PeerSecurity> m_security;  // null: none
    bool m_withholdsEnd = false;
    bool m_hasEnded = false;
    std::shared_ptr<ScriptedTransport> m_transport;
    ConnectionPtr_t m_connection;
};

}  // namespace tnet
