// ScriptedTransport: a transport that does what a test's script says, on a descriptor that is real.
//
//     script ──> read, handshake, write, sendFile, endWrite ──> Connection       (the code under test)
//           └──> a byte in a socket pair: readable as long as the script has input, writable unless
//                blockWrites() filled it                                         (so epoll is real)
//
// Without a script: reads find nothing, writes take everything, the handshake is done at once.
//
// Threads: the loop's only.
// Lifetime: shared by the test and the connection; the last of the two destroys it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tnet/socket.h"
#include "tnet/transport.h"

namespace tnet {

class ScriptedTransport final : public Transport, public std::enable_shared_from_this<ScriptedTransport> {
public:
    static constexpr size_t kWhole = SIZE_MAX;

    // Where the later fragments of a feed wait: in the socket, which stays readable; or in the
    // transport, as the rest of a TLS record does: hasPendingInput() is true, the socket is silent.
    enum class Arrival : uint8_t { OnSocket, Buffered };

    static std::shared_ptr<ScriptedTransport> create();
    ~ScriptedTransport() = default;

    // Both for the Connection, each once.
    FileDescriptor takeSocket() { return std::move(m_socket); }
    TransportPtr_t handOut();

    // --- The script: what reads find, in order; what is fed later follows ---

    // Each read finds at most one fragment of `fragment` bytes.
    void feed(std::string_view bytes, size_t fragment = kWhole, Arrival arrival = Arrival::OnSocket);
    void feedWantRead();   // readable, but nothing comes of it: half a TLS record
    void feedWantWrite();  // a read that must write first: a TLS renegotiation
    void feedEnd();
    void feedError(std::errc error = std::errc::connection_reset);
    void setGracefulEnd(bool wanted) { m_gracefulEnd = wanted; }

    // --- The script: what the other calls do; one step per call, then the default again ---

    // Ok with `bytes`: takes at most that many.
    void onWrite(IoResult step) { m_writeSteps.push_back(step); }  // sendFile, too
    void onHandshake(IoResult step) { m_handshakeSteps.push_back(step); }
    void onEndWrite(IoResult step) { m_endWriteSteps.push_back(step); }
    static IoResult takes(size_t bytes) { return {IoStatus::Ok, bytes, {}}; }
    static IoResult wantsRead() { return {IoStatus::WantRead, 0, {}}; }
    static IoResult wantsWrite() { return {IoStatus::WantWrite, 0, {}}; }
    static IoResult fails(std::errc error) { return {IoStatus::Failed, 0, std::make_error_code(error)}; }

    // No write takes more than this; the rest of it is told to wait.
    void limitWrites(size_t bytesPerCall) { m_writeLimit = bytesPerCall; }

    // The connection is reset once this many bytes have been written.
    void resetAfterWritten(size_t bytes) { m_resetAfter = bytes; }

    // Makes the socket unwritable, and writable again. Only while the connection is open.
    void blockWrites();
    void unblockWrites();

    // Makes the socket readable until the next read or write: what a write that wants read waits for.
    void becomeReadable();

    // Calls `listener` when endWrite has succeeded.
    void setEndListener(std::function<void()> listener) { m_endListener = std::move(listener); }

    // --- What happened ---

    // Counts from here on: calls, bytes of resetAfterWritten.
    void restartCounts();

    const std::string& written() const { return m_written; }
    // Returns it and forgets it.
    std::string takeWritten();
    const std::vector<size_t>& writes() const { return m_writes; }  // bytes of each write that took any
    bool isWriteEnded() const { return m_writeEnded; }              // endWrite has succeeded
    bool isReleased() const { return m_self == nullptr && m_handedOut; }
    size_t calls() const { return m_calls; }  // of any kind
    size_t readCalls() const { return m_readCalls; }
    size_t writeCalls() const { return m_writeCalls; }
    size_t sendFileCalls() const { return m_sendFileCalls; }
    bool hasInput() const { return !m_input.empty(); }  // fed and not read yet; an end stays for ever

    // --- Transport ---

    IoResult handshake(int fd) override;
    IoResult read(int fd, char* into, size_t size) override;
    IoResult write(int fd, const iovec* pieces, int count) override;
    IoResult sendFile(int fd, int file, off_t offset, size_t size) override;
    IoResult endWrite(int fd) override;
    bool hasPendingInput() const override;
    bool wantsGracefulEnd() const override { return m_gracefulEnd; }
    void release() noexcept override;

private:
    struct Input {
        IoResult result;
        std::string bytes;
        bool isBuffered;
    };

    ScriptedTransport();

    void feedStep(Input step);
    IoResult readFront(char* into, size_t size);
    // Decides on a write of `size` bytes before any is taken; Ok: up to `bytes` of them.
    IoResult admitWrite(size_t size);
    void recordWrite(size_t bytes);
    void ring();
    void updateBell();

    FileDescriptor m_socket;  // until the connection takes it
    FileDescriptor m_peer;
    int m_fd;                                   // the connection's end
    bool m_isRinging = false;                   // a byte is in the socket
    bool m_isWoken = false;                     // becomeReadable
    bool m_isBlocked = false;                   // blockWrites
    std::shared_ptr<ScriptedTransport> m_self;  // the connection's share

    std::deque<Input> m_input;
    std::deque<IoResult> m_writeSteps;
    std::deque<IoResult> m_handshakeSteps;
    std::deque<IoResult> m_endWriteSteps;
    size_t m_writeLimit = SIZE_MAX;
    size_t m_resetAfter = SIZE_MAX;
    bool m_gracefulEnd = false;
    std::function<void()> m_endListener;

    std::string m_written;
    size_t m_writtenBytes = 0;
    std::vector<size_t> m_writes;
    bool m_writeEnded = false;
    bool m_handedOut = false;
    size_t m_calls = 0;
    size_t m_readCalls = 0;
    size_t m_writeCalls = 0;
    size_t m_sendFileCalls = 0;
};

}  // namespace tnet
