// Connection: one stream socket on one loop, and the single event callback that owns what lives on it.
//
//     kernel -> Transport -> read buffer of the loop -> Conn_ReadEvent -> the callback
//     send -> SendQueue -> (at the end of the event or the round) -> Transport -> kernel
//
// Whoever owns the callback owns the connection: HTTP and WebSocket are objects inside it and die with
// it. The loop's registration holds the Connection; the callback holds the layer; the layer holds a
// weak pointer back.
//
// No function but start() and redeliver() calls back before it returns: what a call causes is told at the end of the event that is
// being dispatched, or from the top of the loop. So send, shutDown and close are legal in any callback,
// and so is replacing the callback from within itself.
//
// Sends are gathered. Those made while one of the connection's own events is dispatched leave in one write at its
// end; all others at the end of the loop's round, before it waits again. flush() writes them earlier.
//
// Memory that runs out (std::bad_alloc) inside the connection, its transport or its callback fails the connection
// (not_enough_memory); no function but the constructor and setEventCallback throws it.
//
// Threads: the loop's only. Lifetime: a handle that outlives the connection is inert: isConnected() is
// false, and calls do nothing and say so.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "tnet/address.h"
#include "tnet/io_handler.h"
#include "tnet/io_loop.h"
#include "tnet/peer_address.h"
#include "tnet/send_queue.h"
#include "tnet/stack_buffer.h"
#include "tnet/transport.h"
#include "tnet/turn.h"
#include "tnet/types.h"

namespace tnet {

enum class SendStatus : uint8_t {
    Accepted,  // queued
    Closed,    // the connection no longer sends; the bytes are dropped
    Overflow,  // more than maxQueuedBytes beside the largest message; the connection fails (no_buffer_space)
};

struct SendResult {
    SendStatus status;
    size_t queuedBytes;  // Connection::queuedBytes()
};

// For the server that counts its connections.
class ConnectionObserver {
public:
    // The transport was told who the peer is (Transport::tellsPeer), or that it is whom the socket names: peer() is
    // right from now on. Conn_EstablishedEvent follows; false: the connection is not wanted, and closes instead.
    virtual bool onPeerTold(const Connection&) { return true; }

    // Closed, after Conn_CloseEvent.
    virtual void onConnectionClosed(const Connection& connection) = 0;

protected:
    ~ConnectionObserver() = default;
};

class Connection final : public IOHandler, public std::enable_shared_from_this<Connection> {
public:
    static constexpr size_t kDefaultMaxQueuedBytes = 64 << 20;
    static constexpr std::chrono::milliseconds kDefaultShutDownTime{5000};
    // Who takes less is not waited for. Nobody's link is that slow.
    static constexpr uint32_t kLeastBytesPerSecond = 240;
    // What one connection writes in a round of the loop, at most; a step is a call of the transport.
    static constexpr TurnBudget kWriteTurn{.steps = 32, .bytes = 1 << 20};

    // How the socket came to be: accept(2); connect(2) that succeeded at once; connect(2) that is in
    // progress.
    enum class Origin : uint8_t { Accepted, Connected, Connecting };

    // Made by TcpServer and Connector; tests may make their own. `socket` is non-blocking. Nothing
    // happens before start().
    Connection(IOLoop* loop, FileDescriptor socket, TransportPtr_t transport, Origin origin);
    ~Connection() override;

    // --- Set up ---

    // Replaces the callback; what the old one owns is destroyed, not before it has returned.
    void setEventCallback(ConnEventCallback_t callback);

    // Unwanted: no Conn_WriteCompleteEvent, which a layer that never waits for it need not pay for.
    void setWriteCompleteWanted(bool wanted) { m_writeCompleteWanted = wanted; }

    // Limits the memory that is queued (queuedMemory), but for the largest message in it: one may be of any size.
    // Exceeding it fails the connection.
    void setMaxQueuedBytes(size_t bytes) { m_maxQueuedBytes = bytes; }

    // Resets the connection if the peer, while something is queued, takes nothing for `timeout`, or less than so
    // many bytes a second, looked at once per `timeout`. Zero (the default) lets it take its time.
    void setSendTimeout(std::chrono::milliseconds timeout, size_t bytesPerSecond = kLeastBytesPerSecond);

    // Allowed: the peer's end of stream is one empty Conn_ReadEvent, and this side goes on sending
    // until it shuts down. Otherwise (the default) it makes this side deliver what is queued and close.
    void setHalfCloseAllowed(bool allowed) { m_halfCloseAllowed = allowed; }

