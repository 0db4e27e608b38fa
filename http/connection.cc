#include "http/connection.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <exception>
#include <new>
#include <utility>

#include "tnet/address_key.h"
#include "tnet/log.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;

// A turn: 64 requests, or 256 pieces of bodies; then the other connections have theirs.
constexpr int16_t kTurn = 256;
constexpr int16_t kTurnOfRequest = 3;                     // beside its one step
constexpr size_t kMaxPending = IOLoop::kReadBufferBytes;  // input kept while a handler is at work
constexpr size_t kCopiedBody = 4 << 10;                   // up to here a body is copied behind its head
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

void appendFields(std::string& out, const HttpHeaders& fields) {
    const size_t before = out.size();
    out.resize(before + fields.wireSize());
    fields.writeTo(out.data() + before);
}

}  // namespace

void HttpConnection::attach(HttpService& service, const ConnectionPtr_t& connection) {
    auto self = std::make_shared<HttpConnection>(service, *connection);
    connection->setWriteCompleteWanted(false);
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
        case Conn_ConnectEvent:
        case Conn_ConnectingEvent:
        case Conn_ErrorEvent: return;
    }
}

// --- Input ---

void HttpConnection::onRead(std::string_view bytes) {
    if (m_ended) return;
    if (m_work && (!m_work->pending.empty() || !mayParse())) return keepForLater(bytes);
    process(bytes);
}

void HttpConnection::process(std::string_view input) {
    m_processing = true;
    m_turnLeft = kTurn;
    while (!m_ended && step(input)) {
    }
    m_processing = false;
    if (m_ended || !m_work) return;
    if (!input.empty()) keepForLater(input);
    if (isTurnOver()) {
        // What waits was sent before the end of the client, so that may not be noticed first.
        m_connection.pauseReading();
        scheduleResume();
    }
    watchDeadline();
}

// There is input that waits for the others to have their turn.
bool HttpConnection::isTurnOver() const {
    return m_work && m_turnLeft <= 0 && !m_work->pending.empty() && mayParse();
}

// False: this input is used up, or what is left of it must wait.
bool HttpConnection::step(std::string_view& input) {
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
        if (m_turnLeft <= 0 || !beginRequest()) return false;
        m_turnLeft = static_cast<int16_t>(m_turnLeft - kTurnOfRequest);
    }
    if (!mayParse()) return false;
    if (m_turnLeft <= 0 && !input.empty()) return false;
    --m_turnLeft;
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
    if (m_work->pending.size() >= kMaxPending) m_connection.pauseReading();
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

// False: too much is queued already; the request waits until it has drained.
bool HttpConnection::beginRequest() {
    if (m_connection.queuedBytes() > m_service.limits().highWaterBytes && !m_connection.flush()) {
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
        return writeResponse(std::move(response));
    }
    const HttpRoute& route = **match.route;
    if (route.handler && route.chain.empty()) return writeResponse(callHandler(route));
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
    if (m_work->output == HttpWork::Output::Streaming) return breakOff();  // a head is out already
    writeResponse(HttpResponse::error(status));
}

// --- Output ---

ResponseFraming::Connection HttpConnection::connectionField() const {
    const HttpRequest& request = m_work->exchange->request;
    if (!m_work->keepAlive) return ResponseFraming::Connection::Close;
    return request.isHttp11() ? ResponseFraming::Connection::Unsaid : ResponseFraming::Connection::KeepAlive;
}

void HttpConnection::writeHead(const HttpResponse& head, ResponseFraming framing,
                               std::string_view smallBody) {
    HttpWork& work = *m_work;
    if (isLastAnswer()) work.keepAlive = false;
    work.status = head.status();
    framing.connection = connectionField();
    char* const begin = m_connection.reserveSend(responseHeadBound(head) + smallBody.size());
    if (begin == nullptr) return;  // failed meanwhile; Conn_CloseEvent is on its way
    char* const end = writeResponseHead(begin, head, framing, m_service.dateLine());
    std::copy(smallBody.begin(), smallBody.end(), end);
    m_connection.commitSend(static_cast<size_t>(end - begin) + smallBody.size());
}

