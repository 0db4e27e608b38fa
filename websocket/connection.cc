#include "websocket/connection.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <exception>
#include <utility>

#include "tnet/durations.h"
#include "tnet/heap_bytes.h"
#include "tnet/log.h"
#include "tnet/stack_buffer.h"
#include "tnet/turn.h"
#include "websocket/backlog.h"
#include "websocket/loop.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;

// Of what one connection brings, before the others have their turn: messages, pieces and control frames, and
// their bytes as they were decompressed.
constexpr TurnBudget kReceiveTurn{256, 256 << 10};

constexpr std::string_view kTooSlow = "too slow";

// Frames that are not asked whether there is room, and what a piece of the queue costs beside its bytes.
constexpr size_t kBeyondLimitBytes = 4 << 10;

// Off, or as long as it takes.
milliseconds orForever(milliseconds timeout) {
    return timeout > milliseconds::zero() ? timeout : milliseconds::max();
}

}  // namespace

// Whole messages that must wait, here rather than in the connection's queue, because they may be dropped or
// because a message in pieces is under way.
struct WsConnection::Waiting {
    WsBacklog messages{};
    bool isPieceQueued = false;  // whoever sends in pieces was told to wait
};

struct WsConnection::Deflate {
    WsDeflateParameters parameters;
    std::unique_ptr<WsDeflater> own{};  // with a history; null: the loop's
    WsReceiver::Settings receiving{};   // with a window of its own
};

// --- Beginning ---

WsConnection::WsConnection(WsLane& lane, const Agreement& agreement, std::unique_ptr<WsRequest> request)
    : m_home(lane.loop.shared_from_this()),
      m_lane(lane),
      m_request(std::move(request)),
      m_subprotocol(agreement.subprotocol) {
    if (!agreement.deflate) return;
    m_deflate = std::make_unique<Deflate>(Deflate{*agreement.deflate});
    if (!agreement.deflate->serverNoContextTakeover) {
        m_deflate->own = std::make_unique<WsDeflater>(
            WsDeflater::Settings{.windowBits = agreement.deflate->serverWindowBits});
    }
    m_deflate->receiving = lane.inflated;
    m_deflate->receiving.inflate = WsInflater::Settings{.windowBits = agreement.deflate->clientWindowBits};
}

WsConnection::~WsConnection() = default;

void WsConnection::takeOver(const WsConnectionPtr_t& self, const ConnectionPtr_t& connection) {
    self->m_connection = connection.get();
    self->m_lastMessage = self->m_home->loop().now();
    connection->setWriteCompleteWanted(false);
    connection->setSendTimeout(self->route().sendTimeout);
    // What is queued is bounded here; the connection's own limit must not be below that.
    const size_t limit = std::min(self->route().maxQueuedBytes, SIZE_MAX / 2) + kBeyondLimitBytes;
    connection->setMaxQueuedBytes(std::max(connection->maxQueuedBytes(), limit));
    connection->setEventCallback([self](const ConnectionPtr_t&, ConnEvent event, const void* context) {
        self->onEvent(self, event, context);
    });
    // From here on it is told of its end, whatever fails.
    self->setState(State::Open);
    self->m_home->add(self->m_lane, *self);
    if (self->route().onOpen) self->guarded("onOpen", [&] { self->route().onOpen(self); });
    if (!self->route().keepRequest) self->m_request.reset();
}

const WsRoute& WsConnection::route() const { return *m_lane.route; }

const WsRequest& WsConnection::request() const {
    static const WsRequest none;
    return m_request ? *m_request : none;
}

std::string_view WsConnection::subprotocol() const {
    if (m_subprotocol == 0) return {};
    return route().subprotocols[m_subprotocol - 1U];
}

bool WsConnection::isInLoopThread() const { return m_home->isInLoopThread(); }

void WsConnection::onEvent(const WsConnectionPtr_t& self, ConnEvent event, const void* context) {
    switch (event) {
        case Conn_ReadEvent: {
            const auto& bytes = *static_cast<const StackBuffer*>(context);
            return onRead(self, {bytes.data(), bytes.size()});
        }
        case Conn_WriteCompleteEvent: return onWriteComplete(self);
        case Conn_CloseEvent: return onClosed(self);
        case Conn_EstablishedEvent:
        case Conn_ConnectEvent:
        case Conn_ConnectingEvent:
        case Conn_ErrorEvent: return;
    }
}