    // Borrowed; outlives the connection. Counted from here on.
    void setObserver(ConnectionObserver* observer) { m_observer = observer; }
    void setPeer(const PeerAddress& peer) { m_peer = peer; }

    // Begins: registers with the loop, does the transport's handshake, tells Conn_EstablishedEvent or
    // (Conn_ConnectingEvent and) Conn_ConnectEvent. May call back before it returns. Once.
    // AtOnce: reads an accepted connection before it is registered, and registers only what is open behind that.
    // Where the client speaks first its request is often there already, and the connection may be over with it.
    enum class FirstRead : uint8_t { WhenReadable, AtOnce };
    void start(FirstRead firstRead = FirstRead::WhenReadable);

    // Fails it (timed_out) unless it is connected in that time from now; zero: takes as long as it takes.
    void limitConnecting(std::chrono::milliseconds time);

    // start(), or failConnecting(error) if there is one, from the top of the loop.
    void startLater(std::error_code error = {});

    // Fails a connection that is still Connecting, started or not; nothing otherwise.
    void failConnecting(std::error_code error);

    // --- Act ---

    // Queues what leaves at the end of this event, or of the loop's round. The view is not needed afterwards. Legal
    // while Connecting, too. Accepted does not mean written: close() loses what was sent before it, shutDown() does not.
    SendResult send(std::string_view bytes);
    SendResult send(const char* text) { return send(std::string_view(text)); }
    SendResult send(std::string&& bytes);     // takes long ones over instead of copying them
    SendResult send(SharedBytesPtr_t bytes);  // references them until they are written

    SendResult sendWithRound(SharedBytesPtr_t bytes) { return send(std::move(bytes)); }

    // Exactly `size` bytes. They are read when the kernel takes them, and count as no memory.
    SendResult sendFile(SharedFilePtr_t file, off_t offset, size_t size);

    // Sends what is written in place: reserve room, write, commit how much. Null if nothing can be sent
    // any more. Nothing else may be called in between.
    char* reserveSend(size_t size);
    SendResult commitSend(size_t size);

    // Writes what is gathered now, at most what a turn may. False: something is left in the queue, or the connection
    // is closed.
    bool flush();

    // Delivers what is queued, then closes; closes anyway once the peer has taken nothing for `after`, or less than
    // kLeastBytesPerSecond of what is queued. From now on input is dropped and sends are refused. Await: also ends
    // our direction (FIN) and waits for the peer's end, so that input still under way does not make the kernel
    // reset what was delivered.
    enum class PeerEnd : uint8_t { Ignore, Await };
    void shutDown(std::chrono::milliseconds after = kDefaultShutDownTime, PeerEnd peerEnd = PeerEnd::Ignore);

    // Half-close: delivers what is queued, then ends our direction; input goes on. Sends are refused.
    void shutDownWrite();

    // Closes now; what is queued is lost. Conn_CloseEvent follows after this call.
    void close();

    // The same with a reset, so that the peer takes what it got for broken off, not for complete.
    void abort();

    // No Conn_ReadEvent while paused; TCP slows the peer. The peer's end is noticed after resuming.
    void pauseReading();
    void resumeReading();

    // Hands bytes that an earlier layer read too far to the callback of now, as a Conn_ReadEvent;
    // calls back before it returns. Nothing if the connection is not Connected.
    void redeliver(std::string bytes);

    // --- Observe ---

    IOLoop* loop() const { return m_loop; }
    ConnState state() const { return m_state; }
    bool isConnected() const { return m_state == ConnState::Connected; }
    bool isReadingPaused() const { return m_readPaused; }
    // Something is left that the kernel has not taken, be it of a file.
    bool isSending() const { return m_queue != nullptr; }
    // Bytes in memory that the kernel has not taken yet, gathered ones included; not those of files.
    size_t queuedBytes() const { return m_queue ? m_queue->bytes() - m_queue->fileBytes() : 0; }
    // The memory that is held for them: with what each piece costs, and whole until it is written whole.
    size_t queuedMemory() const { return m_queue ? m_queue->memory() : 0; }
    size_t maxQueuedBytes() const { return m_maxQueuedBytes; }
    bool hasInput() const;  // a system call: bytes have arrived that no Conn_ReadEvent has told of yet
    // A system call: the peer has ended its direction or reset, perhaps behind input that is not read yet; for those who
    // pause reading, when no event tells.
    bool hasPeerEnded() const;
    TimePoint lastActivity() const { return m_lastActivity; }  // bytes moved, either way
    Address localAddress() const;                              // a system call
    const PeerAddress& peer() const { return m_peer; }         // the proxy's client, if it told
    const Transport* transport() const { return m_transport.get(); }
    int fd() const { return m_socket.get(); }  // -1 once closed

