#include "tnet/connection.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "tnet/durations.h"
#include "tnet/fork_watch.h"

namespace tnet {
namespace {

constexpr int kPiecesPerWrite = 64;
constexpr uint32_t kNever = UINT32_MAX;

// Of a setting; kNever for more than 49 days.
uint32_t toMillis(std::chrono::milliseconds time) {
    return static_cast<uint32_t>(std::clamp<int64_t>(time.count(), 0, kNever));
}

Duration fromMillis(uint32_t millis) {
    return millis == kNever ? Duration::max() : Duration(std::chrono::milliseconds(millis));
}

}  // namespace

// One of the connection's events is being dispatched; what it caused is settled at the end.
struct Connection::Dispatch {
    explicit Dispatch(Connection& connection) : self(connection.shared_from_this()) {
        assert(!self->isDispatching() && "a connection's events do not nest");
        self->m_telling = Telling::Dispatching;
    }
    ~Dispatch() { settleOrFail(self); }
    Dispatch(const Dispatch&) = delete;
    Dispatch& operator=(const Dispatch&) = delete;

    // To settle what failed allocates nothing.
    static void settleOrFail(const ConnectionPtr_t& self) noexcept {
        try {
            self->settle(self);
        } catch (const std::bad_alloc&) {
            self->m_telling = Telling::Dispatching;
            self->failForMemory();
            self->settle(self);
        }
    }

    // Runs a part of the event. Memory that runs out in it costs the connection.
    template <class Call>
    void run(Call call) const noexcept {
        try {
            call();
        } catch (const std::bad_alloc&) {
            self->failForMemory();
        }
    }