// What a handler throws costs its own connection.
template <class Call>
void WsConnection::guarded(const char* what, Call call) {
    try {
        return call();
    } catch (const std::exception& error) {
        logger().error("{} of a WebSocket connection threw: {}", what, error.what());
    } catch (...) {
        logger().error("{} of a WebSocket connection threw something", what);
    }
    fail(WsCloseCode::InternalError, {});
}

// --- Receiving ---

bool WsConnection::hasOwnWindow() const {
    return m_deflate && !m_deflate->parameters.clientNoContextTakeover;
}

void WsConnection::onRead(const WsConnectionPtr_t& self, std::span<char> input) {
    if (state() > State::Closing) return;
    if (m_silentLooks != 0) heard();
    std::unique_ptr<WsReceiver>& spare = m_deflate ? m_lane.spareInflated : m_lane.sparePlain;
    if (!m_receiver && !hasOwnWindow()) m_receiver = std::move(spare);
    if (!m_receiver) {
        const WsReceiver::Settings& settings = m_deflate ? m_lane.inflated : m_lane.plain;
        m_receiver = std::make_unique<WsReceiver>(hasOwnWindow() ? m_deflate->receiving : settings);
    }
    if (m_receiver->hasRest()) input = m_receiver->rest();  // nothing else is read meanwhile
    // Little input can be much to do: compressed, or in small messages.
    Turn turn(kReceiveTurn);
    for (;;) {
        const bool isLeft = !input.empty() || m_receiver->canGoOn();
        if (isLeft && (m_isPausedByUser || turn.isOver())) return keepRest(input);
        const WsReceiver::Event event = m_receiver->next(input);
        if (event == WsReceiver::Event::NeedMore) break;
        turn.spend(m_receiver->payload().size());
        if (event != WsReceiver::Event::Part && !handle(self, event)) return;
    }
    m_receiver->dropRest();
    if (m_receiver->isIdle() && !hasOwnWindow()) spare = std::move(m_receiver);
    if (!m_isPausedByUser && m_connection->isReadingPaused()) m_connection->resumeReading();
}

// Until the loop's next round, or until the user resumes.
void WsConnection::keepRest(std::span<char> input) {
    m_receiver->keep(input);
    m_connection->pauseReading();
    if (!m_isPausedByUser) goOnLater();
}

void WsConnection::goOnLater() {
    if (std::exchange(m_goesOnLater, true)) return;
    m_home->loop().addCallback([weak = weak_from_this()] {
        const WsConnectionPtr_t self = weak.lock();
        if (!self) return;
        self->m_goesOnLater = false;
        if (self->m_connection == nullptr || self->m_isPausedByUser || !self->hasRest()) return;
        self->m_connection->shared_from_this()->redeliver(
            {});  // as an event: what is sent meanwhile is gathered
    });
}

// False: nothing more is to be read.
bool WsConnection::handle(const WsConnectionPtr_t& self, WsReceiver::Event event) {
    WsReceiver& receiver = *m_receiver;
    const bool isData = event == WsReceiver::Event::Message || event == WsReceiver::Event::Piece;
    const bool isWhole = event != WsReceiver::Event::Piece || receiver.isLast();
    // RFC 6455 §5.5.1: who has sent Close waits for the peer's, and may drop what comes before it.
    const bool isClosing = state() == State::Closing;
    if (isWhole && event < WsReceiver::Event::Close && isTooOften()) {
        fail(WsCloseCode::PolicyViolation, "too many messages");
        return false;
    }
    if (isData) m_lastMessage = m_home->loop().now();
    switch (event) {
        case WsReceiver::Event::NeedMore:
        case WsReceiver::Event::Part: break;
        case WsReceiver::Event::Message:
            if (isClosing || !route().onMessage) break;
            guarded("onMessage", [&] { route().onMessage(self, receiver.payload(), receiver.opcode()); });
            break;
        case WsReceiver::Event::Piece:
            if (isClosing) break;
            guarded("onPiece",
                    [&] { route().onPiece(self, receiver.payload(), receiver.opcode(), receiver.isLast()); });
            break;
        case WsReceiver::Event::Ping:
            // A peer that pings and does not read gets no more answers than it is allowed to have queued.
            if (!isClosing && hasRoom(receiver.payload().size() + kMaxFrameHeaderBytes))
                sendFrame(receiver.payload(), WsOpcode::Pong, true, false);
            break;
        case WsReceiver::Event::Pong:
            if (isClosing || !route().onPong) break;
            guarded("onPong", [&] { route().onPong(self, receiver.payload()); });
            break;
        case WsReceiver::Event::Close: onPeerClose(receiver.close()); return false;
        case WsReceiver::Event::Error: fail(receiver.errorCode(), receiver.errorReason()); return false;
    }
    return state() <= State::Closing;
}

