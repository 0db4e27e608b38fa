#include "http/exchange.h"

#include <exception>
#include <utility>

#include "tnet/log.h"

namespace tnet {

void HttpExchange::open(HttpSink* sink, const TaskQueuePtr_t& tasks, size_t highWater) {
    m_sink = sink;
    if (!m_tasks) m_tasks = tasks;
    m_highWater = highWater;
    m_answered = false;
    m_clientGone = false;
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
    const auto gone = std::exchange(m_goneCallback, nullptr);
    if (clientGone && gone) guarded(gone);
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
    m_sink->sendResponse(*this, HttpResponse::error(500));
}

bool HttpExchange::onLoop(std::function<void(HttpSink&, HttpExchange&)> act) {
    if (!isOpen()) return false;
    return m_tasks->run([self = shared_from_this(), act = std::move(act)] {
        if (self->m_sink != nullptr) act(*self->m_sink, *self);
    });
}

// std::function must be copyable, a response need not be copied: it travels in a shared box.
template <class T>
static std::shared_ptr<T> boxed(T value) {
    return std::make_shared<T>(std::move(value));
}

bool HttpExchange::respond(HttpResponse response) {
    return onLoop([box = boxed(std::move(response))](HttpSink& sink, HttpExchange& self) {
        if (std::exchange(self.m_answered, true)) return;
        self.runHooks(*box);
        sink.sendResponse(self, std::move(*box));
    });
}

bool HttpExchange::startStream(HttpResponse head) {
    return onLoop([box = boxed(std::move(head))](HttpSink& sink, HttpExchange& self) {
        if (std::exchange(self.m_answered, true)) return;
        if (!self.runHooks(*box)) return sink.sendResponse(self, std::move(*box));
        sink.sendHead(self, std::move(*box));
    });
}

bool HttpExchange::upgrade(HttpResponse head, HttpTakeOver_t takeOver) {
    return onLoop(
        [box = boxed(std::move(head)), takeOver = std::move(takeOver)](HttpSink& sink, HttpExchange& self) {
            if (std::exchange(self.m_answered, true)) return;
            if (!self.runHooks(*box)) return sink.sendResponse(self, std::move(*box));
            sink.upgrade(self, std::move(*box), takeOver);
        });
}

bool HttpExchange::readBody(HttpBodyCallback_t callback) {
    return onLoop([callback = std::move(callback)](HttpSink& sink, HttpExchange& self) {
        self.m_bodyCallback = callback;
        self.m_bodyPaused = false;
        sink.readBody(self);
    });
}

void HttpExchange::pauseBody() {
    onLoop([](HttpSink&, HttpExchange& self) { self.m_bodyPaused = true; });
}

void HttpExchange::resumeBody() {
    onLoop([](HttpSink& sink, HttpExchange& self) {
        if (std::exchange(self.m_bodyPaused, false)) sink.readBody(self);
    });
}

void HttpExchange::onGone(Callback_t callback) {
    m_tasks->post([self = shared_from_this(), callback = std::move(callback)] {
        if (self->m_sink != nullptr) {
            self->m_goneCallback = callback;
        } else if (self->m_clientGone) {
            self->guarded(callback);
        }
    });
}

HttpExchange::Wrote HttpExchange::write(std::string piece) {
    if (piece.empty()) return isOpen() ? Wrote::Accepted : Wrote::Closed;
    const size_t size = piece.size();
    m_postedBytes.fetch_add(size, std::memory_order_relaxed);
    const bool taken = onLoop([size, box = boxed(std::move(piece))](HttpSink& sink, HttpExchange& self) {
        self.m_postedBytes.fetch_sub(size, std::memory_order_relaxed);
        sink.sendPiece(self, std::move(*box));
    });
    if (!taken) return Wrote::Closed;
    const size_t ahead =
        m_queuedBytes.load(std::memory_order_relaxed) + m_postedBytes.load(std::memory_order_relaxed);
    if (ahead <= m_highWater) return Wrote::Accepted;
    // The loop looks again: the queue may have drained before it knew that somebody waits.
    onLoop([](HttpSink& sink, HttpExchange& self) {
        self.m_waiting = true;
        sink.checkDrain(self);
    });
    return Wrote::Wait;
}

void HttpExchange::onDrain(Callback_t callback) {
    onLoop([callback = std::move(callback)](HttpSink& sink, HttpExchange& self) {
        self.m_drainCallback = callback;
        sink.checkDrain(self);
    });
}

void HttpExchange::end(HttpHeaders trailers) {
    onLoop([box = boxed(std::move(trailers))](HttpSink& sink, HttpExchange& self) {
        sink.sendEnd(self, std::move(*box));
    });
}

void HttpExchange::abandon() {
    onLoop([](HttpSink& sink, HttpExchange& self) { sink.abandon(self); });
}

}  // namespace tnet