void HttpConnection::writeResponse(HttpResponse&& response) {
    HttpWork& work = *m_work;
    if (!isFinalStatus(response.status()))
        response = answerInstead(work.exchange->request, response.status());
    const bool isHead = work.exchange->request.method() == HttpMethod::Head;
    ResponseFraming framing;
    framing.length = response.bodySize();
    if (isHead) framing.length = announcedLength(response.headers()).value_or(framing.length);
    if (!statusHasBody(response.status())) framing.body = ResponseFraming::Body::None;
    const bool sendsBody = !isHead && framing.body == ResponseFraming::Body::Length && framing.length > 0;
    if (sendsBody) work.sentBytes = framing.length;
    std::string& text = response.text();
    const bool copied = sendsBody && !text.empty() && text.size() <= kCopiedBody;
    writeHead(response, framing, copied ? std::string_view(text) : std::string_view());
    if (sendsBody && !copied) {
        if (const SharedBytesPtr_t* const shared = response.sharedBody()) {
            m_connection.send(*shared);
        } else if (const HttpResponse::FileBody* const range = response.fileBody()) {
            m_connection.sendFile(range->file, range->offset, range->size);
        } else {
            m_connection.send(std::move(text));
        }
    }
    finishRequest();
}

bool HttpConnection::isLastAnswer() const {
    // What was not read of the request cannot be told from the next one.
    if (m_work->input != HttpWork::Input::Complete) return true;
    // A client that was told "close" sends nothing more, but pipelined requests may be here already.
    return m_service.isDraining() && (m_service.isDrainTimeOver() || !hasMoreInput());
}

// Behind the request that is being answered.
bool HttpConnection::hasMoreInput() const {
    return !m_work->pending.empty() || (m_processing && m_moreInput) || m_connection.hasInput();
}

// The answer is queued whole.
void HttpConnection::finishRequest() {
    if (m_work->output == HttpWork::Output::Streaming) m_connection.setWriteCompleteWanted(false);
    m_work->output = HttpWork::Output::Complete;
    m_service.log(*m_work);
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
void HttpConnection::breakOff() {
    m_ended = true;
    m_work->output = HttpWork::Output::Complete;  // whatever is still written
    if (m_work->framing == ResponseFraming::Body::UntilClose) {
        // The end of the connection is the end of the body, unless it is a reset.
        return m_connection.abort();
    }
    shutDown(Connection::PeerEnd::Ignore);
}

void HttpConnection::becomeIdle() {
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
    exchange->setQueued(0);
    exchange->tellDrained();
}

void HttpConnection::onClose() {
    m_ended = true;
    unlink();
    if (!m_work) return;
    const HttpExchangePtr_t exchange = m_work->exchange;
    if (m_work->input != HttpWork::Input::None) m_service.log(*m_work);
    m_service.giveBack(std::move(m_work));
    if (exchange) exchange->finish(true);
}

// --- What handles ask for (HttpSink) ---

void HttpConnection::sendResponse(HttpExchange&, HttpResponse response) {
    writeResponse(std::move(response));
}

void HttpConnection::sendHead(HttpExchange& exchange, HttpResponse head) {
    HttpWork& work = *m_work;
    if (!isFinalStatus(head.status())) return writeResponse(answerInstead(exchange.request, head.status()));
    const auto length = announcedLength(head.headers());
    ResponseFraming framing;
    if (!statusHasBody(head.status())) {
        framing.body = ResponseFraming::Body::None;
    } else if (length) {
        framing.length = *length;
    } else if (exchange.request.isHttp11()) {
        framing.body = ResponseFraming::Body::Chunked;
    } else {
        framing.body = ResponseFraming::Body::UntilClose;
        work.keepAlive = false;
    }
    work.output = HttpWork::Output::Streaming;
    m_connection.setWriteCompleteWanted(true);
    work.lengthLeft = framing.length;
    writeHead(head, framing, {});
    work.framing = exchange.request.method() == HttpMethod::Head ? ResponseFraming::Body::None : framing.body;
    if (!m_processing) watchDeadline();
}

void HttpConnection::sendPiece(HttpExchange& exchange, std::string piece) {
    HttpWork& work = *m_work;
    if (work.output != HttpWork::Output::Streaming || piece.empty()) return;
    switch (work.framing) {
        case ResponseFraming::Body::None: return;
        case ResponseFraming::Body::Length:
            if (piece.size() > work.lengthLeft) {
                logger().error("the body of {} is longer than its Content-Length", exchange.request.path());
                return breakOff();
            }
            work.lengthLeft -= piece.size();
            [[fallthrough]];
        case ResponseFraming::Body::UntilClose:
            work.sentBytes += piece.size();
            m_connection.send(std::move(piece));
            break;
        case ResponseFraming::Body::Chunked: {
            // One send for size, piece and line end: one segment of the queue instead of three.
            std::array<char, 18> size;
            char* end = std::to_chars(size.data(), size.data() + 16, piece.size(), 16).ptr;
            *end++ = '\r';
            *end++ = '\n';
            work.sentBytes += piece.size();
            piece.insert(0, size.data(), static_cast<size_t>(end - size.data()));
            piece.append("\r\n");
            m_connection.send(std::move(piece));
            break;
        }
    }
    exchange.setQueued(m_connection.queuedBytes());
    if (!m_processing) watchDeadline();
}

void HttpConnection::sendEnd(HttpExchange& exchange, HttpHeaders trailers) {
    HttpWork& work = *m_work;
    if (work.output != HttpWork::Output::Streaming) return;
    if (work.framing == ResponseFraming::Body::Length && work.lengthLeft > 0) {
        logger().error("the body of {} is shorter than its Content-Length", exchange.request.path());
        return breakOff();
    }
    if (work.framing == ResponseFraming::Body::Chunked) {
        std::string out("0\r\n");
        appendFields(out, trailers);
        m_connection.send(out.append("\r\n"));
    }
    finishRequest();
}

void HttpConnection::abandon(HttpExchange&) { breakOff(); }

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
        exchange->setQueued(m_connection.queuedBytes());
        orClose([&] { exchange->tellDrained(); });
    });
}

