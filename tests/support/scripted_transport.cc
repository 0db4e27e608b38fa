#include "tests/support/scripted_transport.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tnet {
namespace {

IoResult takeStep(std::deque<IoResult>& steps, IoResult otherwise) {
    if (steps.empty()) return otherwise;
    const IoResult step = steps.front();
    steps.pop_front();
    return step;
}

}  // namespace

std::shared_ptr<ScriptedTransport> ScriptedTransport::create() {
    return std::shared_ptr<ScriptedTransport>(new ScriptedTransport);
}

ScriptedTransport::ScriptedTransport() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        ADD_FAILURE() << "socketpair: " << std::strerror(errno);
    }
    m_socket.reset(ends[0]);
    m_peer.reset(ends[1]);
    m_fd = ends[0];
    const int smallest = 1;  // the kernel rounds up; what blockWrites has to fill
    ::setsockopt(m_fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
}

TransportPtr_t ScriptedTransport::handOut() {
    assert(!m_handedOut && "one connection per transport");
    m_handedOut = true;
    m_self = shared_from_this();
    return TransportPtr_t(this);
}

void ScriptedTransport::release() noexcept { const auto last = std::exchange(m_self, nullptr); }

// --- Script ---

void ScriptedTransport::feed(std::string_view bytes, size_t fragment, Arrival arrival) {
    assert(fragment > 0);
    bool isFirst = true;
    while (!bytes.empty()) {
        const std::string_view next = bytes.substr(0, fragment);
        feedStep(
            {{IoStatus::Ok, next.size(), {}}, std::string(next), !isFirst && arrival == Arrival::Buffered});
        bytes.remove_prefix(next.size());
        isFirst = false;
    }
}

void ScriptedTransport::feedWantRead() { feedStep({wantsRead(), {}, false}); }

void ScriptedTransport::feedWantWrite() { feedStep({wantsWrite(), {}, false}); }

void ScriptedTransport::feedEnd() { feedStep({{IoStatus::End, 0, {}}, {}, false}); }

void ScriptedTransport::feedError(std::errc error) { feedStep({fails(error), {}, false}); }

void ScriptedTransport::feedStep(Input step) {
    m_input.push_back(std::move(step));
    if (!m_isRinging && !m_input.front().isBuffered) ring();
}

void ScriptedTransport::ring() {
    if (::send(m_peer.get(), "!", 1, MSG_NOSIGNAL) == 1) m_isRinging = true;
}

// Readable exactly as long as there is input that is not buffered. Called in the connection's calls
// alone, since only then the descriptor is surely the connection's still.
void ScriptedTransport::updateBell() {
    const bool shouldRing = !m_input.empty() && !m_input.front().isBuffered;
    if (shouldRing && !m_isRinging) ring();
    if (shouldRing || !m_isRinging) return;
    char byte = 0;
    while (::recv(m_fd, &byte, 1, 0) == 1) {
    }
    m_isRinging = false;
}

void ScriptedTransport::becomeReadable() {
    m_isWoken = true;
    if (!m_isRinging) ring();
}

void ScriptedTransport::blockWrites() {
    const std::string filling(4096, '#');
    while (::send(m_fd, filling.data(), filling.size(), MSG_NOSIGNAL) > 0) {
    }
    m_isBlocked = true;
}

void ScriptedTransport::unblockWrites() {
    std::array<char, 4096> drained;
    while (::recv(m_peer.get(), drained.data(), drained.size(), 0) > 0) {
    }
    m_isBlocked = false;
}

void ScriptedTransport::restartCounts() {
    m_calls = m_readCalls = m_writeCalls = m_sendFileCalls = m_writtenBytes = 0;
    m_writes.clear();
}

std::string ScriptedTransport::takeWritten() { return std::exchange(m_written, std::string()); }

// --- Transport ---

IoResult ScriptedTransport::handshake(int) {
    ++m_calls;
    const IoResult result = takeStep(m_handshakeSteps, IoResult{});
    if (std::exchange(m_isWoken, false)) updateBell();
    return result;
}

IoResult ScriptedTransport::read(int, char* into, size_t size) {
    ++m_calls;
    ++m_readCalls;
    m_isWoken = false;
    const IoResult result = readFront(into, size);
    updateBell();
    return result;
}

IoResult ScriptedTransport::readFront(char* into, size_t size) {
    if (m_input.empty()) return wantsRead();
    Input& front = m_input.front();
    const IoResult result = front.result;
    if (result.status == IoStatus::End || result.status == IoStatus::Failed) return result;
    if (result.status != IoStatus::Ok) {
        m_input.pop_front();
        return result;
    }
    const size_t taken = std::min(size, front.bytes.size());
    std::memcpy(into, front.bytes.data(), taken);
    front.bytes.erase(0, taken);
    if (front.bytes.empty()) m_input.pop_front();
    return takes(taken);
}

IoResult ScriptedTransport::admitWrite(size_t size) {
    ++m_calls;
    if (std::exchange(m_isWoken, false)) updateBell();
    if (m_writtenBytes >= m_resetAfter) return fails(std::errc::connection_reset);
    if (m_isBlocked) return wantsWrite();
    const IoResult step = takeStep(m_writeSteps, takes(size));
    if (step.status != IoStatus::Ok) return step;
    return takes(std::min({size, step.bytes, m_writeLimit, m_resetAfter - m_writtenBytes}));
}

void ScriptedTransport::recordWrite(size_t bytes) {
    m_writtenBytes += bytes;
    m_writes.push_back(bytes);
}

IoResult ScriptedTransport::write(int, const iovec* pieces, int count) {
    ++m_writeCalls;
    size_t size = 0;
    for (int i = 0; i < count; ++i) size += pieces[i].iov_len;
    const IoResult result = admitWrite(size);
    if (result.status != IoStatus::Ok) return result;
    size_t left = result.bytes;
    for (int i = 0; i < count; ++i) {
        const size_t taken = std::min(left, pieces[i].iov_len);
        m_written.append(static_cast<const char*>(pieces[i].iov_base), taken);
        left -= taken;
    }
    recordWrite(result.bytes);
    return result;
}

IoResult ScriptedTransport::sendFile(int, int file, off_t offset, size_t size) {
    ++m_sendFileCalls;
    const IoResult result = admitWrite(size);
    if (result.status != IoStatus::Ok) return result;
    std::string bytes(result.bytes, '\0');
    const ssize_t n = ::pread(file, bytes.data(), bytes.size(), offset);
    if (n <= 0) return fails(std::errc::io_error);
    bytes.resize(static_cast<size_t>(n));
    m_written += bytes;
    recordWrite(bytes.size());
    return takes(bytes.size());
}

IoResult ScriptedTransport::endWrite(int) {
    ++m_calls;
    const IoResult result = takeStep(m_endWriteSteps, IoResult{});
    m_writeEnded = result.status == IoStatus::Ok;
    if (m_writeEnded && m_endListener) m_endListener();
    return result;
}

bool ScriptedTransport::hasPendingInput() const { return !m_input.empty() && m_input.front().isBuffered; }

}  // namespace tnet