void WsConnection::heard() {
    if (std::exchange(m_silentLooks, uint8_t{0}) == kAwaitsPong) m_home->heardAgain(m_lane, *this);
}

bool WsConnection::isPingDue(bool awaitsPong) {
    // While reading is paused the peer cannot be heard.
    if (state() != State::Open || m_connection == nullptr || isPaused()) return noteHeard(), false;
    if (++m_silentLooks < kLooksPerPing) return false;
    m_silentLooks = awaitsPong ? kAwaitsPong : 0;
    return true;
}

void WsConnection::notePongMissed() {
    noteHeard();
    if (!isPaused()) abort();
}

bool WsConnection::isTooOften() {
    if (route().maxMessagesPerSecond == 0) return false;
    const auto time =
        std::chrono::duration_cast<std::chrono::seconds>(m_home->loop().now().time_since_epoch());
    const auto second = static_cast<uint32_t>(time.count());
    if (std::exchange(m_rateSecond, second) != second) m_rateCount = 0;
    return ++m_rateCount > route().maxMessagesPerSecond;
}

void WsConnection::pauseReading() {
    if (m_connection == nullptr || state() != State::Open) return;
    m_isPausedByUser = true;
    m_connection->pauseReading();
}

void WsConnection::resumeReading() {
    if (m_connection == nullptr) return;
    if (m_silentLooks != 0) heard();  // it could not be
    m_isPausedByUser = false;
    if (!hasRest()) return m_connection->resumeReading();
    orAbort([&] { goOnLater(); });
}

void WsConnection::lookAfter(TimePoint now) {
    if (state() != State::Open) return;
    const Duration quiet = now - m_lastMessage;
    if (route().idleTimeout > milliseconds::zero() && quiet >= saturated(route().idleTimeout))
        return closeHere(WsCloseCode::GoingAway, "idle");
    const Duration release = saturated(route().releaseWindowsAfter);
    if (release <= Duration::zero() || quiet < release) return;
    if (m_deflate && m_deflate->own) m_deflate->own->release();
    if (m_receiver && m_receiver->isIdle()) m_receiver->compact();
}

// --- Asked for by other threads ---

template <class Task>
bool WsConnection::post(Posting posting, size_t textBytes, Task task) {
    const size_t bytes = WsLoop::bytesOfTask(sizeof(Task), textBytes);
    if (posting == Posting::Always) {
        m_home->reserveAlways(bytes);
    } else {
        const size_t posted = m_posted.load(std::memory_order_relaxed);
        if (posted > 0 && posted + bytes > route().maxQueuedBytes) return false;
        if (!m_home->reserveForTask(bytes)) return false;
    }
    m_posted.fetch_add(bytes, std::memory_order_relaxed);
    try {
        m_home->post(weak_from_this(), std::move(task), bytes);
    } catch (const std::bad_alloc&) {
        m_posted.fetch_sub(bytes, std::memory_order_relaxed);
        m_home->giveBack(1, bytes);
        throw;
    }
    return true;
}

// Once: the first says it all.
template <class Task>
void WsConnection::postEnd(uint8_t end, size_t textBytes, Task task) {
    if ((m_endAsked.fetch_or(end, std::memory_order_relaxed) & end) != 0) return;
    try {
        post(Posting::Always, textBytes, std::move(task));
    } catch (const std::bad_alloc&) {
        m_endAsked.fetch_and(static_cast<uint8_t>(~end), std::memory_order_relaxed);
        throw;
    }
}

// --- Sending ---

WsSendStatus WsConnection::send(std::string_view message, WsOpcode opcode) {
    return sendLatest({}, message, opcode);
}

