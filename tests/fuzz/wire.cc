#include "tests/fuzz/wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

namespace tnet {
namespace {

constexpr int kSteps = 40;
constexpr std::chrono::seconds kStep{15};
constexpr size_t kMostTimes = 128;  // a few turns, and still quick

size_t firstByte(std::string_view argument) {
    return argument.empty() ? 0 : static_cast<uint8_t>(argument.front());
}

std::string repeated(std::string_view bytes, size_t times) {
    std::string all;
    for (size_t i = 0; i < times; ++i) all += bytes;
    return all;
}

}  // namespace

Wire::Wire(ScriptedPeer& peer, ManualClock& clock) : m_peer(peer), m_clock(clock) {
    m_peer.connection()->setObserver(this);
}

bool Wire::command(char letter, std::string_view argument) {
    const size_t number = firstByte(argument);
    const std::string_view behind = argument.substr(std::min<size_t>(1, argument.size()));
    ScriptedTransport& transport = m_peer.transport();
    switch (letter) {
        case 'f': feed(argument, ScriptedPeer::kWhole, ScriptedPeer::Arrival::OnSocket); break;
        case 'c': feed(behind, number + 1, ScriptedPeer::Arrival::OnSocket); break;
        case 'b': feed(behind, number + 1, ScriptedPeer::Arrival::Buffered); break;
        case 'n':
            feed(repeated(behind, number % kMostTimes + 1), ScriptedPeer::kWhole,
                 ScriptedPeer::Arrival::OnSocket);
            break;
        case 'l': transport.limitWrites(number == 0 ? ScriptedPeer::kWhole : number); break;
        case 'a': advance(std::chrono::milliseconds(number * number * 10)); break;
        case 's': collect(); break;
        case 'o': m_peer.connection()->loop()->runOnce(Duration::zero()); break;
        case 'q': transport.onWrite(ScriptedTransport::wantsWrite()); break;
        case 'h': transport.feedWantWrite(); break;
        case 'x':
            if (!m_peer.isClosed()) transport.blockWrites();
            break;
        case 'y':
            if (!m_peer.isClosed()) transport.unblockWrites();
            break;
        case 'z':
            if (m_peer.isClosed()) break;
            transport.restartCounts();
            transport.resetAfterWritten(number * 4);
            break;
        case 'e':
            if (!m_hasEnded) m_peer.feedEnd();
            m_hasEnded = true;
            break;
        case 'r':
            if (!m_hasEnded) m_peer.feedReset();
            m_hasEnded = true;
            break;
        case 'C': m_peer.connection()->close(); break;
        case 'A': m_peer.connection()->abort(); break;
        case 'S': m_peer.connection()->shutDown(); break;
        default: return false;
    }
    return true;
}

void Wire::feed(std::string_view bytes, size_t fragment, ScriptedPeer::Arrival arrival) {
    if (m_hasEnded || bytes.empty()) return;
    m_sent += bytes;
    m_peer.feed(bytes, fragment, arrival);
}

void Wire::advance(Duration step) {
    m_clock.advance(step);
    collect();
}

void Wire::collect() { m_written += m_peer.collect(); }

void Wire::readAll() {
    command('y', {});
    command('l', {});
    collect();
}

void Wire::outlast() {
    for (int i = 0; i < kSteps && !m_peer.isClosed(); ++i) advance(kStep);
}

void Wire::finish(Peer peer) {
    if (peer == Peer::Ends) {
        readAll();
        command('e', {});
    }
    collect();
    outlast();
    EXPECT_TRUE(m_peer.isClosed());
    EXPECT_EQ(m_closes, 1) << "Conn_CloseEvent";
    EXPECT_EQ(m_peer.transport().calls(), m_callsAtClose) << "it was used after the connection had closed";
}

void Wire::onConnectionClosed(const Connection&) {
    ++m_closes;
    m_callsAtClose = m_peer.transport().calls();
}

}  // namespace tnet
