#include "tests/support/scripted_peer.h"

#include <gtest/gtest.h>

#include <utility>

namespace tnet {
namespace {

constexpr int kQuietRounds = 4;  // a round tells what the one before caused, and may cause more
constexpr int kTooManyRounds = 1'000'000;
constexpr int kHandshakeRounds = 20;

TransportPtr_t secured(PeerSecurity* security, TransportPtr_t transport) {
    return security == nullptr ? std::move(transport) : security->over(std::move(transport));
}

}  // namespace

ScriptedPeer::ScriptedPeer(IOLoop* loop, Connection::Origin origin)
    : m_loop(loop),
      m_security(PeerSecurity::create(origin)),
      m_transport(ScriptedTransport::create()),
      m_connection(std::make_shared<Connection>(loop, m_transport->takeSocket(),
                                                secured(m_security.get(), m_transport->handOut()), origin)) {
    if (m_security) m_transport->setEndListener([this] { answerEnd(); });
}

ScriptedPeer::~ScriptedPeer() {
    m_connection->close();
    settle();
    m_transport->setEndListener({});
}

void ScriptedPeer::start() {
    m_connection->start();
    shakeHands();
}

void ScriptedPeer::shakeHands(std::string_view behind) {
    if (!m_security) {
        feed(behind);
        return;
    }
    for (int round = 0; round < kHandshakeRounds && m_connection->state() == ConnState::Connecting; ++round) {
        exchange(&behind);
        m_loop->runOnce(Duration::zero());
    }
    exchange(&behind);
    m_transport->restartCounts();
}

// What was written reaches the peer, and what that makes it say the connection.
void ScriptedPeer::exchange(std::string_view* behind) {
    m_security->receive(m_transport->takeWritten());
    if (behind != nullptr && m_security->isEstablished() && !m_hasEnded)
        m_security->send(std::exchange(*behind, {}));
    m_transport->feed(m_security->takeOutput());
}

std::string ScriptedPeer::recordsOf(std::string_view bytes) {
    m_security->send(bytes);
    return m_security->takeOutput();
}

void ScriptedPeer::answerEnd() {
    exchange();
    EXPECT_TRUE(m_security->hasReceivedEnd()) << "the connection ended without close_notify";
    if (!m_withholdsEnd && !m_hasEnded) feedEnd();
}

ScriptedPeer& ScriptedPeer::feed(std::string_view bytes, size_t fragment, Arrival arrival) {
    if (!m_security) {
        m_transport->feed(bytes, fragment, arrival);
    } else if (!m_hasEnded) {
        feedRecords(bytes, fragment);
    }
    return *this;
}

void ScriptedPeer::feedRecords(std::string_view bytes, size_t fragment) {
    if (m_security->cutsWire()) {
        m_security->send(bytes);
        return m_transport->feed(m_security->takeOutput(), fragment);
    }
    while (!bytes.empty()) {
        const std::string_view next = bytes.substr(0, fragment);
        bytes.remove_prefix(next.size());
        m_security->send(next);
        m_transport->feed(m_security->takeOutput());
    }
}

ScriptedPeer& ScriptedPeer::feedEnd() {
    m_hasEnded = true;
    if (m_security) {
        m_security->sendEnd();
        m_transport->feed(m_security->takeOutput());
    }
    m_transport->feedEnd();
    return *this;
}

ScriptedPeer& ScriptedPeer::feedReset() {
    m_hasEnded = true;
    m_transport->feedError(std::errc::connection_reset);
    return *this;
}

std::string ScriptedPeer::takeWritten() {
    if (!m_security) return m_transport->takeWritten();
    exchange();
    return m_security->takeReceived();
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
    return takeWritten();
}

std::string ScriptedPeer::collectUntilClosed(std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!isClosed() && std::chrono::steady_clock::now() < end)
        m_loop->runOnce(std::chrono::milliseconds(1));
    EXPECT_TRUE(isClosed()) << "still open after " << deadline.count() << " ms";
    return collect();
}

}  // namespace tnet
