// Wire: what a fuzzer does to a connection on a scripted transport: one command, one event.
//
//     f bytes    the peer sends            c size bytes   the same, in fragments
//     n times bytes   the same, up to 128 times, which is more than a turn
//     e          the peer ends             b size bytes   the same, as the rest of a TLS record waits
//     r          the peer resets           l size         no write takes more (0: they take all)
//     s, o       the loop runs: settle, or one round      a time   the clock moves on, up to some minutes
//     x, y       the kernel takes nothing, and again      z size   resets after so many bytes more
//     q          the next write must wait                 h        the next read must wait for a writable socket
//     C, S, A    close, shutDown, abort
//
// Threads: the loop's. Lifetime: all is borrowed, and outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/support/manual_clock.h"
#include "tests/support/scripted_peer.h"
#include "tnet/connection.h"

namespace tnet {

class Wire final : public ConnectionObserver {
public:
    // Of a peer that has just started.
    Wire(ScriptedPeer& peer, ManualClock& clock);

    // False: the letter is not one of its.
    bool command(char letter, std::string_view argument);

    // The loop runs until nothing moves any more; before that, the peer begins to read all there is.
    void collect();
    void readAll();

    // Time passes; outlast: more than all deadlines together, or until the connection is closed.
    void advance(Duration step);
    void outlast();

    // The connection must be closed, once, and leave its transport alone from then on: soon after the peer has read all
    // and ended; or, if it does nothing any more, as soon as all deadlines are over.
    enum class Peer : uint8_t { Ends, StaysSilent };
    void finish(Peer peer);

    const std::string& sent() const { return m_sent; }        // by the peer
    const std::string& written() const { return m_written; }  // to it; complete after finish()

    void onConnectionClosed(const Connection& connection) override;

private:
    void feed(std::string_view bytes, size_t fragment, ScriptedPeer::Arrival arrival);

    ScriptedPeer& m_peer;
    ManualClock& m_clock;
    std::string m_sent{};
    std::string m_written{};
    bool m_hasEnded = false;
    int m_closes = 0;
    size_t m_callsAtClose = 0;
};

}  // namespace tnet
