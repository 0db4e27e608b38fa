#include "tnet/connection.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

namespace tnet {
namespace {

constexpr int kPiecesPerWrite = 64;

}  // namespace

// One of the connection's events is being dispatched; what it caused is settled at the end.
struct Connection::Dispatch {
    explicit Dispatch(Connection& connection) : self(connection.shared_from_this()) {
        assert(!self->m_dispatching && "a connection's events do not nest");
        self->m_dispatching = true;
    }
    ~Dispatch() { settleOrFail(self); }
    Dispatch(const Dispatch&) = delete;
    Dispatch& operator=(const Dispatch&) = delete;

    // To settle what failed allocates nothing.
    static void settleOrFail(const ConnectionPtr_t& self) noexcept {
        try {
            self->settle(self);
        } catch (const std::bad_alloc&) {
            self->m_dispatching = true;
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

Connection::~Connection() { assert(!m_registered && "the loop holds a registered connection"); }

// --- Set up ---

void Connection::setEventCallback(ConnEventCallback_t callback) {
    assert(m_loop->isInLoopThread());
    if (m_emitting) {
        // The old one is running, and what it captured may lie in m_callback itself.
        m_callbackReplaced = true;
        m_loop->keepReplacement(this, std::move(callback));
        return;
    }
    m_callback.swap(callback);
}

void Connection::setSendTimeout(std::chrono::milliseconds timeout, size_t bytesPerSecond) {
    m_sendTimeoutMillis = static_cast<uint32_t>(std::clamp<int64_t>(timeout.count(), 0, UINT32_MAX));
    m_leastBytesPerSecond = static_cast<uint32_t>(std::min<size_t>(bytesPerSecond, UINT32_MAX));
    // What runs is the old one; a new one begins with what is written next, or waits. Connecting has the timer for itself.
    if (m_state == ConnState::Connected && m_timer.isValid()) m_loop->cancel(std::exchange(m_timer, {}));
}

void Connection::start(FirstRead firstRead) {
    if (m_state != ConnState::Connecting) return;  // closed or failed before it began
    assert(!m_registered && "start() is called once");
    const Dispatch dispatch(*this);
    dispatch.run([&] { begin(dispatch.self, firstRead); });
}

void Connection::begin(const ConnectionPtr_t& self, FirstRead firstRead) {
    if (m_origin == Origin::Accepted && firstRead == FirstRead::AtOnce) {
        m_registrationDue = true;
        proceedHandshake(self);
        if (m_state == ConnState::Connected && mayRead()) readSome(self);
        return;
    }
    m_interest = m_origin == Origin::Connecting ? TNET_WRITE : TNET_READ;
    if (const auto error = m_loop->addHandler(m_socket.get(), m_interest, self)) return fail(error);
    m_registered = true;
    if (m_origin == Origin::Connecting) return emit(self, Conn_ConnectingEvent);
    proceedHandshake(self);
}

void Connection::startLater(std::error_code error) {
    m_startDeferred = true;
    m_error = error;
    deferSettling();
}

// The longest time there is, in nanoseconds some 292 years, is still one.
void Connection::limitConnecting(std::chrono::milliseconds time) {
    if (time <= std::chrono::milliseconds::zero()) return;
    constexpr auto kLongest = std::chrono::floor<std::chrono::milliseconds>(Duration::max());
    m_timer = m_loop->runAfter(std::min(time, kLongest), [weak = weak_from_this()] {
        const ConnectionPtr_t late = weak.lock();
        if (!late) return;
        late->m_timer = {};
        late->failConnecting(std::make_error_code(std::errc::timed_out));
    });
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
    if ((events & TNET_WRITE) != 0 || ((events & TNET_READ) != 0 && m_writeWantsRead)) {
        m_writeBlocked = false;  // settling writes
        m_writeWantsRead = false;
    }
    const bool readable = (events & TNET_READ) != 0 || ((events & TNET_WRITE) != 0 && m_readWantsWrite);
    if (readable && mayRead()) {
        readSome(self);
    } else if ((events & TNET_ERROR) != 0) {
        handleError(self);
    }
}

void Connection::handleDeferred() {
    m_deferred = false;
    const ConnectionPtr_t self = shared_from_this();
    if (m_startDeferred) {
        m_startDeferred = false;
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

void Connection::handleLoopExit() { close(); }

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
    m_readWantsWrite = result.status == IoStatus::WantWrite;
    switch (result.status) {
        case IoStatus::Ok: break;
        case IoStatus::WantRead:
        case IoStatus::WantWrite: return;
        case IoStatus::End: return fail(std::make_error_code(std::errc::connection_reset));
        case IoStatus::Failed: return fail(result.error);
    }
    m_handshaking = false;
    if (m_timer.isValid()) m_loop->cancel(std::exchange(m_timer, {}));
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
    return m_state == ConnState::Disconnecting && m_awaitPeerEnd && m_writeEnded;
}

void Connection::readSome(const ConnectionPtr_t& self) {
    char* const buffer = m_loop->readBuffer();
    const IoResult result = m_transport->read(m_socket.get(), buffer, IOLoop::kReadBufferBytes);
    m_readWantsWrite = result.status == IoStatus::WantWrite;
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
    return (m_state == ConnState::Connected || m_state == ConnState::Connecting) && !m_writeEndWanted;
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
    if (m_queue || m_dispatching || m_state != ConnState::Connected) {
        queue().appendCopy(bytes);
        return afterQueueing();
    }
    const SendResult result = writeAtOnce(bytes);
    if (result.queuedBytes == 0) return result;
    queue().appendCopy(bytes.substr(bytes.size() - result.queuedBytes));
    return afterQueueing();
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

// Nothing is ahead of these bytes: what the kernel takes at once is never copied. The result's queuedBytes
// are those at their end that are left, for the caller to queue.
SendResult Connection::writeAtOnce(std::string_view bytes) {
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    const IoResult result = m_transport->write(m_socket.get(), &piece, 1);
    if (result.status == IoStatus::Failed || result.status == IoStatus::End) {
        writeFailed(result);
        return {SendStatus::Closed, 0};
    }
    if (result.bytes > 0) m_lastActivity = m_loop->now();
    if (result.bytes == bytes.size()) {
        writeCompleted();
        if (m_pending != 0) deferSettling();
        return {SendStatus::Accepted, 0};
    }
    m_writeBlocked = true;
    m_writeWantsRead = result.status == IoStatus::WantRead;
    return {SendStatus::Accepted, bytes.size() - result.bytes};
}

SendResult Connection::send(std::string&& bytes) try {
    if (!canSend()) return {SendStatus::Closed, 0};
    if (bytes.empty()) return {SendStatus::Accepted, queuedBytes()};
    queue().appendOwned(std::move(bytes));
    return afterQueueing();
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

SendResult Connection::send(SharedBytesPtr_t bytes) try {
    assert(m_loop->isInLoopThread());
    if (!canSend()) return {SendStatus::Closed, 0};
    if (bytes->empty()) return {SendStatus::Accepted, queuedBytes()};
    size_t from = 0;
    if (!m_queue && !m_dispatching && m_state == ConnState::Connected) {
        const SendResult result = writeAtOnce(*bytes);
        if (result.queuedBytes == 0) return result;
        from = bytes->size() - result.queuedBytes;
    }
    queue().appendShared(std::move(bytes), from);
    return afterQueueing();
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

SendResult Connection::sendWithRound(SharedBytesPtr_t bytes) try {
    assert(m_loop->isInLoopThread());
    if (!canSend()) return {SendStatus::Closed, 0};
    if (!bytes->empty()) queue().appendShared(std::move(bytes));
    // A queue that is over its limit gets its chance to shrink, or fails, at once.
    if (m_dispatching || queuedBytes() > m_maxQueuedBytes) return afterQueueing();
    if (m_queue) deferSettling();
    return {SendStatus::Accepted, queuedBytes()};
} catch (const std::bad_alloc&) {
    return outOfMemory();
}

SendResult Connection::sendFile(SharedFilePtr_t file, off_t offset, size_t size) try {
    if (!canSend()) return {SendStatus::Closed, 0};
    if (size == 0) return {SendStatus::Accepted, queuedBytes()};
    queue().appendFile(std::move(file), offset, size);
    return afterQueueing();
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
    return afterQueueing();
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
    m_queue->progress() = {};
    m_loop->giveBack(std::move(m_queue));
}

SendResult Connection::afterQueueing() {
    if (m_dispatching && m_queue->bytes() <= m_maxQueuedBytes)
        return {SendStatus::Accepted, m_queue->bytes()};
    proceedWriting();
    if (queuedBytes() > m_maxQueuedBytes) {
        fail(std::make_error_code(std::errc::no_buffer_space));
        return {SendStatus::Overflow, 0};
    }
    if (!m_dispatching) advance();
    if (m_state == ConnState::Disconnected) return {SendStatus::Closed, 0};
    return {SendStatus::Accepted, queuedBytes()};
}

bool Connection::flush() try {
    proceedWriting();
    if (!m_dispatching) advance();
    return !m_queue && m_state != ConnState::Disconnected;
} catch (const std::bad_alloc&) {
    outOfMemory();
    return false;
}

void Connection::proceedWriting() {
    const bool open = m_state == ConnState::Connected || m_state == ConnState::Disconnecting;
    if (m_queue && !m_writeBlocked && open) writeQueue();
}

void Connection::writeQueue() {
    iovec pieces[kPiecesPerWrite];
    size_t taken = 0;
    while (!m_queue->empty()) {
        IoResult result;
        size_t offered = 0;
        if (m_queue->isOnePiece()) {
            const std::string_view bytes = m_queue->onePiece();
            offered = bytes.size();
            pieces[0] = {const_cast<char*>(bytes.data()), offered};
            result = m_transport->write(m_socket.get(), pieces, 1);
        } else if (const int count = m_queue->gather(pieces, kPiecesPerWrite); count > 0) {
            for (int i = 0; i < count; ++i) offered += pieces[i].iov_len;
            result = m_transport->write(m_socket.get(), pieces, count);
        } else {
            const SendQueue::FileRange range = m_queue->frontFile();
            offered = range.size;
            result = m_transport->sendFile(m_socket.get(), range.fd, range.offset, range.size);
        }
        if (result.status == IoStatus::Failed || result.status == IoStatus::End) return writeFailed(result);
        m_queue->consume(result.bytes);
        if (result.bytes > 0) m_lastActivity = m_loop->now();
        taken += result.bytes;
        if (result.bytes < offered) {
            m_writeBlocked = true;
            m_writeWantsRead = result.status == IoStatus::WantRead;
            if (taken > 0) m_queue->progress().last = m_loop->now();
            m_queue->progress().bytes += taken;
            return;
        }
    }
    m_queue->progress() = {};
    m_loop->giveBack(std::move(m_queue));
    writeCompleted();
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
    m_awaitPeerEnd = peerEnd == PeerEnd::Await || m_transport->wantsGracefulEnd();
    m_writeEndWanted = m_writeEndWanted || m_awaitPeerEnd;
    m_shutDownMillis = static_cast<uint32_t>(std::clamp<int64_t>(after.count(), 0, UINT32_MAX));
    if (!m_dispatching) advance();
} catch (const std::bad_alloc&) {
    outOfMemory();
}

void Connection::shutDownWrite() try {
    assert(m_loop->isInLoopThread());
    if (m_state != ConnState::Connected || m_writeEndWanted) return;
    m_writeEndWanted = true;
    if (!m_dispatching) advance();
} catch (const std::bad_alloc&) {
    outOfMemory();
}

void Connection::close() {
    assert(m_loop->isInLoopThread());
    closeNow();
}

void Connection::abort() {
    const linger reset{1, 0};
    if (m_socket.valid()) ::setsockopt(m_socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close();
}

// Once everything is written: ends our direction if that is wanted, and closes when both have ended.
void Connection::proceedEnding() {
    const bool disconnecting = m_state == ConnState::Disconnecting;
    if (!disconnecting && (m_state != ConnState::Connected || !m_writeEndWanted)) return;
    if (!m_queue && m_writeEndWanted && !m_writeEnded && !m_writeBlocked) {
        const IoResult result = m_transport->endWrite(m_socket.get());
        if (result.status == IoStatus::Failed) return closeNow();
        m_writeWantsRead = result.status == IoStatus::WantRead;
        m_writeBlocked = m_writeWantsRead || result.status == IoStatus::WantWrite;
        m_writeEnded = !m_writeBlocked;
    }
    const bool ourEnd = !m_queue && (m_writeEnded || !m_writeEndWanted);
    const bool peerEnd = m_inputEnded || (disconnecting && !m_awaitPeerEnd);
    if (ourEnd && peerEnd) return closeNow();
    if (disconnecting && !m_isShutDownWatched) watchShutDown();
}

// --- A peer that takes its time ---

// Something is queued that the kernel does not take.
void Connection::watchSending() {
    if (m_timer.isValid() || m_sendTimeoutMillis == 0 || !m_queue || m_state != ConnState::Connected) return;
    m_queue->progress() = {m_loop->now(), m_loop->now()};
    runTimer(std::chrono::milliseconds(m_sendTimeoutMillis));
}

void Connection::watchShutDown() {
    if (m_timer.isValid()) m_loop->cancel(m_timer);
    if (m_queue) m_queue->progress() = {m_loop->now(), m_loop->now()};
    m_isShutDownWatched = true;
    runTimer(std::chrono::milliseconds(m_shutDownMillis));
}

void Connection::runTimer(Duration left) {
    m_timer = m_loop->runAfter(left, [weak = weak_from_this()] {
        const ConnectionPtr_t self = weak.lock();
        if (!self) return;
        try {
            self->lookAtPeer();
        } catch (const std::bad_alloc&) {
            self->close();
        }
    });
}

// To take something now and then is not enough: the queue would be held for as long as the peer likes.
void Connection::lookAtPeer() {
    m_timer = {};
    const TimePoint now = m_loop->now();
    const bool isConnected = m_state == ConnState::Connected;
    const std::chrono::milliseconds timeout(isConnected ? m_sendTimeoutMillis : m_shutDownMillis);
    if (!m_queue) {
        if (isConnected) return;
        // The peer's end is awaited.
        const TimePoint due = m_lastActivity + timeout;
        return due > now ? runTimer(due - now) : close();
    }
    SendQueue::Progress& progress = m_queue->progress();
    if (progress.since == TimePoint()) progress = {now, now};  // another queue than when the timer was set
    // The kernel would go on offering what it has of it for minutes; a reset ends that, too.
    const uint32_t least = isConnected ? m_leastBytesPerSecond : kLeastBytesPerSecond;
    if (isTooSlow(progress, timeout, least)) return abort();
    runTimer(std::min(progress.since, progress.last) + timeout - now);
}

bool Connection::isTooSlow(SendQueue::Progress& progress, Duration timeout, uint32_t bytesPerSecond) const {
    const TimePoint now = m_loop->now();
    if (now - progress.last >= timeout) return true;
    const Duration passed = now - progress.since;
    if (passed < timeout) return false;
    const std::chrono::duration<double> seconds = passed;
    if (static_cast<double>(progress.bytes) < seconds.count() * bytesPerSecond) return true;
    progress.since = now;
    progress.bytes = 0;
    return false;
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
    if (m_timer.isValid()) m_loop->cancel(m_timer);
    if (m_registered) m_loop->removeHandler(m_socket.get(), IOLoop::Removal::CloseFollows);
    m_registered = false;
    m_socket.reset();
    releaseQueue();
    m_pending &= static_cast<uint8_t>(~kWriteCompletePending);
    m_pending |= kClosePending;
    if (!m_dispatching) deferSettling();
}

// --- Reading ---

void Connection::pauseReading() {
    assert(m_loop->isInLoopThread());
    m_readPaused = true;
    if (!m_dispatching) updateInterest();
}

void Connection::resumeReading() {
    assert(m_loop->isInLoopThread());
    if (!m_readPaused) return;
    m_readPaused = false;
    if (m_state != ConnState::Connected) return;
    if (m_transport->hasPendingInput()) deferSettling();
    if (!m_dispatching) updateInterest();
}

void Connection::redeliver(std::string bytes) {
    assert(m_loop->isInLoopThread());
    if (m_state != ConnState::Connected) return;
    const StackBuffer buffer(bytes.data(), bytes.size());
    if (m_callbackReplaced) return emitToReplacement(buffer);
    if (m_dispatching) return emit(shared_from_this(), Conn_ReadEvent, &buffer);
    const Dispatch dispatch(*this);
    emit(dispatch.self, Conn_ReadEvent, &buffer);
}

// From inside the callback that was replaced: the one of now waits until that has returned.
void Connection::emitToReplacement(const StackBuffer& buffer) {
    m_callbackReplaced = false;
    ConnEventCallback_t callback = m_loop->takeReplacement(this);
    try {
        if (callback) callback(shared_from_this(), Conn_ReadEvent, &buffer);
    } catch (const std::bad_alloc&) {
        failForMemory();  // which it is told, so it goes back to its place
    }
    if (!m_callbackReplaced) setEventCallback(std::move(callback));
}

// --- Telling ---

uint32_t Connection::wantedEvents() const {
    switch (m_state) {
        case ConnState::Connecting:
            if (m_handshaking) return m_readWantsWrite ? TNET_WRITE : TNET_READ;
            return TNET_WRITE;
        case ConnState::Connected:
        case ConnState::Disconnecting: {
            uint32_t events = 0;
            if (mayRead()) events |= m_readWantsWrite ? TNET_WRITE : TNET_READ;
            if (m_writeBlocked) events |= m_writeWantsRead ? TNET_READ : TNET_WRITE;
            return events;
        }
        case ConnState::Disconnected: break;
    }
    return 0;
}

void Connection::updateInterest() {
    if (m_writeBlocked) watchSending();
    if (m_registrationDue) return registerNow();
    if (!m_registered) return;
    const uint32_t wanted = wantedEvents();
    if (wanted == m_interest) return;
    m_interest = static_cast<uint8_t>(wanted);
    if (const auto error = m_loop->updateHandler(m_socket.get(), wanted)) fail(error);
}

void Connection::registerNow() {
    m_registrationDue = false;
    if (m_state == ConnState::Disconnected) return;
    m_interest = static_cast<uint8_t>(wantedEvents());
    if (const auto error = m_loop->addHandler(m_socket.get(), m_interest, shared_from_this()))
        return fail(error);
    m_registered = true;
}

// Nothing is left to do, as after nearly every event: everything is written, nothing is to be told or ended,
// and what is watched is right.
bool Connection::isQuiet() const {
    return m_state == ConnState::Connected && m_pending == 0 && m_interest == TNET_READ && !m_queue &&
           !m_inputEnded && !m_readPaused && !m_readWantsWrite && !m_writeBlocked && !m_writeEndWanted;
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
    m_dispatching = true;
    proceedWriting();
    if (!isQuiet()) {
        proceedEnding();
        updateInterest();
        if (m_pending != 0) return tellPending(self);
    }
    m_dispatching = false;
}

// Within settle().
void Connection::tellPending(const ConnectionPtr_t& self) {
    emitPending(self);
    m_dispatching = false;
    const bool isUntouched =
        m_pending == 0 && !m_queue && !m_writeEndWanted && m_state == ConnState::Connected;
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
}

void Connection::deferSettling() {
    if (m_deferred) return;
    m_deferred = true;
    m_loop->defer(shared_from_this());
}

void Connection::emit(const ConnectionPtr_t& self, ConnEvent event, const void* context) noexcept {
    if (!m_callback) return;
    const bool isInner = m_emitting;  // redeliver, from inside the callback
    m_emitting = true;
    try {
        m_callback(self, event, context);
    } catch (const std::bad_alloc&) {
        // Whatever was about to happen, it did not: nothing may follow on this connection. Close is the last anyway.
        failForMemory();
    }
    m_emitting = isInner;
    if (isInner || !m_callbackReplaced) return;
    m_callbackReplaced = false;
    setEventCallback(m_loop->takeReplacement(this));
}

// --- Observing ---

bool Connection::hasInput() const {
    // What cannot be read, the next round will not read: nobody is to wait for that.
    if (m_state != ConnState::Connected || m_inputEnded || m_readWantsWrite) return false;
    if (m_transport->hasPendingInput()) return true;
    int bytes = 0;
    return m_socket.valid() && ::ioctl(m_socket.get(), FIONREAD, &bytes) == 0 && bytes > 0;
}

Address Connection::localAddress() const { return tnet::localAddress(m_socket.get()); }

}  // namespace tnet