void HttpConnection::upgrade(HttpExchange& exchange, HttpResponse head, HttpTakeOver_t takeOver) {
    HttpWork& work = *m_work;
    const HttpRoute* const route = work.match->route != nullptr ? work.match->route->get() : nullptr;
    if (route == nullptr || route->upgradeToken.empty()) {
        logger().error("handler of {} upgrades, but its route is none for that", exchange.request.path());
        return writeResponse(HttpResponse::error(500));
    }
    // The new layer was told to end before it began.
    if (m_service.isDraining()) return writeResponse(HttpResponse::error(503));
    std::string out("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
    for (const std::string_view name : {"Connection", "Content-Length", "Transfer-Encoding"})
        head.headers().remove(name);
    if (!head.headers().has("Upgrade")) head.header("Upgrade", route->upgradeToken);
    appendFields(out, head.headers());
    m_connection.send(out.append("\r\n"));
    work.status = 101;
    work.takeOver = std::move(takeOver);
    scheduleResume();
}

// Hands the connection on, with what came behind the request. This object is gone afterwards.
void HttpConnection::takeOver(std::string_view leftover) {
    const auto self = shared_from_this();
    const ConnectionPtr_t connection = m_connection.shared_from_this();
    const HttpTakeOver_t take = std::move(m_work->takeOver);
    std::string bytes = m_work->pending + std::string(leftover);
    m_work->exchange->finish(false);
    m_service.log(*m_work);
    m_service.giveBack(std::move(m_work));
    m_ended = true;
    unlink();
    connection->setWriteCompleteWanted(true);
    connection->setSendTimeout(milliseconds::zero());
    connection->resumeReading();  // the new layer may pause it again
    take(connection);
    if (!bytes.empty()) connection->redeliver(std::move(bytes));
}

// --- Deadlines ---

std::optional<HttpConnection::Deadline> HttpConnection::nextDeadline() const {
    const HttpWork& work = *m_work;
    const HttpLimits& limits = m_service.limits();
    std::optional<Deadline> next;
    const auto consider = [&next](TimePoint begin, Duration timeout, Deadline::Kind kind) {
        if (timeout <= Duration::zero() || (next && next->at <= begin + timeout)) return;
        next = Deadline{begin + timeout, kind};
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
    work.timer = loop.runAfter(next->at - loop.clock().now(), [this] { orClose([this] { onDeadline(); }); });
}

void HttpConnection::onDeadline() {
    m_work->timer = {};
    const auto due = nextDeadline();
    if (!due || due->at > m_service.loop().now()) return watchDeadline();
    switch (due->kind) {
        case Deadline::Kind::Head: return refuse(408, "the head came too slowly");
        case Deadline::Kind::Body: return refuse(408, "the body came too slowly");
        case Deadline::Kind::Handler: return refuse(503, "the handler took too long");
    }
}

}  // namespace tnet