    const ConnectionPtr_t self;
};

Connection::Connection(IOLoop* loop, FileDescriptor socket, TransportPtr_t transport, Origin origin)
    : m_loop(loop),
      m_transport(std::move(transport)),
      m_lastActivity(loop->now()),
      m_socket(std::move(socket)),
      m_origin(origin) {}

Connection::~Connection() {
    assert(m_registration != Registration::Registered && "the loop holds a registered connection");
}

// --- Set up ---

void Connection::setEventCallback(ConnEventCallback_t callback) {
    assert(m_loop->isInLoopThread());
    if (m_telling >= Telling::Emitting) {
        // The old one is running, and what it captured may lie in m_callback itself.
        m_telling = Telling::Replaced;
        m_loop->keepReplacement(this, std::move(callback));
        return;
    }
    m_callback.swap(callback);
}

void Connection::setSendTimeout(std::chrono::milliseconds timeout, size_t bytesPerSecond) {
    const uint32_t millis = toMillis(timeout);
    m_sendTimeoutMillis = millis == kNever ? 0 : millis;
    m_leastBytesPerSecond = static_cast<uint32_t>(std::min<size_t>(bytesPerSecond, UINT32_MAX));
    // Cancel the old timer; the next blocked write starts one with the new settings.
    if (m_deadline == Deadline::Sending) clearDeadline();
}

void Connection::start(FirstRead firstRead) {
    if (m_state != ConnState::Connecting) return;  // closed or failed before it began
    assert(m_registration != Registration::Registered && "start() is called once");
    const Dispatch dispatch(*this);
    dispatch.run([&] { begin(dispatch.self, firstRead); });
}

void Connection::begin(const ConnectionPtr_t& self, FirstRead firstRead) {
    if (m_origin == Origin::Accepted && firstRead == FirstRead::AtOnce) {
        m_registration = Registration::Due;
        proceedHandshake(self);
        if (m_state == ConnState::Connected && mayRead()) readSome(self);
        return;
    }
    m_interest = m_origin == Origin::Connecting ? TNET_WRITE : TNET_READ;
    if (const auto error = m_loop->addHandler(m_socket.get(), m_interest, self)) return fail(error);
    m_registration = Registration::Registered;
    if (m_origin == Origin::Connecting) return emit(self, Conn_ConnectingEvent);
    proceedHandshake(self);
}

void Connection::startLater(std::error_code error) {
    m_error = error;
    deferSettling();
    m_deferral = Deferral::Start;
}

void Connection::limitConnecting(std::chrono::milliseconds time) {
    clearDeadline();
    if (time <= std::chrono::milliseconds::zero()) return;
    setDeadline(Deadline::Connecting, timeAfter(m_loop->clock().now(), time));
}

void Connection::failConnecting(std::error_code error) {
    if (m_state == ConnState::Connecting) fail(error);
}

// --- The loop calls ---

void Connection::handleEvents(uint32_t events) {
    const Dispatch dispatch(*this);
    dispatch.run([&] { proceed(dispatch.self, events); });
}

void Connection::proceed(const ConnectionPtr_t& self, uint32_t events) {
    if (m_state == ConnState::Connecting) return proceedConnecting(events);
    // Settling writes.
    if ((events & TNET_WRITE) != 0 || ((events & TNET_READ) != 0 && m_writeWait == Wait::Readable))
        m_writeWait = Wait::None;
    const bool readable =
        (events & TNET_READ) != 0 || ((events & TNET_WRITE) != 0 && m_readWait == Wait::Writable);
    if (readable && mayRead()) {
        readSome(self);
    } else if ((events & TNET_ERROR) != 0) {
        handleError(self);
    }
}

void Connection::handleDeferred() {
    const ConnectionPtr_t self = shared_from_this();
    const bool starts = m_deferral == Deferral::Start;
    m_deferral = Deferral::None;
    if (starts) {
        if (m_error) {
            failConnecting(m_error);
        } else {
            start();
        }
    }
    if (mayRead() && m_transport->hasPendingInput()) {
        const Dispatch dispatch(*this);
        dispatch.run([&] { readSome(self); });
    } else {
        Dispatch::settleOrFail(self);
    }
}

void Connection::handleLoopExit() {
    flush();  // what was sent since the last round
    close();
}

void Connection::proceedConnecting(uint32_t events) {
    const ConnectionPtr_t self = shared_from_this();
    if (!m_handshaking && m_origin == Origin::Connecting) {
        const std::error_code error = socketError(m_socket.get());
        if (error) return fail(error);
        if ((events & TNET_WRITE) == 0) return;
    }
    proceedHandshake(self);
}

void Connection::proceedHandshake(const ConnectionPtr_t& self) {
    m_handshaking = true;
    const IoResult result = m_transport->handshake(m_socket.get());
    m_readWait = result.status == IoStatus::WantWrite ? Wait::Writable : Wait::Readable;
    switch (result.status) {
        case IoStatus::Ok: break;
        case IoStatus::WantRead:
        case IoStatus::WantWrite: return;
        case IoStatus::End: return fail(std::make_error_code(std::errc::connection_reset));
        case IoStatus::Failed: return fail(result.error);
    }
    m_handshaking = false;
    clearDeadline();
    if (m_transport->tellsPeer() && !takePeer()) return closeNow();
    m_state = ConnState::Connected;
    m_lastActivity = m_loop->now();
    emit(self, m_origin == Origin::Accepted ? Conn_EstablishedEvent : Conn_ConnectEvent);
    // The last flight of the handshake may have brought input with it.
    if (m_state == ConnState::Connected && m_transport->hasPendingInput()) deferSettling();
}

// False: the observer does not want it.
bool Connection::takePeer() {
    if (const PeerAddress* const told = m_transport->peer()) m_peer = *told;
    return m_observer == nullptr || m_observer->onPeerTold(*this);
}

bool Connection::mayRead() const {
    if (m_inputEnded) return false;
    if (m_state == ConnState::Connected) return !m_readPaused;
    return m_state == ConnState::Disconnecting && m_peerEnd == PeerEnd::Await &&
           m_writeHalf == WriteHalf::Ended;
}

void Connection::readSome(const ConnectionPtr_t& self) {
    char* const buffer = m_loop->readBuffer();
    const IoResult result = m_transport->read(m_socket.get(), buffer, IOLoop::kReadBufferBytes);
    m_readWait = result.status == IoStatus::WantWrite ? Wait::Writable : Wait::Readable;
    switch (result.status) {
        case IoStatus::Ok: break;
        case IoStatus::WantRead:
            if (m_transport->hasPendingInput()) deferSettling();  // records without data: their turn is over
            return;
        case IoStatus::WantWrite: return;
        case IoStatus::End: return endInput(self);
        case IoStatus::Failed: return fail(result.error);
    }
    if (m_state == ConnState::Connected) {
        m_lastActivity = m_loop->now();
        const StackBuffer bytes(buffer, result.bytes);
        emit(self, Conn_ReadEvent, &bytes);
    }
    if (mayRead() && m_transport->hasPendingInput()) deferSettling();
}

void Connection::endInput(const ConnectionPtr_t& self) {
    m_inputEnded = true;
    if (m_state != ConnState::Connected) return;  // what shutDown awaited
    if (!m_halfCloseAllowed) return shutDown();
    const StackBuffer end(nullptr, 0);
    emit(self, Conn_ReadEvent, &end);
}

// Reset or hung up while input is not being read: a read would have told.
void Connection::handleError(const ConnectionPtr_t& self) {
    if (mayRead()) return readSome(self);
    const std::error_code error = socketError(m_socket.get());
    // Both directions have ended: not before resumeReading may the input in front of the end be lost.
    if (!error && m_state == ConnState::Connected && m_readPaused && !m_inputEnded) return;
    fail(error ? error : std::make_error_code(std::errc::connection_reset));
}

// --- Sending ---

bool Connection::canSend() const {
    return (m_state == ConnState::Connected || m_state == ConnState::Connecting) &&
           m_writeHalf == WriteHalf::Open;
}

// What is sent in part must not be followed by anything: memory that runs out on the way fails the connection.
SendResult Connection::outOfMemory() {
    failForMemory();
    return {SendStatus::Closed, 0};
}

SendResult Connection::send(std::string_view bytes) try {
    assert(m_loop->isInLoopThread());
    if (!canSend()) return {SendStatus::Closed, 0};
    if (bytes.empty()) return {SendStatus::Accepted, queuedBytes()};
    queue().appendCopy(bytes);
    return afterQueueing(bytes.size());
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

SendResult Connection::send(std::string&& bytes) try {
    if (!canSend()) return {SendStatus::Closed, 0};
    if (bytes.empty()) return {SendStatus::Accepted, queuedBytes()};
    const size_t size = bytes.size();
    queue().appendOwned(std::move(bytes));
    return afterQueueing(size);
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

SendResult Connection::send(SharedBytesPtr_t bytes) try {
    if (!canSend()) return {SendStatus::Closed, 0};
    if (bytes->empty()) return {SendStatus::Accepted, queuedBytes()};
    const size_t size = bytes->size();
    queue().appendShared(std::move(bytes));
    return afterQueueing(size);
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

SendResult Connection::sendFile(SharedFilePtr_t file, off_t offset, size_t size) try {
    if (!canSend()) return {SendStatus::Closed, 0};
    if (size == 0) return {SendStatus::Accepted, queuedBytes()};
    queue().appendFile(std::move(file), offset, size);
    return afterQueueing(0);
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

char* Connection::reserveSend(size_t size) try {
    return canSend() ? queue().reserveCopy(size) : nullptr;
} catch (const std::bad_alloc&) {
    outOfMemory();
    return nullptr;
}

SendResult Connection::commitSend(size_t size) try {
    m_queue->commitCopy(size);
    return afterQueueing(size);
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

SendQueue& Connection::queue() {
    assert(m_loop->isInLoopThread());
    if (!m_queue) m_queue = m_loop->takeSendQueue();
    return *m_queue;
}

void Connection::releaseQueue() {
    if (!m_queue) return;
    m_queue->clear();
    m_queue->watch().stop();
    m_loop->giveBack(std::move(m_queue));
}

// After a message of `size` bytes. Only gathers: what is queued leaves at the end of the event that is being
// dispatched, or of the loop's round.
SendResult Connection::afterQueueing(size_t size) {
    if (m_queue->memory() > m_maxQueuedBytes && isOverLimit(size)) {
        proceedWriting();
        if (m_queue && isOverLimit(size)) {
            fail(std::make_error_code(std::errc::no_buffer_space));
            return {SendStatus::Overflow, 0};
        }
        if (m_state == ConnState::Disconnected) return {SendStatus::Closed, 0};
    }
    if (!isDispatching()) deferSettling();
    return {SendStatus::Accepted, queuedBytes()};
}

// One message may be of any size: the limit is against many that pile up.
bool Connection::isOverLimit(size_t size) const {
    const size_t memory = m_queue->memory();
    return memory > size && memory - m_queue->largest() > m_maxQueuedBytes;
}

bool Connection::flush() try {
    proceedWriting();
    if (!isDispatching()) advance();
    return !m_queue && m_state != ConnState::Disconnected;
} catch (const std::bad_alloc&) {
    outOfMemory();
    return false;
}

void Connection::proceedWriting() {
    if (m_queue && m_writeWait == Wait::None && isOpen()) writeQueue();
}

// What is left after a turn waits for the next round as if the kernel were full.
void Connection::writeQueue() {
    Turn turn(kWriteTurn);
    size_t taken = 0;
    while (!m_queue->empty()) {
        size_t offered = 0;
        const IoResult result = m_queue->isOnePiece() ? writeOnePiece(turn.bytesLeft(), offered)
                                                      : writeFront(turn.bytesLeft(), offered);
        if (result.status == IoStatus::Failed || result.status == IoStatus::End) return writeFailed(result);
        m_queue->consume(result.bytes);
        if (result.bytes > 0) m_lastActivity = m_loop->now();
        if (m_queue->empty()) break;
        taken += result.bytes;
        turn.spend(result.bytes);
        if (result.bytes < offered || turn.isOver()) {
            m_writeWait = result.status == IoStatus::WantRead ? Wait::Readable : Wait::Writable;
            return m_queue->watch().took(taken, m_loop->now());
        }
    }
    m_queue->watch().stop();
    m_loop->giveBack(std::move(m_queue));
    writeCompleted();
}

// One call of the transport, with at most `maxBytes` of the front of the queue; and so does writeFront.
IoResult Connection::writeOnePiece(size_t maxBytes, size_t& offered) {
    const std::string_view bytes = m_queue->onePiece();
    offered = std::min(bytes.size(), maxBytes);
    const iovec piece{const_cast<char*>(bytes.data()), offered};
    return m_transport->write(m_socket.get(), &piece, 1);
}

IoResult Connection::writeFront(size_t maxBytes, size_t& offered) {
    iovec pieces[kPiecesPerWrite];
    if (const int count = m_queue->gather(pieces, kPiecesPerWrite, maxBytes); count > 0) {
        for (int i = 0; i < count; ++i) offered += pieces[i].iov_len;
        return m_transport->write(m_socket.get(), pieces, count);
    }
    const SendQueue::FileRange range = m_queue->frontFile();
    offered = std::min(range.size, maxBytes);
    return m_transport->sendFile(m_socket.get(), range.fd, range.offset, offered);
}

void Connection::writeCompleted() {
    if (m_writeCompleteWanted) m_pending |= kWriteCompletePending;
}

void Connection::writeFailed(const IoResult& result) {
    fail(result.status == IoStatus::Failed ? result.error : std::make_error_code(std::errc::broken_pipe));
}

// --- Ending ---

void Connection::shutDown(std::chrono::milliseconds after, PeerEnd peerEnd) try {
    assert(m_loop->isInLoopThread());
    if (m_state == ConnState::Connecting) return close();
    if (m_state != ConnState::Connected) return;
    m_state = ConnState::Disconnecting;
    if (m_transport->wantsGracefulEnd()) peerEnd = PeerEnd::Await;
    m_peerEnd = peerEnd;
    if (m_writeHalf == WriteHalf::Open && peerEnd == PeerEnd::Await) m_writeHalf = WriteHalf::EndWanted;
    m_shutDownMillis = toMillis(after);
    if (!isDispatching()) advance();
} catch (const std::bad_alloc&) {
    outOfMemory();
}

void Connection::shutDownWrite() try {
    assert(m_loop->isInLoopThread());
    if (m_state != ConnState::Connected || m_writeHalf != WriteHalf::Open) return;
    m_writeHalf = WriteHalf::EndWanted;
    if (!isDispatching()) advance();
} catch (const std::bad_alloc&) {
    outOfMemory();
}

void Connection::close() {
    assert(m_loop->isInLoopThread());
    closeNow();
}

void Connection::abort() {
    if (m_socket.valid()) resetOnClose();
    close();
}

void Connection::resetOnClose() {
    const linger reset{1, 0};
    ::setsockopt(m_socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (!hasForked()) return;
    // A child may hold it, so that closing it does nothing: to disconnect it does.
    const sockaddr nobody{AF_UNSPEC, {}};
    ::connect(m_socket.get(), &nobody, sizeof(nobody));
}

// Once everything is written: ends our direction if that is wanted, and closes when both have ended.
void Connection::proceedEnding() {
    const bool disconnecting = m_state == ConnState::Disconnecting;
    if (!disconnecting && (m_state != ConnState::Connected || m_writeHalf == WriteHalf::Open)) return;
    if (!m_queue && m_writeHalf == WriteHalf::EndWanted && m_writeWait == Wait::None) {
        switch (const IoResult result = m_transport->endWrite(m_socket.get()); result.status) {
            case IoStatus::Ok:
            case IoStatus::End: m_writeHalf = WriteHalf::Ended; break;
            case IoStatus::WantRead: m_writeWait = Wait::Readable; break;
            case IoStatus::WantWrite: m_writeWait = Wait::Writable; break;
            case IoStatus::Failed: return closeNow();
        }
    }
    const bool ourEnd = !m_queue && m_writeHalf != WriteHalf::EndWanted;
    const bool peerEnd = m_inputEnded || (disconnecting && m_peerEnd == PeerEnd::Ignore);
    if (ourEnd && peerEnd) return closeNow();
    if (disconnecting && m_deadline != Deadline::ShuttingDown) watchShutDown();
}

// --- A peer that takes its time ---

// Something is queued that the kernel does not take.
void Connection::watchSending() {
    if (m_deadline != Deadline::None || m_sendTimeoutMillis == 0 || !m_queue ||
        m_state != ConnState::Connected)
        return;
    m_queue->watch().begin(m_loop->now());
    setDeadline(Deadline::Sending, m_queue->watch().nextLook(slowness()));
}

void Connection::watchShutDown() {
    clearDeadline();
    if (m_queue) m_queue->watch().begin(m_loop->now());
    setDeadline(Deadline::ShuttingDown, timeAfter(m_loop->now(), fromMillis(m_shutDownMillis)));
}

SlowPeerWatch::Limits Connection::slowness() const {
    if (m_state == ConnState::Connected) return {fromMillis(m_sendTimeoutMillis), m_leastBytesPerSecond};
    return {fromMillis(m_shutDownMillis), kLeastBytesPerSecond};
}

// At the end of time: never.
void Connection::setDeadline(Deadline deadline, TimePoint at) {
    m_deadline = deadline;
    if (at == TimePoint::max()) return;
    m_timer = m_loop->runAfter(timeUntil(m_loop->clock().now(), at), [weak = weak_from_this()] {
        if (const ConnectionPtr_t self = weak.lock()) self->onDeadline();
    });
}

void Connection::clearDeadline() {
    if (m_timer.isValid()) m_loop->cancel(std::exchange(m_timer, {}));
    m_deadline = Deadline::None;
}

void Connection::onDeadline() try {
    m_timer = {};
    if (m_state == ConnState::Connecting) return failConnecting(std::make_error_code(std::errc::timed_out));
    m_deadline = Deadline::None;
    lookAtPeer();
} catch (const std::bad_alloc&) {
    close();
}

void Connection::lookAtPeer() {
    const TimePoint now = m_loop->now();
    const bool isConnected = m_state == ConnState::Connected;
    const Deadline deadline = isConnected ? Deadline::Sending : Deadline::ShuttingDown;
    if (!m_queue) {
        if (isConnected) return;
        // The peer's end is awaited.
        const TimePoint due = timeAfter(m_lastActivity, fromMillis(m_shutDownMillis));
        return due > now ? setDeadline(deadline, due) : close();
    }
    SlowPeerWatch& watch = m_queue->watch();
    if (!watch.isOn()) watch.begin(now);  // another queue than when the timer was set
    // The kernel would go on offering what it has of it for minutes; a reset ends that, too.
    if (watch.isTooSlow(now, slowness())) return abort();
    setDeadline(deadline, watch.nextLook(slowness()));
}

void Connection::failForMemory() { fail(std::make_error_code(std::errc::not_enough_memory)); }

void Connection::fail(std::error_code error) {
    if (m_state == ConnState::Disconnected) return;
    m_error = error;
    m_pending |= kErrorPending;
    closeNow();
}

void Connection::closeNow() {
    if (m_state == ConnState::Disconnected) return;
    m_state = ConnState::Disconnected;
    clearDeadline();
    if (m_registration == Registration::Registered)
        m_loop->removeHandler(m_socket.get(), IOLoop::Removal::CloseFollows);
    m_registration = Registration::None;
    if (hasForked()) ::shutdown(m_socket.get(), SHUT_RDWR);  // or there is no end while a child holds it
    m_socket.reset();
    releaseQueue();
    m_pending &= static_cast<uint8_t>(~kWriteCompletePending);
    m_pending |= kClosePending;
    if (!isDispatching()) deferSettling();
}

// --- Reading ---

void Connection::pauseReading() {
    assert(m_loop->isInLoopThread());
    m_readPaused = true;
    if (!isDispatching()) updateInterest();
}

void Connection::resumeReading() {
    assert(m_loop->isInLoopThread());
    if (!m_readPaused) return;
    m_readPaused = false;
    if (m_state != ConnState::Connected) return;
    if (m_transport->hasPendingInput()) deferSettling();
    if (!isDispatching()) updateInterest();
}

void Connection::redeliver(std::string bytes) {
    assert(m_loop->isInLoopThread());
    if (m_state != ConnState::Connected) return;
    const StackBuffer buffer(bytes.data(), bytes.size());
    if (m_telling == Telling::Replaced) return emitToReplacement(buffer);
    if (isDispatching()) return emit(shared_from_this(), Conn_ReadEvent, &buffer);
    const Dispatch dispatch(*this);
    emit(dispatch.self, Conn_ReadEvent, &buffer);
}

// From inside the callback that was replaced: the one of now waits until that has returned.
void Connection::emitToReplacement(const StackBuffer& buffer) {
    m_telling = Telling::Emitting;
    ConnEventCallback_t callback = m_loop->takeReplacement(this);
    try {
        if (callback) callback(shared_from_this(), Conn_ReadEvent, &buffer);
    } catch (const std::bad_alloc&) {
        failForMemory();  // which it is told, so it goes back to its place
    }
    if (m_telling != Telling::Replaced) setEventCallback(std::move(callback));
}

// --- Telling ---

uint32_t Connection::wantedEvents() const {
    const auto eventOf = [](Wait wait) { return static_cast<uint32_t>(wait); };
    switch (m_state) {
        case ConnState::Connecting: return m_handshaking ? eventOf(m_readWait) : TNET_WRITE;
        case ConnState::Connected:
        case ConnState::Disconnecting: return (mayRead() ? eventOf(m_readWait) : 0) | eventOf(m_writeWait);
        case ConnState::Disconnected: break;
    }
    return 0;
}

void Connection::updateInterest() {
    if (m_writeWait != Wait::None) watchSending();
    if (m_registration == Registration::Due) return registerNow();
    if (m_registration == Registration::None) return;
    const uint32_t wanted = wantedEvents();
    if (wanted == m_interest) return;
    m_interest = static_cast<uint8_t>(wanted);
    if (const auto error = m_loop->updateHandler(m_socket.get(), wanted)) fail(error);
}

void Connection::registerNow() {
    m_registration = Registration::None;
    if (m_state == ConnState::Disconnected) return;
    m_interest = static_cast<uint8_t>(wantedEvents());
    if (const auto error = m_loop->addHandler(m_socket.get(), m_interest, shared_from_this()))
        return fail(error);
    m_registration = Registration::Registered;
}

// Nothing is left to do, as after nearly every event: everything is written, nothing is to be told or ended,
// and what is watched is right.
bool Connection::isQuiet() const {
    return m_state == ConnState::Connected && m_pending == 0 && m_interest == TNET_READ && !m_queue &&
           !m_readPaused && !m_inputEnded && m_readWait == Wait::Readable && m_writeWait == Wait::None &&
           m_writeHalf == WriteHalf::Open;
}

// Does what can be done outside an event; what is to be told waits for the top of the loop.
void Connection::advance() {
    proceedWriting();
    proceedEnding();
    updateInterest();
    if (m_pending != 0) deferSettling();
}

// What comes up on the way is told here, too, and need not be deferred.
void Connection::settle(const ConnectionPtr_t& self) {
    m_telling = Telling::Dispatching;
    proceedWriting();
    if (!isQuiet()) {
        proceedEnding();
        updateInterest();
        if (m_pending != 0) return tellPending(self);
    }
    m_telling = Telling::Idle;
}

// Within settle().
void Connection::tellPending(const ConnectionPtr_t& self) {
    emitPending(self);
    m_telling = Telling::Idle;
    const bool isUntouched =
        m_pending == 0 && !m_queue && m_writeHalf == WriteHalf::Open && m_state == ConnState::Connected;
    if (isUntouched && wantedEvents() == m_interest) return;
    // What those callbacks sent leaves now; what that leads to is told in the next round, so a layer
    // that sends on every Conn_WriteCompleteEvent neither recurses nor starves its neighbours.
    advance();
}

void Connection::emitPending(const ConnectionPtr_t& self) {
    const uint8_t pending = std::exchange(m_pending, uint8_t{0});
    // A send that came after may not have fitted: then the event is due again when the queue is empty.
    if ((pending & kWriteCompletePending) != 0 && !m_queue) emit(self, Conn_WriteCompleteEvent);
    if ((pending & kErrorPending) != 0) emit(self, Conn_ErrorEvent, &m_error);
    if ((pending & kClosePending) == 0) return;
    emit(self, Conn_CloseEvent);
    setEventCallback({});
    if (ConnectionObserver* const observer = std::exchange(m_observer, nullptr))
        observer->onConnectionClosed(*this);
    m_transport.reset();
}

void Connection::deferSettling() {
    if (m_deferral != Deferral::None) return;
    m_deferral = Deferral::Settle;
    m_loop->defer(shared_from_this());
}

void Connection::emit(const ConnectionPtr_t& self, ConnEvent event, const void* context) noexcept {
    if (!m_callback) return;
    const bool isInner = m_telling >= Telling::Emitting;  // redeliver, from inside the callback
    if (!isInner) m_telling = Telling::Emitting;
    try {
        m_callback(self, event, context);
    } catch (const std::bad_alloc&) {
        // Whatever was about to happen, it did not: nothing may follow on this connection. Close is the last anyway.
        failForMemory();
    }
    if (isInner) return;
    const bool isReplaced = m_telling == Telling::Replaced;
    m_telling = Telling::Dispatching;
    if (isReplaced) setEventCallback(m_loop->takeReplacement(this));
}

// --- Observing ---

bool Connection::hasInput() const {
    // What cannot be read, the next round will not read: nobody is to wait for that.
    if (m_state != ConnState::Connected || m_inputEnded || m_readWait == Wait::Writable) return false;
    if (m_transport->hasPendingInput()) return true;
    int bytes = 0;
    return m_socket.valid() && ::ioctl(m_socket.get(), FIONREAD, &bytes) == 0 && bytes > 0;
}

bool Connection::hasPeerEnded() const {
    if (m_inputEnded || !m_socket.valid()) return true;
    pollfd watched{m_socket.get(), POLLRDHUP, 0};
    return ::poll(&watched, 1, 0) == 1;
}

Address Connection::localAddress() const { return tnet::localAddress(m_socket.get()); }

}  // namespace tnet