WsSendStatus WsConnection::sendLatest(std::string_view key, std::string_view message, WsOpcode opcode) {
    assert((opcode == WsOpcode::Binary || opcode == WsOpcode::Text) && "a message is text or binary");
    if (isInLoopThread()) {
        WsSendStatus status = WsSendStatus::Closed;
        orAbort([&] { status = sendHere(key, message, opcode); });
        return status;
    }
    if (!isOpen()) return WsSendStatus::Closed;
    // The loop alone knows what the peer has taken; here counts what waits for the loop.
    const size_t textBytes = heapBytesOfText(key.size()) + heapBytesOfText(message.size());
    const bool isMuch = queuedBytes() + textBytes > route().highWaterBytes;
    auto task = [key = std::string(key), text = std::string(message), opcode, isMuch](WsConnection& self) {
        if (isMuch && self.m_connection != nullptr) {
            // Its caller was told to wait for onDrain.
            self.waiting();
            self.m_connection->setWriteCompleteWanted(true);
        }
        self.sendHere(key, text, opcode);
    };
    if (post(Posting::IfRoom, textBytes, std::move(task)))
        return isMuch ? WsSendStatus::Queued : WsSendStatus::Accepted;
    if (route().overflow == WsOverflow::Close) {
        close(route().overflowCode, kTooSlow);
        return WsSendStatus::Closed;
    }
    noteDropped(1);
    return WsSendStatus::Dropped;
}

void WsConnection::runPosted(const std::function<void(WsConnection&)>& task, size_t bytes) {
    m_posted.fetch_sub(bytes, std::memory_order_relaxed);
    orAbort([&] { task(*this); });
}

WsSendStatus WsConnection::sendHere(std::string_view key, std::string_view message, WsOpcode opcode) {
    if (state() != State::Open || m_connection == nullptr) return WsSendStatus::Closed;
    m_lastMessage = m_home->loop().now();
    const bool waits = mustWait();
    const bool isCompressed =
        m_deflate && message.size() >= route().compressFromBytes && compress(message, waits);
    if (waits) return wait(key, makeFrame(message, opcode, isCompressed));
    if (hasRoom(message.size())) return sendFrame(message, opcode, true, isCompressed);
    if (isCompressed && m_deflate->own) m_deflate->own->release();
    return overflowed();
}

// True: `message` is the compressed one, until the next is compressed. What may be dropped must not become part
// of a history that the peer then has not.
bool WsConnection::compress(std::string_view& message, bool mayBeDropped) {
    WsDeflater& shared = m_home->deflater(m_deflate->parameters.serverWindowBits);
    const bool hasHistory = m_deflate->own && !mayBeDropped;
    WsDeflater& deflater = hasHistory ? *m_deflate->own : shared;
    std::string& out = m_home->scratch();
    if (!deflater.deflate(message, true, out)) return false;
    // With a history, what was compressed has to be sent.
    if (!hasHistory && out.size() >= message.size()) return false;
    if (!hasHistory && m_deflate->own)
        m_deflate->own->release();  // the peer's window will have this, ours has not
    message = out;
    return true;
}

bool WsConnection::deliver(const WsPublication& publication) {
    if (state() != State::Open || m_connection == nullptr) return false;
    m_lastMessage = m_home->loop().now();
    SharedBytesPtr_t frame = publication.frame();
    if (m_deflate && publication.payloadBytes() >= route().compressFromBytes) {
        frame = publication.compressedFrame(m_deflate->parameters.serverWindowBits);
        // The peer's window has something now that our history has not.
        if (m_deflate->own && frame != publication.frame()) m_deflate->own->release();
    }
    const WsSendStatus status = sendShared(publication.topic(), std::move(frame));
    return status == WsSendStatus::Accepted || status == WsSendStatus::Queued;
}

WsSendStatus WsConnection::sendShared(std::string_view key, SharedBytesPtr_t frame) {
    if (mustWait()) return wait(key, std::move(frame));
    if (!hasRoom(frame->size())) return overflowed();
    return afterSend(m_connection->send(std::move(frame)));
}

