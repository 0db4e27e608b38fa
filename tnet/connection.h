// Connection: one stream socket on one loop, and the single event callback that owns what lives on it.
//
//     kernel -> Transport -> read buffer of the loop -> Conn_ReadEvent -> the callback
//     send -> SendQueue -> (at the end of the event or the round) -> Transport -> kernel
//
// Whoever owns the callback owns the connection: HTTP and WebSocket are objects inside it and die with
// it. The loop's registration holds the Connection; the callback holds the layer; the layer holds a
// weak pointer back.
//
// No function but start() and redeliver() calls back before it returns: what a call causes is told at the end
// of the event that is being dispatched, or from the top of the loop. So send, shutDown and close are legal
// in any callback, and so is replacing the callback from within itself.
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
#include "tnet/slow_peer_watch.h"
#include "tnet/socket.h"
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
    // A peer that takes less is not waited for: no real link is this slow.
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
    // many bytes a second, looked at once per `timeout`. Zero (the default), less, and max() let it take its time.
    // What the kernel has taken is not queued any more: setAcknowledgeTimeout is for that.
    void setSendTimeout(std::chrono::milliseconds timeout, size_t bytesPerSecond = kLeastBytesPerSecond);

    // Fails the connection (timed_out) if the peer, over TCP, acknowledges nothing of what the kernel sent
    // for so long, or has no room for more: its link is down, or it does not read. Zero, less, and max(): the
    // kernel's own time, some 15 minutes. A system call; what a server accepts has it from its listener
    // (TcpServer::Settings). Returns false if the connection is not over TCP, or closed.
    bool setAcknowledgeTimeout(std::chrono::milliseconds timeout) {
        return tnet::setAcknowledgeTimeout(m_socket.get(), timeout);
    }

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

    // Fails it (timed_out) unless it is connected in that time from now; zero, less, and max(): takes as long as it
    // takes.
    void limitConnecting(std::chrono::milliseconds time);

    // start(), or failConnecting(error) if there is one, from the top of the loop.
    void startLater(std::error_code error = {});

    // Fails a connection that is still Connecting, started or not; nothing otherwise.
    void failConnecting(std::error_code error);

    // --- Act ---

    // Queues what leaves at the end of this event, or of the loop's round. The view is not needed afterwards. Legal
    // while Connecting, too. Accepted does not mean written: close() loses what was sent before it,
    // shutDown() does not.
    SendResult send(std::string_view bytes);
    SendResult send(const char* text) { return send(std::string_view(text)); }
    SendResult send(std::string&& bytes);     // takes long ones over instead of copying them
    SendResult send(SharedBytesPtr_t bytes);  // references them until they are written

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
    // kLeastBytesPerSecond of what is queued (max(): never; zero, or less: with the next timers that are
    // due). From now on input is dropped and sends are refused. Await: also ends our direction (FIN) and
    // waits for the peer's end, so that input still under way does not make the kernel reset what was
    // delivered.
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
    // A system call: the peer has ended its direction or reset, perhaps behind input that is not read yet;
    // for those who pause reading, when no event tells.
    bool hasPeerEnded() const;
    TimePoint lastActivity() const { return m_lastActivity; }  // bytes moved, either way
    Address localAddress() const;                              // a system call
    const PeerAddress& peer() const { return m_peer; }         // the proxy's client, if it told
    // Null once the connection is closed and that was told, to the callback and the observer: what a closed
    // connection leaves behind holds no keys and no buffers.
    const Transport* transport() const { return m_transport.get(); }
    int fd() const { return m_socket.get(); }  // -1 once closed

    // --- IOHandler, for the loop ---

    void handleEvents(uint32_t events) override;
    void handleDeferred() override;
    void handleLoopExit() override;

private:
    struct Dispatch;

    // What the next call of the transport waits for. A read always waits: for a readable socket, or, over TLS, for a
    // writable one; a write only if the kernel is full, a turn is over, or TLS wants to read first.
    enum class Wait : uint8_t { None, Readable = TNET_READ, Writable = TNET_WRITE };

    // Our direction: EndWanted ends once the queue is empty.
    enum class WriteHalf : uint8_t { Open, EndWanted, Ended };

    // With the loop. Due: FirstRead::AtOnce, when the first event is settled.
    enum class Registration : uint8_t { None, Due, Registered };

    // From Dispatching on one of our events is on the stack, from Emitting on the callback is running;
    // Replaced: it was replaced meanwhile, and the loop keeps the new one.
    enum class Telling : uint8_t { Idle, Dispatching, Emitting, Replaced };

    // What we are in the loop's list of deferred handlers for.
    enum class Deferral : uint8_t { None, Settle, Start };

    // What the timer is for: limitConnecting, a peer that does not take what is queued, the end of shutDown.
    enum class Deadline : uint8_t { None, Connecting, Sending, ShuttingDown };

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

    bool isOpen() const { return m_state == ConnState::Connected || m_state == ConnState::Disconnecting; }
    bool canSend() const;
    SendQueue& queue();
    void releaseQueue();
    SendResult afterQueueing(size_t size);
    bool isOverLimit(size_t size) const;
    void writeQueue();
    IoResult writeOnePiece(size_t maxBytes, size_t& offered);
    IoResult writeFront(size_t maxBytes, size_t& offered);
    void writeFailed(const IoResult& result);
    void proceedWriting();
    void proceedEnding();
    void watchSending();
    void watchShutDown();
    void lookAtPeer();
    SlowPeerWatch::Limits slowness() const;
    void setDeadline(Deadline deadline, TimePoint at);
    void clearDeadline();
    void onDeadline();
    SendResult outOfMemory();
    void failForMemory();
    void fail(std::error_code error);
    void closeNow();
    void resetOnClose();

    bool isDispatching() const { return m_telling != Telling::Idle; }
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
    TimerId m_timer{};          // of m_deadline
    uint32_t m_sendTimeoutMillis = 0;
    uint32_t m_leastBytesPerSecond = kLeastBytesPerSecond;
    uint32_t m_shutDownMillis = 0;
    FileDescriptor m_socket;
    PeerAddress m_peer{};

    ConnState m_state = ConnState::Connecting;
    uint8_t m_interest = 0;  // what the loop watches: TNET_* bits
    uint8_t m_pending = 0;
    Origin m_origin;

    // Together, for isQuiet().
    bool m_readPaused : 1 = false;
    bool m_inputEnded : 1 = false;  // the peer ended its direction
    Wait m_readWait : 2 = Wait::Readable;
    Wait m_writeWait : 2 = Wait::None;
    WriteHalf m_writeHalf : 2 = WriteHalf::Open;

    Registration m_registration : 2 = Registration::None;
    Telling m_telling : 2 = Telling::Idle;
    Deferral m_deferral : 2 = Deferral::None;
    Deadline m_deadline : 2 = Deadline::None;
    PeerEnd m_peerEnd : 1 = PeerEnd::Ignore;  // Disconnecting: whether to close only then
    bool m_handshaking : 1 = false;           // Connecting, but past connect(2)
    bool m_halfCloseAllowed : 1 = false;
    bool m_writeCompleteWanted : 1 = true;
};

}  // namespace tnet
