#include "tests/support/scripted_peer.h"

#include <gtest/gtest.h>

namespace tnet {
namespace {

constexpr int kQuietRounds = 4;  // a round tells what the one before caused, and may cause more
constexpr int kTooManyRounds = 1'000'000;

}  // namespace

ScriptedPeer::ScriptedPeer(IOLoop* loop, Connection::Origin origin)
    : m_loop(loop),
      m_transport(ScriptedTransport::create()),
      m_connection(
          std::make_shared<Connection>(loop, m_transport->takeSocket(), m_transport->handOut(), origin)) {}

ScriptedPeer::~ScriptedPeer() {
    m_connection->close();
    settle();
}

ScriptedPeer& ScriptedPeer::feed(std::string_view bytes, size_t fragment, Arrival arrival) {
    m_transport->feed(bytes, fragment, arrival);
    return *this;
}

ScriptedPeer& ScriptedPeer::feedEnd() {
    m_transport->feedEnd();
    return *this;
}

ScriptedPeer& ScriptedPeer::feedReset() {
    m_transport->feedError(std::errc::connection_reset);
    return *this;
}

void ScriptedPeer::settle() {
    int quiet = 0;
    for (int round = 0; quiet < kQuietRounds; ++round) {
        if (round == kTooManyRounds) {
            ADD_FAILURE() << "the connection never comes to rest";
            return;
        }
        const size_t before = m_transport->calls();
        m_loop->runOnce(Duration::zero());
        quiet = m_transport->calls() == before ? quiet + 1 : 0;
    }
}

std::string ScriptedPeer::collect() {
    settle();
    return m_transport->takeWritten();
}

std::string ScriptedPeer::collectUntilClosed(std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!isClosed() && std::chrono::steady_clock::now() < end)
        m_loop->runOnce(std::chrono::milliseconds(1));
    EXPECT_TRUE(isClosed()) << "still open after " << deadline.count() << " ms";
    return collect();
}

}  // namespace tnet