WsSendStatus WsConnection::sendFrame(std::string_view payload, WsOpcode opcode, bool fin, bool isCompressed) {
    const size_t bytes = frameHeaderBytes(payload.size(), false) + payload.size();
    char* out = m_connection->reserveSend(bytes);
    if (out == nullptr) return WsSendStatus::Closed;
    out = writeFrameHeader(out, opcode, fin, isCompressed, payload.size());
    if (!payload.empty()) std::memcpy(out, payload.data(), payload.size());
    return afterSend(m_connection->commitSend(bytes));
}

WsSendStatus WsConnection::afterSend(const SendResult& result) {
    if (result.status != SendStatus::Accepted) return WsSendStatus::Closed;
    const bool isMuch = result.queuedBytes > route().highWaterBytes;
    if (isMuch || m_queued.load(std::memory_order_relaxed) > 0) noteQueued();
    if (!isMuch) return WsSendStatus::Accepted;
    m_connection->setWriteCompleteWanted(true);
    waiting().isPieceQueued = isStreaming();
    return WsSendStatus::Queued;
}

void WsConnection::noteQueued() {
    const size_t waiting = m_waiting ? m_waiting->messages.bytes() : 0;
    m_queued.store(m_connection->queuedBytes() + waiting, std::memory_order_relaxed);
}

// Whether so much more may be queued. What was only gathered is written first.
bool WsConnection::hasRoom(size_t bytes) {
    const auto isTooMuch = [&] {
        const size_t queued = m_connection->queuedMemory();
        return queued > 0 && queued + bytes > route().maxQueuedBytes;
    };
    if (!isTooMuch()) return true;
    m_connection->flush();  // which may find the peer gone: then nothing is queued either
    return !isTooMuch();
}

void WsConnection::noteDropped(size_t count) {
    if (const WsTopicsPtr_t topics = m_home->topics()) topics->noteDropped(count);
}

WsSendStatus WsConnection::overflowed() {
    if (route().overflow != WsOverflow::Close) {
        noteDropped(1);
        return WsSendStatus::Dropped;
    }
    return closeAsTooSlow();
}

WsSendStatus WsConnection::closeAsTooSlow() {
    if (isStreaming() && m_waiting) m_waiting->messages.clear();
    closeHere(route().overflowCode, kTooSlow);
    return WsSendStatus::Closed;
}

// --- Messages that wait ---

bool WsConnection::mustWait() {
    if (isStreaming() || (m_waiting && !m_waiting->messages.empty())) return true;
    if (route().overflow != WsOverflow::DropOldest && route().overflow != WsOverflow::KeepLatest)
        return false;
    return m_connection->queuedBytes() > handedOverBytes() && !m_connection->flush();
}

// How much may be queued before messages wait here: what the connection has cannot be dropped any more.
size_t WsConnection::handedOverBytes() const {
    return std::min(route().highWaterBytes, route().maxQueuedBytes / 2);
}

WsSendStatus WsConnection::wait(std::string_view key, SharedBytesPtr_t frame) {
    WsBacklog& messages = waiting().messages;
    if (route().overflow != WsOverflow::KeepLatest) key = {};
    const size_t bytes = WsBacklog::bytesOf(key, frame);
    auto place = messages.find(key);
    if (place != messages.end()) {
        place = messages.erase(place);
        noteDropped(1);
    }
    const auto isTooMuch = [&] {
        const size_t queued = m_connection->queuedMemory() + messages.bytes();
        return queued > 0 && queued + bytes > route().maxQueuedBytes;
    };
    const bool dropsOthers =
        route().overflow == WsOverflow::DropOldest || route().overflow == WsOverflow::KeepLatest;
    while (dropsOthers && isTooMuch() && !messages.empty()) {
        if (place == messages.begin()) ++place;
        messages.pop();
        noteDropped(1);
    }
    if (isTooMuch()) return overflowed();
    messages.insert(place, key, std::move(frame));
    noteQueued();
    m_connection->setWriteCompleteWanted(true);
    return WsSendStatus::Queued;
}

WsConnection::Waiting& WsConnection::waiting() {
    if (!m_waiting) m_waiting = std::make_unique<Waiting>();
    return *m_waiting;
}

void WsConnection::sendWaiting() {
    while (m_waiting && !m_waiting->messages.empty() && !isStreaming() &&
           m_connection->queuedBytes() <= handedOverBytes())
        handOver();
}

