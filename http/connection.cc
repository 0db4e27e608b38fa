#include "http/connection.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <charconv>
#include <exception>
#include <new>
#include <utility>

#include "http/trailers.h"
#include "tnet/address_key.h"
#include "tnet/durations.h"
#include "tnet/log.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;

// What a connection may do with its input: 64 requests, or 256 pieces of bodies. Bytes: no request begins while more
// than highWaterBytes of answers are queued.
constexpr TurnBudget kRequestTurn{256, SIZE_MAX};
constexpr uint32_t kStepsOfRequest = 3;  // beside its one step
// What a streamed answer may write before its writer is told to wait, though the client would take more.
constexpr TurnBudget kWriteTurn{1024, 256 << 10};
constexpr uint32_t kMostPieces = 1 << 20;                 // in one round of the loop, whatever they are told
constexpr size_t kMaxPending = IOLoop::kReadBufferBytes;  // input kept while a handler is at work
constexpr size_t kCopiedBody = 4 << 10;                   // up to here a body is copied behind its head
constexpr milliseconds kPeerLook{2'000};    // how often a client is looked at whose input is not read
constexpr milliseconds kCrossingTime{500};  // for a request that crosses the end of its connection
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::optional<uint64_t> announcedLength(const HttpHeaders& headers) {
    const std::string_view text = headers.get("Content-Length");
    uint64_t length = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return length;
}

// What a handler may answer; anything else leaves the client waiting, or is no status line.
bool isFinalStatus(int status) { return status >= 200 && status <= 999; }

HttpResponse answerInstead(const HttpRequest& request, int status) {
    logger().error("handler of {} {} answered status {}", methodName(request.method()), request.path(),
                   status);
    return HttpResponse::error(500);
}

// Once: what one answer of a handler does, all of them do.
void warnOfTrailer(const HttpRequest& request, std::string_view name) {
    static std::atomic<bool> wasSaid{false};
    if (wasSaid.exchange(true, std::memory_order_relaxed)) return;
    logger().warn("handler of {} {}: {} may not be a trailer and is left out", methodName(request.method()),
                  request.path(), name);
}

// Size, piece and line end in memory of their own size, as it counts while it is queued.
std::string chunkOf(std::string_view piece) {
    std::array<char, 18> size;
    char* end = std::to_chars(size.data(), size.data() + 16, piece.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    const std::string_view line(size.data(), static_cast<size_t>(end - size.data()));
    std::string chunk;
    chunk.reserve(line.size() + piece.size() + 2);
    return chunk.append(line).append(piece).append("\r\n");
}

// A body of a file that is as long as it is said to be. What has no size (a pipe, a device) is taken at its word.
bool isThere(const HttpResponse::FileBody& body) {
    if (body.size == 0) return true;
    struct stat status {};
    if (!body.file || !body.file->valid() || ::fstat(body.file->get(), &status) != 0) return false;
    if (!S_ISREG(status.st_mode)) return !S_ISDIR(status.st_mode);
    const auto fileSize = static_cast<uint64_t>(status.st_size);
    const auto offset = static_cast<uint64_t>(body.offset);  // beyond any file if it is negative
    return offset <= fileSize && body.size <= fileSize - offset;
}

HttpResponse answerWithoutFile(const HttpRequest& request) {
    logger().error("handler of {} {} answered with a file that is not there, or shorter than said",
                   methodName(request.method()), request.path());
    return HttpResponse::error(500);
}

void appendFields(std::string& out, const HttpHeaders& fields) {
    const size_t before = out.size();
    out.resize(before + fields.wireSize());
    fields.writeTo(out.data() + before);
}

}  // namespace

void HttpConnection::attach(HttpService& service, const ConnectionPtr_t& connection) {
    auto self = std::make_shared<HttpConnection>(service, *connection);
    connection->setWriteCompleteWanted(false);
    connection->setHalfCloseAllowed(true);
    connection->setSendTimeout(service.limits().sendTimeout, service.limits().sendBytesPerSecond);
    connection->setEventCallback(
        [self = std::move(self)](const ConnectionPtr_t&, ConnEvent event, const void* context) {
            self->onEvent(event, context);
        });
}

HttpConnection::HttpConnection(HttpService& service, Connection& connection)
    : m_service(service), m_connection(connection) {}

HttpConnection::~HttpConnection() {
    // Replaced by whoever took the callback, without an upgrade: the handler's client is gone.
    if (m_work) onClose();
}

void HttpConnection::onEvent(ConnEvent event, const void* context) {
    switch (event) {
        case Conn_EstablishedEvent: return m_service.addIdle(*this);
        case Conn_ReadEvent: return onRead(static_cast<const StackBuffer*>(context)->view());
        case Conn_WriteCompleteEvent: return onWriteComplete();
        case Conn_CloseEvent: return onClose();
        case Conn_ErrorEvent:
            if (m_work) m_work->outcome = HttpOutcome::ClientGone;
            return;
        case Conn_ConnectEvent:
        case Conn_ConnectingEvent: return;
    }
}

// --- Input ---

void HttpConnection::onRead(std::string_view bytes) {
    if (m_ended) return;
    if (bytes.empty()) return onPeerEnd();
    if (m_work && (!m_work->pending.empty() || !mayParse())) return keepForLater(bytes);
    process(bytes);
}

// RFC 9112 §9.6: the client sends nothing more, but may be waiting for answers.
void HttpConnection::onPeerEnd() {
    m_peerEnded = true;
    if (!m_work) return clientLeft();
    m_work->peerEnded = m_service.loop().now();
    proceedAfterPeerEnd();
}

// What it has sent whole is answered, for as long as halfCloseGrace allows.
void HttpConnection::proceedAfterPeerEnd() {
    const bool isComplete = m_work->input == HttpWork::Input::Complete;
    if (m_work->pending.empty() && !isComplete)
        return clientLeft();                // in the middle of a request, or of none
    if (!isComplete && mayParse()) return;  // there are more, which have their turn
    if (m_service.limits().halfCloseGrace <= milliseconds::zero()) return clientLeft();
    watchDeadline();
}

// The client counts as gone. Earlier answers are delivered.
void HttpConnection::clientLeft() {
    const bool isEndOfBody = m_work && m_work->output == HttpWork::Output::Streaming &&
                             m_work->framing == ResponseFraming::Body::UntilClose;
    if (isEndOfBody) {
        m_connection.abort();  // or it would take what it got for all of it
    } else {
        shutDown(Connection::PeerEnd::Ignore);
    }
    onClose();
}

void HttpConnection::process(std::string_view input) {
    m_processing = true;
    Turn turn(kRequestTurn);
    while (!m_ended && step(input, turn)) {
    }
    m_processing = false;
    if (m_ended || !m_work) return;
    m_turnOver = turn.isOver();
    if (!input.empty()) keepForLater(input);
    if (isTurnOver()) {
        // What waits was sent before the end of the client, so that may not be noticed first.
        m_connection.pauseReading();
        scheduleResume();
    }
    if (m_peerEnded) return proceedAfterPeerEnd();
    watchDeadline();
}

// There is input that waits for the others to have their turn.
bool HttpConnection::isTurnOver() const {
    return m_work && m_turnOver && !m_work->pending.empty() && mayParse();
}

// False: this input is used up, or what is left of it must wait.
bool HttpConnection::step(std::string_view& input, Turn& turn) {
    if (!m_connection.isConnected()) return false;
    if (m_work && m_work->takeOver) {
        takeOver(input);
        return false;
    }
    if (!m_work || m_work->input == HttpWork::Input::None) {
        if (input.empty()) {
            becomeIdle();
            return false;
        }
        if (turn.isOver() || !beginRequest()) return false;
        turn.spend(0, kStepsOfRequest);
    }
    if (!mayParse()) return false;
    if (turn.isOver() && !input.empty()) return false;
    turn.spend(0);
    const HttpParser::Event event = m_work->parser.parse(input);
    m_moreInput = !input.empty();
    switch (event) {
        case HttpParser::Event::NeedMore:
            if (bodyTooLarge()) refuse(413, "body too large");
            return false;
        case HttpParser::Event::Headers: onHead(); return true;
        case HttpParser::Event::Body:
            if (bodyTooLarge()) {
                refuse(413, "body too large");
            } else {
                onBodyPiece(m_work->parser.bodyPiece());
            }
            return true;
        case HttpParser::Event::Complete: onRequestComplete(); return true;
        case HttpParser::Event::Error:
            refuse(m_work->parser.errorStatus(), m_work->parser.errorReason());
            return false;
    }
    return false;
}

bool HttpConnection::mayParse() const {
    switch (m_work->input) {
        case HttpWork::Input::None:
        case HttpWork::Input::Head: return true;
        case HttpWork::Input::Body: return !m_work->streamsBody || m_work->exchange->wantsBody();
        case HttpWork::Input::Complete: return false;
    }
    return false;
}

// The client is ahead of the handler: keep a little, then let TCP slow it.
void HttpConnection::keepForLater(std::string_view input) {
    m_work->pending.append(input);
    if (m_work->pending.size() < kMaxPending) return;
    m_connection.pauseReading();
    m_work->lookedAt = m_service.loop().now();
    if (!m_processing) watchDeadline();
}

void HttpConnection::scheduleResume() {
    if (m_processing) return;  // step() looks again
    m_service.loop().addCallback([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->orClose([&] { self->resume(); });
    });
}

// Runs what belongs to no event of the connection, which memory that runs out costs all the same.
template <class Call>
void HttpConnection::orClose(Call call) {
    try {
        call();
    } catch (const std::bad_alloc&) {
        logger().error("closed: out of memory");
        m_connection.close();
    }
}

void HttpConnection::resume() {
    if (m_ended || !m_work || m_processing) return;
    std::string input = std::exchange(m_work->pending, {});
    if (input.empty() || m_work->takeOver) {
        process(input);
    } else {
        m_connection.redeliver(std::move(input));  // as an event: its answers leave in one write
    }
    if (m_ended || waitsForRoom() || isTurnOver()) return;
    if (!m_work || m_work->pending.size() < kMaxPending) m_connection.resumeReading();
}

// Between two requests, with too much queued to begin the next.
bool HttpConnection::waitsForRoom() const { return m_work && m_work->input == HttpWork::Input::None; }

// False: too much is queued already; the request waits until it has drained, with a fast reader for the next round.
bool HttpConnection::beginRequest() {
    if (m_connection.queuedBytes() > m_service.limits().highWaterBytes) {
        m_connection.setWriteCompleteWanted(true);
        if (!m_work) m_work = m_service.takeWork();
        unlink();
        m_connection.pauseReading();
        return false;
    }
    if (!m_work) m_work = m_service.takeWork();
    unlink();
    HttpWork& work = *m_work;
    if (!work.exchange) work.exchange = std::make_shared<HttpExchange>();
    work.exchange->open(this, m_service.loop().tasks(), m_service.limits().highWaterBytes);
    work.exchange->request.m_peer = m_connection.peer();
    work.exchange->request.m_security = m_connection.transport()->security();
    work.parser.begin(&work.exchange->request);
    work.input = HttpWork::Input::Head;
    work.began = m_service.loop().now();
    return true;
}

// The head of a request with a body is complete.
void HttpConnection::onHead() {
    HttpWork& work = *m_work;
    HttpRequest& request = work.exchange->request;
    work.input = HttpWork::Input::Body;
    work.bodyBegan = m_service.loop().now();
    if (answerTooMany()) return;
    work.match = m_service.router().match(request);
    const HttpRoute* const route = work.match->route != nullptr ? work.match->route->get() : nullptr;
    work.maxBodyBytes = m_service.limits().bodyBytes;
    if (route != nullptr) work.maxBodyBytes = route->options.maxBodyBytes.value_or(work.maxBodyBytes);
    if (bodyTooLarge()) return refuse(413, "body too large");
    // RFC 9110 §10.1.1: who waits for a 100 may be told the end of it at once.
    const bool isRefused = route == nullptr && request.m_expectContinue;
    if (isRefused || (route != nullptr && route->options.streamBody)) {
        work.streamsBody = true;  // what is refused is read by nobody
        return dispatch();
    }
    continueIfExpected();
}

// True: its client has sent too many, and was told so.
bool HttpConnection::answerTooMany() {
    AddressRate* const rate = m_service.addressRate();
    if (rate == nullptr) return false;
    const Duration wait = rate->take(addressKey(m_connection.peer()), m_service.loop().now());
    if (wait <= Duration::zero()) return false;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
    writeResponse(HttpResponse::error(429).header("Retry-After", std::to_string(seconds)));
    return true;
}

// As soon as it is announced, not when it has come.
bool HttpConnection::bodyTooLarge() const {
    return m_work->input == HttpWork::Input::Body && m_work->parser.announcedBytes() > m_work->maxBodyBytes;
}

void HttpConnection::continueIfExpected() {
    HttpRequest& request = m_work->exchange->request;
    if (!std::exchange(request.m_expectContinue, false)) return;
    // A connection that does not take it has ended, which its next event tells.
    if (request.isHttp11() && m_work->output == HttpWork::Output::Waiting) m_connection.send(kContinue);
}

void HttpConnection::onBodyPiece(std::string_view piece) {
    HttpWork& work = *m_work;
    work.bodyBytes += piece.size();
    if (work.streamsBody) {
        work.handlerBegan = m_service.loop().now();  // it waits for the client, not the client for it
        const HttpExchangePtr_t alive = work.exchange;
        alive->deliverBody(piece, false);
    } else {
        work.exchange->request.m_body.append(piece);
    }
}

void HttpConnection::onRequestComplete() {
    HttpWork& work = *m_work;
    work.input = HttpWork::Input::Complete;
    if (!work.streamsBody) return dispatch();
    const HttpExchangePtr_t alive = work.exchange;
    alive->deliverBody({}, true);
}

// --- Handling ---

void HttpConnection::dispatch() {
    HttpWork& work = *m_work;
    const HttpExchangePtr_t& exchange = work.exchange;
    HttpRequest& request = exchange->request;
    if (!work.match) {
        // Its connection is kept: to make it connect anew would cost both sides more.
        work.keepAlive = request.m_keepAlive && request.method() != HttpMethod::Connect;
        if (answerTooMany()) return;
        work.match = m_service.router().match(request);
    }
    work.handlerBegan = m_service.loop().now();
    // Behind a refused path or a CONNECT that nobody took nothing can be told apart safely.
    const HttpRouter::Match& match = *work.match;
    work.keepAlive = request.m_keepAlive && !match.isMalformed && request.method() != HttpMethod::Connect;
    if (match.route == nullptr) {
        HttpResponse response = m_service.router().answerWithoutRoute(request, match);
        if (const HttpRoutePtr_t wrapped = m_service.router().wrapped(response)) {
            return HttpRouter::run(wrapped, HttpResponder(exchange));
        }
        return void(writeResponse(std::move(response)));
    }
    const HttpRoute& route = **match.route;
    m_service.noteHandler(route);
    if (route.handler && route.chain.empty()) return void(writeResponse(callHandler(route)));
    HttpRouter::run(*match.route, HttpResponder(exchange));
}

HttpResponse HttpConnection::callHandler(const HttpRoute& route) const {
    const HttpRequest& request = m_work->exchange->request;
    try {
        return route.handler(request);
    } catch (const std::exception& error) {
        logger().error("handler of {} {} threw: {}", methodName(request.method()), request.path(),
                       error.what());
    } catch (...) {
        logger().error("handler of {} {} threw something", methodName(request.method()), request.path());
    }
    return HttpResponse::error(500);
}

// The peer sent what it must not, or was too slow: tell it, and close.
void HttpConnection::refuse(int status, const char* reason) {
    logger().debug("refused with {}: {}", status, reason);
    m_work->keepAlive = false;
    m_work->cutOff = true;
    if (m_work->output == HttpWork::Output::Streaming) return cutOff();  // a head is out already
    writeResponse(HttpResponse::error(status));
}

// --- Output ---

ResponseFraming::Connection HttpConnection::connectionField() const {
    const HttpRequest& request = m_work->exchange->request;
    if (!m_work->keepAlive) return ResponseFraming::Connection::Close;
    return request.isHttp11() ? ResponseFraming::Connection::Unsaid : ResponseFraming::Connection::KeepAlive;
}

// False: the connection does not take it.
bool HttpConnection::writeHead(const HttpResponse& head, ResponseFraming framing,
                               std::string_view smallBody) {
    HttpWork& work = *m_work;
    if (isLastAnswer()) work.keepAlive = false;
    work.status = head.status();
    framing.connection = connectionField();
    char* const begin = m_connection.reserveSend(responseHeadBound(head) + smallBody.size());
    if (begin == nullptr) return false;
    char* const end = writeResponseHead(begin, head, framing, m_service.dateLine());
    std::copy(smallBody.begin(), smallBody.end(), end);
    const size_t size = static_cast<size_t>(end - begin) + smallBody.size();
    return m_connection.commitSend(size).status == SendStatus::Accepted;
}

// False: the connection does not take it.
bool HttpConnection::writeBody(HttpResponse& response) {
    SendResult sent{};
    if (const SharedBytesPtr_t* const shared = response.sharedBody()) {
        sent = m_connection.send(*shared);
    } else if (const HttpResponse::FileBody* const range = response.fileBody()) {
        sent = m_connection.sendFile(range->file, range->offset, range->size);
    } else {
        sent = m_connection.send(std::move(response.text()));
    }
    return sent.status == SendStatus::Accepted;
}

// False: the client is gone.
bool HttpConnection::writeResponse(HttpResponse&& response) {
    HttpWork& work = *m_work;
    if (!isFinalStatus(response.status()))
        response = answerInstead(work.exchange->request, response.status());
    if (response.fileBody() != nullptr && !isThere(*response.fileBody()))
        response = answerWithoutFile(work.exchange->request);
    const bool isHead = work.exchange->request.method() == HttpMethod::Head;
    ResponseFraming framing;
    framing.length = response.bodySize();
    if (isHead) framing.length = announcedLength(response.headers()).value_or(framing.length);
    if (!statusHasBody(response.status())) framing = framingWithoutBody(response.status());
    const bool sendsBody = !isHead && framing.body == ResponseFraming::Body::Length && framing.length > 0;
    const std::string& text = response.text();
    const bool copied = sendsBody && !text.empty() && text.size() <= kCopiedBody;
    if (!writeHead(response, framing, copied ? std::string_view(text) : std::string_view()) ||
        (sendsBody && !copied && !writeBody(response))) {
        return endAnswer(HttpOutcome::ClientGone);
    }
    if (sendsBody) work.sentBytes = framing.length;
    return endAnswer(HttpOutcome::Complete);
}

bool HttpConnection::isLastAnswer() const {
    // What was not read of the request cannot be told from the next one.
    if (m_work->input != HttpWork::Input::Complete) return true;
    if (m_peerEnded && !hasMoreInput()) return true;
    // A client that was told "close" sends nothing more, but pipelined requests may be here already.
    return m_service.isDraining() && (m_service.isDrainTimeOver() || !hasMoreInput());
}

// Behind the request that is being answered.
bool HttpConnection::hasMoreInput() const {
    return !m_work->pending.empty() || (m_processing && m_moreInput) || m_connection.hasInput();
}

// Every answer ends here, and what its writer, its client and the access log learn of that. True: completely.
bool HttpConnection::endAnswer(HttpOutcome outcome) {
    switch (outcome) {
        case HttpOutcome::Complete: finishRequest(); return true;
        case HttpOutcome::ClientGone:
            break;  // the connection failed or was closed: Conn_CloseEvent is on its way
        case HttpOutcome::CutOff: cutOff(); return false;
    }
    m_ended = true;
    m_work->output = HttpWork::Output::Complete;
    m_work->exchange->close();
    return false;
}

// The answer is queued whole.
void HttpConnection::finishRequest() {
    if (m_work->output == HttpWork::Output::Streaming) m_connection.setWriteCompleteWanted(false);
    m_work->output = HttpWork::Output::Complete;
    m_service.finished(*m_work);
    m_work->exchange->finish(m_work->cutOff);
    if (!m_work->keepAlive) return endConnection();
    m_work->reset();
    // Behind process() its loop goes on; elsewhere the loop of loops does.
    if (m_processing) return;
    if (m_work->pending.empty()) return becomeIdle();
    scheduleResume();
}

// Delivers what is queued and closes. The peer may still be sending what was refused: a reset would
// take the answer from it, so its end is awaited (RFC 9112 §9.6).
void HttpConnection::endConnection() {
    const bool inputLeft = m_work && (m_work->input != HttpWork::Input::Complete ||
                                      !m_work->pending.empty() || (m_processing && m_moreInput));
    // Draining, the client may have pipelined a request before it was told that this is the last answer.
    const bool isAwaited = inputLeft || m_service.isDraining();
    m_ended = true;
    unlink();
    if (m_work) m_service.giveBack(std::move(m_work));
    shutDown(isAwaited ? Connection::PeerEnd::Await : Connection::PeerEnd::Ignore);
}

// A peer that does not take the last answer has as long as with any other.
void HttpConnection::shutDown(Connection::PeerEnd peerEnd) {
    milliseconds after = Connection::kDefaultShutDownTime;
    if (isSending() && !m_connection.flush()) {
        after = m_service.limits().sendTimeout;
        if (after <= milliseconds::zero()) after = milliseconds::max();
    }
    m_connection.shutDown(after, peerEnd);
}

// Ends without the end of the body that is being streamed, so that the client takes it for broken off.
// Answers before it are delivered.
void HttpConnection::cutOff() {
    if (m_ended) return;
    m_ended = true;
    m_work->output = HttpWork::Output::Complete;
    m_work->outcome = HttpOutcome::CutOff;
    m_work->exchange->close();
    // The end of the connection would be the end of the body, unless it is a reset.
    if (m_work->framing == ResponseFraming::Body::UntilClose) return m_connection.abort();
    shutDown(Connection::PeerEnd::Ignore);
}

void HttpConnection::becomeIdle() {
    if (m_peerEnded) return clientLeft();
    if (m_work) m_service.giveBack(std::move(m_work));
    m_service.addIdle(*this);
    if (!m_processing) m_connection.resumeReading();
}

// A request may cross our FIN on its way; nobody can prevent that, and nothing can be answered behind a FIN. It is
// read and dropped for a moment, so that its client meets a clean end of stream instead of a reset: not a byte of
// an answer means that the request was not looked at, and a client sends it again on another connection (RFC 9112
// §9.3.1; RFC 9110 §9.2.2). To meet that seldom is all that is left: nothing has arrived a few instructions ago.
bool HttpConnection::endIdle() {
    if (m_connection.hasInput()) return false;
    unlink();
    m_ended = true;
    if (isSending()) {
        shutDown(Connection::PeerEnd::Await);
    } else {
        m_connection.shutDown(kCrossingTime, Connection::PeerEnd::Await);
    }
    return true;
}

void HttpConnection::onWriteComplete() {
    if (m_ended || !m_work) return;
    const HttpExchangePtr_t exchange = m_work->exchange;
    if (waitsForRoom()) {
        m_connection.setWriteCompleteWanted(false);
        return scheduleResume();
    }
    if (m_work->output != HttpWork::Output::Streaming) return;
    if (isWriteTurnOver()) return checkDrain(*exchange);
    exchange->setQueued(0);
    exchange->tellDrained();
}

void HttpConnection::onClose() {
    m_ended = true;
    unlink();
    if (!m_work) return;
    const HttpExchangePtr_t exchange = m_work->exchange;
    if (m_work->input != HttpWork::Input::None) {
        // Neither its end nor an error was told: this side closed, as a drain does at its deadline.
        if (m_work->outcome == HttpOutcome::Complete)
            m_work->outcome = m_peerEnded ? HttpOutcome::ClientGone : HttpOutcome::CutOff;
        m_service.finished(*m_work);
    }
    m_service.giveBack(std::move(m_work));
    if (exchange) exchange->finish(true);
}

// --- What handles ask for (HttpSink) ---

bool HttpConnection::sendResponse(HttpExchange&, HttpResponse response) {
    return writeResponse(std::move(response));
}

bool HttpConnection::sendHead(HttpExchange& exchange, HttpResponse head) {
    HttpWork& work = *m_work;
    if (!isFinalStatus(head.status())) return writeResponse(answerInstead(exchange.request, head.status()));
    const auto length = announcedLength(head.headers());
    ResponseFraming framing;
    if (!statusHasBody(head.status())) {
        framing = framingWithoutBody(head.status());
    } else if (length) {
        framing.length = *length;
    } else if (exchange.request.isHttp11()) {
        framing.body = ResponseFraming::Body::Chunked;
    } else {
        framing.body = ResponseFraming::Body::UntilClose;
        work.keepAlive = false;
    }
    if (!writeHead(head, framing, {})) return endAnswer(HttpOutcome::ClientGone);
    const bool hasBody = statusHasBody(head.status()) && exchange.request.method() != HttpMethod::Head;
    if (!hasBody) return endAnswer(HttpOutcome::Complete), false;  // its head is all of it: RFC 9110 §6.4.1
    work.output = HttpWork::Output::Streaming;
    work.framing = framing.body;
    work.lengthLeft = framing.length;
    m_connection.setWriteCompleteWanted(true);
    if (!m_processing) watchDeadline();
    return true;
}

HttpWrote HttpConnection::sendPiece(HttpExchange& exchange, std::string piece) {
    HttpWork& work = *m_work;
    if (work.output != HttpWork::Output::Streaming) return HttpWrote::Closed;
    const size_t size = piece.size();
    if (work.framing == ResponseFraming::Body::Length) {
        if (size > work.lengthLeft) {
            logger().error("the body of {} is longer than its Content-Length", exchange.request.path());
            return endAnswer(HttpOutcome::CutOff), HttpWrote::Closed;
        }
        work.lengthLeft -= size;
    }
    if (writesTooMuch()) return doesNotWait();
    if (work.framing == ResponseFraming::Body::Chunked) piece = chunkOf(piece);
    const SendResult sent = m_connection.send(std::move(piece));
    if (sent.status == SendStatus::Overflow) return doesNotWait();
    if (sent.status == SendStatus::Closed) return endAnswer(HttpOutcome::ClientGone), HttpWrote::Closed;
    work.sentBytes += size;
    work.writeTurn.spend(size);
    work.patience.spend(size);
    exchange.setQueued(sent.queuedBytes);
    const bool waits = sent.queuedBytes > m_service.limits().highWaterBytes || work.writeTurn.isOver();
    return waits ? HttpWrote::Wait : HttpWrote::Accepted;
}

// True: since the others had their turn it has written more than may be queued, whatever it was told. With a client
// that takes all of it that would go on for ever.
bool HttpConnection::writesTooMuch() {
    HttpWork& work = *m_work;
    const uint64_t round = m_service.loop().round();
    if (std::exchange(work.writeRound, round) != round) {
        work.writeTurn = Turn(kWriteTurn);
        work.patience = Turn({kMostPieces, m_connection.maxQueuedBytes()});
    }
    return work.patience.isOver();
}

HttpWrote HttpConnection::doesNotWait() {
    const HttpRequest& request = m_work->exchange->request;
    logger().error("the answer to {} {} breaks off: its writer goes on after Wait",
                   methodName(request.method()), request.path());
    endAnswer(HttpOutcome::CutOff);
    return HttpWrote::Closed;
}

bool HttpConnection::isWriteTurnOver() const {
    return m_work->writeRound == m_service.loop().round() && m_work->writeTurn.isOver();
}

bool HttpConnection::sendEnd(HttpExchange& exchange, HttpHeaders trailers) {
    HttpWork& work = *m_work;
    if (work.output != HttpWork::Output::Streaming) return false;
    if (work.framing == ResponseFraming::Body::Length && work.lengthLeft > 0) {
        logger().error("the body of {} is shorter than its Content-Length", exchange.request.path());
        return endAnswer(HttpOutcome::CutOff);
    }
    if (work.framing == ResponseFraming::Body::Chunked) {
        std::string out("0\r\n");
        const std::string_view leftOut = appendTrailers(out, trailers);
        if (!leftOut.empty()) warnOfTrailer(exchange.request, leftOut);
        const SendResult sent = m_connection.send(out.append("\r\n"));
        if (sent.status != SendStatus::Accepted) return endAnswer(HttpOutcome::ClientGone);
    }
    return endAnswer(HttpOutcome::Complete);
}

void HttpConnection::abandon(HttpExchange&) { endAnswer(HttpOutcome::CutOff); }

void HttpConnection::readBody(HttpExchange& exchange) {
    HttpWork& work = *m_work;
    if (work.input == HttpWork::Input::Complete) return deliverWhole(exchange);
    continueIfExpected();
    // While the handler did not want it, the body was not slow.
    const auto earned =
        milliseconds(work.bodyBytes * 1000 / std::max<size_t>(m_service.limits().bodyBytesPerSecond, 1));
    work.bodyBegan = std::max<TimePoint>(work.bodyBegan, m_service.loop().now() - earned);
    scheduleResume();
}

// To a handler that reads the body in pieces, of a request that was complete when it was called.
void HttpConnection::deliverWhole(HttpExchange& exchange) {
    if (m_work->streamsBody || !exchange.wantsBody()) return;
    m_work->streamsBody = true;
    m_service.loop().addCallback([this, exchange = exchange.shared_from_this()] {
        if (exchange->sink() != this) return;
        orClose([&] { exchange->deliverBody(exchange->request.body(), true); });
    });
}

void HttpConnection::checkDrain(HttpExchange& exchange) {
    m_service.loop().addCallback([this, exchange = exchange.shared_from_this()] {
        if (exchange->sink() != this) return;  // finished meanwhile, perhaps with this connection
        if (isWriteTurnOver()) return orClose([&] { checkDrain(*exchange); });  // in the next round
        exchange->setQueued(m_connection.queuedBytes());
        orClose([&] { exchange->tellDrained(); });
    });
}

bool HttpConnection::upgrade(HttpExchange& exchange, HttpResponse head, HttpTakeOver_t takeOver) {
    HttpWork& work = *m_work;
    const HttpRoute* const route = work.match->route != nullptr ? work.match->route->get() : nullptr;
    if (route == nullptr || route->upgradeToken.empty()) {
        logger().error("handler of {} upgrades, but its route is none for that", exchange.request.path());
        return writeResponse(HttpResponse::error(500));
    }
    if (m_peerEnded) {
        // The new layer would not learn of the end.
        m_connection.shutDown();
        return endAnswer(HttpOutcome::ClientGone);
    }
    // The new layer was told to end before it began.
    if (m_service.isDraining()) return writeResponse(HttpResponse::error(503));
    std::string out("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
    for (const std::string_view name : {"Connection", "Content-Length", "Transfer-Encoding"})
        head.headers().remove(name);
    if (!head.headers().has("Upgrade")) head.header("Upgrade", route->upgradeToken);
    appendFields(out, head.headers());
    if (m_connection.send(out.append("\r\n")).status != SendStatus::Accepted)
        return endAnswer(HttpOutcome::ClientGone);
    work.status = 101;
    work.takeOver = std::move(takeOver);
    scheduleResume();
    return true;
}

// Hands the connection on, with what came behind the request. This object is gone afterwards.
void HttpConnection::takeOver(std::string_view leftover) {
    const auto self = shared_from_this();
    const ConnectionPtr_t connection = m_connection.shared_from_this();
    const HttpTakeOver_t take = std::move(m_work->takeOver);
    std::string bytes = m_work->pending + std::string(leftover);
    if (m_peerEnded) return clientLeft();  // the new layer would not be told
    m_work->exchange->finish(false);
    m_service.finished(*m_work);
    m_service.giveBack(std::move(m_work));
    m_ended = true;
    unlink();
    connection->setWriteCompleteWanted(true);
    connection->setHalfCloseAllowed(false);
    connection->setSendTimeout(milliseconds::zero());
    connection->resumeReading();  // the new layer may pause it again
    if (!tookOver(take, connection)) return connection->close();
    if (!bytes.empty()) connection->redeliver(std::move(bytes));
}

// False: it threw, and what is left of it is no owner.
bool HttpConnection::tookOver(const HttpTakeOver_t& take, const ConnectionPtr_t& connection) {
    try {
        take(connection);
        return true;
    } catch (const std::exception& error) {
        logger().error("closed: the new owner of a connection threw: {}", error.what());
    } catch (...) {
        logger().error("closed: the new owner of a connection threw something");
    }
    return false;
}

// --- Deadlines ---

std::optional<HttpConnection::Deadline> HttpConnection::nextDeadline() const {
    const HttpWork& work = *m_work;
    const HttpLimits& limits = m_service.limits();
    std::optional<Deadline> next;
    const auto consider = [&next](TimePoint begin, milliseconds timeout, Deadline::Kind kind) {
        if (timeout <= milliseconds::zero()) return;
        const TimePoint at = timeAfter(begin, timeout);
        if (at == TimePoint::max() || (next && next->at <= at)) return;
        next = Deadline{at, kind};
    };
    if (work.input == HttpWork::Input::Head) consider(work.began, limits.headerTimeout, Deadline::Kind::Head);
    if (work.input == HttpWork::Input::Body && mayParse() && limits.bodyBytesPerSecond > 0) {
        // When the body will be below its rate if nothing more of it comes.
        const auto earned = milliseconds(work.bodyBytes * 1000 / limits.bodyBytesPerSecond);
        consider(work.bodyBegan + earned, limits.bodyGrace, Deadline::Kind::Body);
    }
    const bool handling = work.streamsBody || work.input == HttpWork::Input::Complete;
    if (handling && work.output == HttpWork::Output::Waiting && !work.takeOver) {
        consider(work.handlerBegan, limits.handlerTimeout, Deadline::Kind::Handler);
    }
    if (work.output == HttpWork::Output::Streaming)
        consider(m_connection.lastActivity(), limits.streamIdleTimeout, Deadline::Kind::Stream);
    if (m_peerEnded) {
        consider(work.peerEnded, limits.halfCloseGrace, Deadline::Kind::PeerEnd);
    } else if (work.pending.size() >= kMaxPending) {
        consider(work.lookedAt, kPeerLook, Deadline::Kind::Look);
    }
    return next;
}

// A deadline that moves back is found to have moved when its timer fires; one that moves forward needs
// a new timer. Requests that are answered at once never come here.
void HttpConnection::watchDeadline() {
    HttpWork& work = *m_work;
    const auto next = nextDeadline();
    if (!next || (work.timer.isValid() && work.timerDeadline <= next->at)) return;
    IOLoop& loop = m_service.loop();
    if (work.timer.isValid()) loop.cancel(work.timer);
    work.timerDeadline = next->at;
    // Cancelled when the work goes back, which is before this object is gone.
    work.timer =
        loop.runAfter(timeUntil(loop.clock().now(), next->at), [this] { orClose([this] { onDeadline(); }); });
}

void HttpConnection::onDeadline() {
    m_work->timer = {};
    const auto due = nextDeadline();
    if (!due || due->at > m_service.loop().now()) return watchDeadline();
    switch (due->kind) {
        case Deadline::Kind::Head: return refuse(408, "the head came too slowly");
        case Deadline::Kind::Body: return refuse(408, "the body came too slowly");
        case Deadline::Kind::Handler: return refuse(503, "the handler took too long");
        case Deadline::Kind::Stream: return streamIsIdle();
        case Deadline::Kind::PeerEnd: return clientLeft();
        case Deadline::Kind::Look: return lookAtPeer();
    }
}

void HttpConnection::streamIsIdle() {
    const HttpRequest& request = m_work->exchange->request;
    logger().warn("the answer to {} {} is cut off: nothing was written or taken for {} ms",
                  methodName(request.method()), request.path(), m_service.limits().streamIdleTimeout.count());
    endAnswer(HttpOutcome::CutOff);
}

// Its end lies behind input that nobody reads as long as the handler is at work.
void HttpConnection::lookAtPeer() {
    if (m_connection.hasPeerEnded()) return onPeerEnd();
    m_work->lookedAt = m_service.loop().now();
    watchDeadline();
}

}  // namespace tnet