    // --- IOHandler, for the loop ---

    void handleEvents(uint32_t events) override;
    void handleDeferred() override;
    void handleLoopExit() override;

private:
    struct Dispatch;

    // Events that are due but not told yet; bits of m_pending.
    enum : uint8_t { kWriteCompletePending = 1, kErrorPending = 2, kClosePending = 4 };

    void begin(const ConnectionPtr_t& self, FirstRead firstRead);
    void proceed(const ConnectionPtr_t& self, uint32_t events);
    void proceedConnecting(uint32_t events);
    void proceedHandshake(const ConnectionPtr_t& self);
    bool takePeer();
    void readSome(const ConnectionPtr_t& self);
    void endInput(const ConnectionPtr_t& self);
    void handleError(const ConnectionPtr_t& self);

    bool canSend() const;
    SendQueue& queue();
    void releaseQueue();
    SendResult afterQueueing(size_t size);
    bool isOverLimit(size_t size) const;
    void writeQueue();
    IoResult writeFront(size_t maxBytes, size_t& offered);
    void writeFailed(const IoResult& result);
    void proceedWriting();
    void proceedEnding();
    void watchSending();
    void watchShutDown();
    void lookAtPeer();
    bool isTooSlow(SendQueue::Progress& progress, Duration timeout, uint32_t bytesPerSecond) const;
    void runTimer(Duration left);
    SendResult outOfMemory();
    void failForMemory();
    void fail(std::error_code error);
    void closeNow();

    bool mayRead() const;
    uint32_t wantedEvents() const;
    void updateInterest();
    void registerNow();
    bool isQuiet() const;
    void advance();
    void settle(const ConnectionPtr_t& self);
    void deferSettling();
    void writeCompleted();
    void tellPending(const ConnectionPtr_t& self);
    void emitPending(const ConnectionPtr_t& self);
    void emitToReplacement(const StackBuffer& buffer);
    void emit(const ConnectionPtr_t& self, ConnEvent event, const void* context = nullptr) noexcept;

    IOLoop* m_loop;
    ConnEventCallback_t m_callback;
    TransportPtr_t m_transport;
    std::unique_ptr<SendQueue> m_queue;  // only while there is something to write
    ConnectionObserver* m_observer = nullptr;
    TimePoint m_lastActivity;
    size_t m_maxQueuedBytes = kDefaultMaxQueuedBytes;
    std::error_code m_error{};  // for Conn_ErrorEvent
    // Connecting: limitConnecting's. Then it looks at the peer, while that is watched or we are Disconnecting.
    TimerId m_timer{};
    uint32_t m_sendTimeoutMillis = 0;
    uint32_t m_leastBytesPerSecond = kLeastBytesPerSecond;
    uint32_t m_shutDownMillis = 0;
    FileDescriptor m_socket;
    PeerAddress m_peer{};

    ConnState m_state = ConnState::Connecting;
    uint8_t m_interest = 0;  // what the loop watches: TNET_* bits
    uint8_t m_pending = 0;
    Origin m_origin;

    bool m_registered : 1 = false;
    bool m_registrationDue : 1 = false;   // FirstRead::AtOnce: when the first event is settled
    bool m_handshaking : 1 = false;       // Connecting, but past connect(2)
    bool m_dispatching : 1 = false;       // one of our events is on the stack: sends are gathered
    bool m_emitting : 1 = false;          // the callback is running
    bool m_callbackReplaced : 1 = false;  // it was replaced meanwhile; the loop keeps the new one
    bool m_deferred : 1 = false;          // in the loop's list
    bool m_startDeferred : 1 = false;     // startLater
    bool m_halfCloseAllowed : 1 = false;
    // One byte: isQuiet() looks at the first five at once.
    bool m_readPaused : 1 = false;
    bool m_inputEnded : 1 = false;      // the peer ended its direction
    bool m_writeEndWanted : 1 = false;  // end our direction once the queue is empty
    bool m_writeBlocked : 1 = false;    // the kernel is full
    bool m_readWantsWrite : 1 = false;  // TLS: the last read waits for a writable socket
    bool m_writeWantsRead : 1 = false;  // TLS: the last write waits for a readable socket
    bool m_writeEnded : 1 = false;
    bool m_awaitPeerEnd : 1 = false;  // Disconnecting: close only then
    bool m_writeCompleteWanted : 1 = true;
    bool m_isShutDownWatched : 1 = false;
};

}  // namespace tnet