// The first of the waiting messages, to the connection.
void WsConnection::handOver() { afterSend(m_connection->send(m_waiting->messages.pop())); }

void WsConnection::onWriteComplete(const WsConnectionPtr_t& self) {
    if (state() == State::Open) sendWaiting();
    noteQueued();
    if (m_connection->queuedBytes() > 0) return;
    const auto tell = [&] {
        if (state() == State::Open && route().onDrain) guarded("onDrain", [&] { route().onDrain(self); });
    };
    if (m_waiting && !m_waiting->messages.empty()) {
        // They wait for the last piece of a message, and whoever sends it perhaps for this.
        if (isStreaming() && std::exchange(m_waiting->isPieceQueued, false)) tell();
        return;
    }
    m_connection->setWriteCompleteWanted(false);
    if (!m_waiting) return;
    m_waiting.reset();
    tell();
}

// --- Messages in pieces ---

bool WsConnection::beginMessage(WsOpcode opcode) {
    if (!isOpen()) return false;
    assert(isInLoopThread());
    assert(!isControl(opcode) && opcode != WsOpcode::Continuation);
    if (isStreaming()) return false;
    while (m_waiting && !m_waiting->messages.empty()) handOver();  // what was sent before comes before
    m_streaming = opcode == WsOpcode::Text ? Streaming::TextBegins : Streaming::BinaryBegins;
    return true;
}

WsSendStatus WsConnection::sendPiece(std::string_view piece, bool last) {
    if (!isOpen()) return WsSendStatus::Closed;
    assert(isInLoopThread());
    assert(isStreaming() && "beginMessage comes first");
    WsSendStatus status = WsSendStatus::Closed;
    orAbort([&] { status = sendPieceHere(piece, last); });
    return status;
}

WsSendStatus WsConnection::sendPieceHere(std::string_view piece, bool last) {
    if (!hasRoom(piece.size())) return closeAsTooSlow();  // a message with a gap is none
    m_lastMessage = m_home->loop().now();
    WsOpcode opcode = WsOpcode::Continuation;
    if (m_streaming == Streaming::TextBegins) opcode = WsOpcode::Text;
    if (m_streaming == Streaming::BinaryBegins) opcode = WsOpcode::Binary;
    m_streaming = Streaming::GoesOn;
    const WsSendStatus status = sendFrame(piece, opcode, last, false);
    if (!last) return status;
    m_streaming = Streaming::None;
    sendWaiting();
    return status;
}

// --- Control frames ---

WsSendStatus WsConnection::ping(std::string_view payload) {
    payload = payload.substr(0, kMaxControlPayloadBytes);
    if (!isInLoopThread()) {
        if (!isOpen()) return WsSendStatus::Closed;
        const bool isPosted = post(Posting::IfRoom, heapBytesOfText(payload.size()),
                                   [text = std::string(payload)](WsConnection& self) { self.ping(text); });
        return isPosted ? WsSendStatus::Accepted : WsSendStatus::Dropped;
    }
    if (state() != State::Open || m_connection == nullptr) return WsSendStatus::Closed;
    if (!hasRoom(payload.size())) return WsSendStatus::Dropped;
    return sendFrame(payload, WsOpcode::Ping, true, false);
}

void WsConnection::close(WsCloseCode code, std::string_view reason) {
    if (!isValidCloseCode(static_cast<uint16_t>(code))) code = WsCloseCode::NoStatus;
    if (isInLoopThread()) return orAbort([&] { closeHere(code, reason); });
    if (!isOpen()) return;
    reason = reason.substr(0, kMaxControlPayloadBytes);  // sendClose() cuts it where a character ends
    auto task = [code, text = std::string(reason)](WsConnection& self) { self.closeHere(code, text); };
    postEnd(kCloseAsked, heapBytesOfText(reason.size()), std::move(task));
}

void WsConnection::abort() {
    if (m_state.load(std::memory_order_acquire) == State::Closed) return;
    if (!isInLoopThread()) return postEnd(kAbortAsked, 0, [](WsConnection& self) { self.abort(); });
    if (m_connection == nullptr) return;
    setState(State::Ending);
    m_connection->abort();
}

