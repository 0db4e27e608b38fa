#include "http/exchange.h"

#include <exception>
#include <new>
#include <utility>

#include "tnet/log.h"

namespace tnet {
namespace {

// What a piece costs beside its bytes on its way from another thread: a task, two closures and the piece's box.
constexpr size_t kPostedPieceBytes = 192;
// As much as a connection may queue.
constexpr size_t kMostPostedBytes = Connection::kDefaultMaxQueuedBytes;

}  // namespace

void HttpExchange::open(HttpSink* sink, const TaskQueuePtr_t& tasks, size_t highWater) {
    m_sink = sink;
    if (!m_tasks) m_tasks = tasks;
    m_highWater = highWater;
    m_answered = false;
    m_clientGone = false;
    m_givenUp.store(false, std::memory_order_relaxed);
    m_open.store(true, std::memory_order_release);
}

void HttpExchange::finish(bool clientGone) {
    m_open.store(false, std::memory_order_release);
    m_sink = nullptr;
    m_clientGone = clientGone;
    if (!m_shared) return;
    // Taken out first: what these own may be the last handle on this exchange.
    const auto hooks = std::exchange(m_hooks, {});
    const auto body = std::exchange(m_bodyCallback, nullptr);
    const auto drain = std::exchange(m_drainCallback, nullptr);
    const auto gone = std::exchange(m_goneCallbacks, {});
    if (!clientGone) return;
    for (const Callback_t& callback : gone) guarded(callback);
}

bool HttpExchange::runHooks(HttpResponse& response) {
    bool good = true;
    while (!m_hooks.empty()) {
        const HttpResponseHook_t hook = std::move(m_hooks.back());
        m_hooks.pop_back();
        if (guarded([&] { hook(response); })) continue;
        response = HttpResponse::error(500);
        good = false;
    }
    return good;
}

// Runs what belongs to the handler though it is no handler call. False: it threw, which is logged.
template <class Call>
bool HttpExchange::guarded(Call call) const {
    try {
        call();
        return true;
    } catch (const std::exception& error) {
        logger().error("callback of {} {} threw: {}", methodName(request.method()), request.path(),
                       error.what());
    } catch (...) {
        logger().error("callback of {} {} threw something", methodName(request.method()), request.path());
    }
    return false;
}

void HttpExchange::deliverBody(std::string_view piece, bool last) {
    // A copy of the callback: it may drop the handles, and with them itself.
    const HttpBodyCallback_t callback = m_bodyCallback;
    if (callback && !guarded([&] { callback(piece, last); })) fail();
}

void HttpExchange::tellDrained() {
    const size_t ahead =
        m_queuedBytes.load(std::memory_order_relaxed) + m_postedBytes.load(std::memory_order_relaxed);
    // Without a callback it goes on waiting: onDrain looks again.
    if (!m_waiting || !m_drainCallback || ahead > m_highWater / 2) return;
    m_waiting = false;
    const Callback_t callback = m_drainCallback;
    if (!guarded(callback)) fail();
}

// The handler threw in one of its callbacks: what it was about to answer will not come.
void HttpExchange::fail() {
    if (m_sink == nullptr) return;
    if (std::exchange(m_answered, true)) return m_sink->abandon(*this);
    m_sink->sendResponse(*this, HttpResponse::error(500));  // nobody is left to be told how that went
}

// Handles run in destructors, and what they lose nobody sends again.
template <class Call>
bool HttpExchange::orGiveUp(Call call) {
    try {
        return call();
    } catch (const std::bad_alloc&) {
        giveUp();
        return false;
    }
}

// Any thread. On another than the loop's, the loop is told by whatever comes next from there, if only by the handle
// that goes, or its deadline for the handler ends the wait.
void HttpExchange::giveUp() {
    logger().error("out of memory: an answer breaks off");
    m_givenUp.store(true, std::memory_order_relaxed);
    if (m_tasks->isInLoopThread()) breakOff();
}

void HttpExchange::breakOff() {
    m_answered = true;
    if (m_sink != nullptr) m_sink->abandon(*this);
}

bool HttpExchange::onLoop(Act_t act) {
    if (!isOpen()) return false;
    return orGiveUp([&] {
        const auto self = shared_from_this();  // `act` may finish it
        if (m_tasks->isInLoopThread()) return run(act);
        return m_tasks->post([self, act = std::move(act)] { self->run(act); });
    });
}

bool HttpExchange::run(const Act_t& act) {
    if (m_sink == nullptr) return false;
    if (m_givenUp.load(std::memory_order_relaxed)) return breakOff(), false;
    if (!isOpen()) return false;
    return orGiveUp([&] { return act(*m_sink, *this); });
}

// std::function must be copyable, a response need not be copied: it travels in a shared box.
template <class T>
static std::shared_ptr<T> boxed(T value) {
    return std::make_shared<T>(std::move(value));
}

bool HttpExchange::respond(HttpResponse response) {
    return orGiveUp([&] {
        return onLoop([box = boxed(std::move(response))](HttpSink& sink, HttpExchange& self) {
            if (std::exchange(self.m_answered, true)) return false;
            self.runHooks(*box);
            return sink.sendResponse(self, std::move(*box));
        });
    });
}

// A handler that threw was logged for that.
void HttpExchange::dropped() {
    const bool isThrown = std::uncaught_exceptions() > 0;
    onLoop([isThrown](HttpSink& sink, HttpExchange& self) {
        if (std::exchange(self.m_answered, true)) return false;
        if (!isThrown) {
            logger().error("{} {} is answered 500: its responder was dropped",
                           methodName(self.request.method()), self.request.path());
        }
        HttpResponse response = HttpResponse::error(500);
        self.runHooks(response);
        return sink.sendResponse(self, std::move(response));
    });
}

bool HttpExchange::startStream(HttpResponse head) {
    return orGiveUp([&] {
        return onLoop([box = boxed(std::move(head))](HttpSink& sink, HttpExchange& self) {
            if (std::exchange(self.m_answered, true)) return false;
            if (!self.runHooks(*box)) return sink.sendResponse(self, std::move(*box));
            return sink.sendHead(self, std::move(*box));
        });
    });
}

bool HttpExchange::upgrade(HttpResponse head, HttpTakeOver_t takeOver) {
    return orGiveUp([&] {
        return onLoop([box = boxed(std::move(head)), takeOver = std::move(takeOver)](HttpSink& sink,
                                                                                     HttpExchange& self) {
            if (std::exchange(self.m_answered, true)) return false;
            box->setStatus(101);
            const bool good = self.runHooks(*box);
            // A hook may refuse what the handler granted.
            if (!good || box->status() != 101) return sink.sendResponse(self, std::move(*box));
            return sink.upgrade(self, std::move(*box), takeOver);
        });
    });
}

bool HttpExchange::readBody(HttpBodyCallback_t callback) {
    return orGiveUp([&] {
        return onLoop([callback = std::move(callback)](HttpSink& sink, HttpExchange& self) {
            self.m_bodyCallback = callback;
            self.m_bodyPaused = false;
            sink.readBody(self);
            return true;
        });
    });
}

void HttpExchange::pauseBody() {
    onLoop([](HttpSink&, HttpExchange& self) { return self.m_bodyPaused = true; });
}

void HttpExchange::resumeBody() {
    onLoop([](HttpSink& sink, HttpExchange& self) {
        if (std::exchange(self.m_bodyPaused, false)) sink.readBody(self);
        return true;
    });
}

void HttpExchange::onGone(Callback_t callback) {
    orGiveUp([&] {
        return m_tasks->post([self = shared_from_this(), callback = std::move(callback)]() mutable {
            if (self->m_sink != nullptr) {
                self->orGiveUp([&] { return self->m_goneCallbacks.push_back(std::move(callback)), true; });
            } else if (self->m_clientGone) {
                self->guarded(callback);
            }
        });
    });
}

HttpExchange::Wrote HttpExchange::write(std::string piece) {
    if (piece.empty()) return isOpen() ? Wrote::Accepted : Wrote::Closed;
    return m_tasks->isInLoopThread() ? writeHere(std::move(piece)) : writeFromAfar(std::move(piece));
}

HttpExchange::Wrote HttpExchange::writeHere(std::string piece) {
    const auto self = shared_from_this();
    Wrote wrote = Wrote::Closed;
    orGiveUp([&] {
        if (m_sink == nullptr) return false;
        if (m_givenUp.load(std::memory_order_relaxed)) return breakOff(), false;
        if (!isOpen()) return false;
        wrote = m_sink->sendPiece(*this, std::move(piece));
        if (wrote == Wrote::Wait) noteWaiting(*m_sink);
        return true;
    });
    return wrote;
}

HttpExchange::Wrote HttpExchange::writeFromAfar(std::string piece) {
    const size_t size = piece.size() + kPostedPieceBytes;
    if (m_postedBytes.load(std::memory_order_relaxed) > kMostPostedBytes) return doesNotWait(), Wrote::Closed;
    const size_t posted = m_postedBytes.fetch_add(size, std::memory_order_relaxed) + size;
    const bool taken = orGiveUp([&] {
        return onLoop([size, box = boxed(std::move(piece))](HttpSink& sink, HttpExchange& self) {
            self.m_postedBytes.fetch_sub(size, std::memory_order_relaxed);
            return sink.sendPiece(self, std::move(*box)) != Wrote::Closed;
        });
    });
    if (!taken) return Wrote::Closed;
    if (m_queuedBytes.load(std::memory_order_relaxed) + posted <= m_highWater) return Wrote::Accepted;
    // The loop looks again: the queue may have drained before it knew that somebody waits.
    onLoop([](HttpSink& sink, HttpExchange& self) { return self.noteWaiting(sink), true; });
    return Wrote::Wait;
}

// What it has posted would pile up without end. The loop breaks the answer off with the next piece that it finds.
void HttpExchange::doesNotWait() {
    logger().error("the answer to {} {} breaks off: its writer goes on after Wait",
                   methodName(request.method()), request.path());
    m_givenUp.store(true, std::memory_order_relaxed);
    close();
}

// Once: the check that is due then, or the queue when it is empty, tells the writer.
void HttpExchange::noteWaiting(HttpSink& sink) {
    if (!std::exchange(m_waiting, true)) sink.checkDrain(*this);
}

void HttpExchange::onDrain(Callback_t callback) {
    orGiveUp([&] {
        return onLoop([callback = std::move(callback)](HttpSink& sink, HttpExchange& self) {
            self.m_drainCallback = callback;
            sink.checkDrain(self);
            return true;
        });
    });
}

void HttpExchange::end(HttpHeaders trailers) {
    orGiveUp([&] {
        return onLoop([box = boxed(std::move(trailers))](HttpSink& sink, HttpExchange& self) {
            return sink.sendEnd(self, std::move(*box));
        });
    });
}

void HttpExchange::handlerThrew() {
    onLoop([](HttpSink& sink, HttpExchange& self) {
        if (self.m_answered) sink.abandon(self);
        return true;
    });
}

void HttpExchange::abandon() {
    onLoop([](HttpSink& sink, HttpExchange& self) { return sink.abandon(self), true; });
}

}  // namespace tnet