void WsConnection::endForMemory() noexcept {
    if (m_connection == nullptr) return;
    logger().error("out of memory: a WebSocket connection is closed");
    setState(State::Ending);
    m_connection->close();
}

void WsConnection::closeHere(WsCloseCode code, std::string_view reason) {
    if (state() != State::Open || m_connection == nullptr) return;
    m_ending = std::make_unique<Ending>(Ending{code, std::string(reason)});
    while (m_waiting && !m_waiting->messages.empty() && !isStreaming()) handOver();
    setState(State::Closing);
    sendClose(code, reason);
    resumeReading();  // for the peer's Close
    if (route().closeTimeout <= milliseconds::zero()) return;
    m_ending->timer = m_home->loop().runAfter(saturated(route().closeTimeout), [weak = weak_from_this()] {
        const WsConnectionPtr_t self = weak.lock();
        if (self && self->m_connection != nullptr) self->m_connection->close();
    });
}

void WsConnection::sendClose(WsCloseCode code, std::string_view reason) {
    char payload[kMaxControlPayloadBytes];
    const char* const end = writeClosePayload(payload, static_cast<uint16_t>(code), reason);
    sendFrame({payload, static_cast<size_t>(end - payload)}, WsOpcode::Close, true, false);
}

// RFC 6455 §7.1.7. The peer may still be sending: a reset would take the Close from it, so its end is awaited.
void WsConnection::fail(WsCloseCode code, std::string_view reason) {
    if (m_connection == nullptr || state() > State::Closing) return;
    logger().debug("a WebSocket connection fails with {}: {}", static_cast<int>(code), reason);
    if (state() == State::Open) {
        m_ending = std::make_unique<Ending>(Ending{code, std::string(reason)});
        sendClose(code, reason);
    }
    endConnection(Connection::PeerEnd::Await);
}

// RFC 6455 §5.5.1: the answer has the same code; then the server closes first (§7.1.1).
void WsConnection::onPeerClose(const WsClosePayload& payload) {
    if (state() == State::Open) {
        const auto code = static_cast<WsCloseCode>(payload.code);
        m_ending = std::make_unique<Ending>(Ending{code, std::string(payload.reason)});
        sendClose(code, {});
    }
    endConnection(Connection::PeerEnd::Ignore);
}

void WsConnection::endConnection(Connection::PeerEnd peerEnd) {
    setState(State::Ending);
    m_connection->shutDown(orForever(route().closeTimeout), peerEnd);
}

void WsConnection::onClosed(const WsConnectionPtr_t& self) {
    setState(State::Closed);
    m_connection = nullptr;
    m_queued.store(0, std::memory_order_relaxed);
    IOLoop& loop = m_home->loop();
    if (m_ending && m_ending->timer.isValid()) loop.cancel(m_ending->timer);
    m_home->remove(*this);
    m_receiver.reset();
    m_waiting.reset();
    m_deflate.reset();
    const Ending ending = m_ending ? std::move(*m_ending) : Ending{WsCloseCode::Abnormal, {}};
    m_ending.reset();
    if (route().onClose) guarded("onClose", [&] { route().onClose(self, ending.code, ending.reason); });
}

// --- Topics ---

bool WsConnection::subscribe(std::string_view filter) {
    if (!isOpen()) return false;
    if (isInLoopThread()) return m_home->subscribe(*this, filter);
    if (!isValidTopicFilter(filter)) return false;
    return post(Posting::IfRoom, heapBytesOfText(filter.size()),
                [text = std::string(filter)](WsConnection& self) {
                    if (self.state() == State::Open) self.m_home->subscribe(self, text);
                });
}

void WsConnection::unsubscribe(std::string_view filter) {
    if (!isOpen()) return;
    if (isInLoopThread()) return m_home->unsubscribe(*this, filter);
    if (!isValidTopicFilter(filter)) return;
    post(Posting::Always, heapBytesOfText(filter.size()),
         [text = std::string(filter)](WsConnection& self) { self.m_home->unsubscribe(self, text); });
}

WsPublishStatus WsConnection::publish(std::string_view topic, std::string_view message, WsOpcode opcode) {
    const WsTopicsPtr_t topics = isOpen() ? m_home->topics() : nullptr;
    return topics ? topics->publish(topic, message, opcode) : WsPublishStatus::Closed;
}

}  // namespace tnet
