#include "http/service.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "http/connection.h"
#include "tnet/durations.h"
#include "tnet/log.h"
#include "tnet/release_memory.h"
#include "tnet/turn.h"

namespace tnet {
namespace {

constexpr size_t kSpareWorks = 64;
constexpr size_t kKeptPendingCapacity = 64 << 10;
constexpr std::chrono::seconds kFirstReturn{1};
constexpr std::chrono::seconds kLastReturn{64};
// Idle connections that are closed before others have their turn: a hundred thousand that came at once time
// out at once.
constexpr TurnBudget kIdleTurn{256, SIZE_MAX};

}  // namespace

void HttpWork::reset() {
    input = Input::None;
    output = Output::Waiting;
    match.reset();
    streamsBody = false;
    keepAlive = true;
    cutOff = false;
    bodyBytes = 0;
    status = 0;
    sentBytes = 0;
    outcome = HttpOutcome::Complete;
    framing = ResponseFraming::Body::None;
    if (takeOver) takeOver = nullptr;
    // What a handle may still refer to is not used again.
    if (exchange && exchange->isShared()) exchange.reset();
    if (exchange) exchange->request.clear();
}

HttpService::HttpService(IOLoop* loop, const HttpRouter& router, const HttpLimits& limits,
                         const HttpAccessCallback_t& accessLog, AddressRate* rate)
    : m_loop(loop),
      m_router(router),
      m_limits(limits),
      m_accessLog(accessLog),
      m_addressRate(rate),
      m_date(loop->clock()) {}

HttpService::~HttpService() {
    if (m_idleTimer.isValid()) m_loop->cancel(m_idleTimer);
    if (m_drainTimer.isValid()) m_loop->cancel(m_drainTimer);
    if (m_memoryTimer.isValid()) m_loop->cancel(m_memoryTimer);
}

void HttpService::onConnection(const ConnectionPtr_t& connection) {
    HttpConnection::attach(*this, connection);
}

void HttpService::onDrain(ConnChecker&) {
    m_draining = true;  // from now on answers say "Connection: close"
    m_drainBegan = m_loop->now();
    m_router.tellDrain(*m_loop);
    watchQuiet();
}

// An idle connection is not closed while its client may be about to use it: what a client sends on a connection
// that we close is lost, and after our FIN nothing can be answered any more. So for drainTime each may bring one
// more request, whose answer says that it is the last (RFC 9112 §9.6): clients that are at work leave without a
// loss. Only who was quiet all the time is closed from our side: see HttpConnection::endIdle.
TimePoint HttpService::quietDeadline(const IdleLink& link) const {
    return timeAfter(std::max<TimePoint>(link.idleSince(), m_drainBegan), m_limits.drainTime);
}

void HttpService::watchQuiet() {
    if (m_idle.empty() || m_drainTimer.isValid()) return;
    const Duration left = timeUntil(m_loop->now(), quietDeadline(*m_idle.front()));
    // Not in this round: requests that have arrived are read first.
    m_drainTimer = m_loop->runAfter(std::max<Duration>(left, Duration::zero()), [this] {
        m_drainTimer = {};
        closeQuiet();
        watchQuiet();
    });
}

void HttpService::closeQuiet() {
    const TimePoint now = m_loop->now();
    IdleLink* link = m_idle.front();
    for (Turn turn(kIdleTurn); !turn.isOver() && link != nullptr && quietDeadline(*link) <= now;
         turn.spend(0)) {
        IdleLink* const next = m_idle.next(*link);
        static_cast<HttpConnection*>(link)->endIdle();
        link = next;
    }
}

void HttpService::giveBack(std::unique_ptr<HttpWork> work) {
    if (work->input != HttpWork::Input::None) work->reset();
    if (!work->pending.empty()) work->pending.clear();
    if (work->pending.capacity() > kKeptPendingCapacity) releaseMemory(work->pending);
    if (work->timer.isValid()) m_loop->cancel(std::exchange(work->timer, {}));
    if (m_spareWorks >= kSpareWorks) return;
    work->nextSpare = std::move(m_spareWork);
    m_spareWork = std::move(work);
    ++m_spareWorks;
}

void HttpService::addIdle(HttpConnection& connection) {
    m_idle.pushBack(connection, m_loop->now());
    if (m_draining) return watchQuiet();
    if (!m_idleTimer.isValid()) watchIdle();
}

void HttpService::watchIdle() {
    if (m_idle.empty() || m_limits.idleTimeout <= std::chrono::milliseconds::zero()) return;
    const TimePoint deadline = timeAfter(m_idle.front()->idleSince(), m_limits.idleTimeout);
    const Duration left = timeUntil(m_loop->clock().now(), deadline);
    m_idleTimer = m_loop->runAfter(left, [this] {
        m_idleTimer = {};
        closeIdle();
        watchIdle();
    });
}

void HttpService::closeIdle() {
    const TimePoint now = m_loop->now();
    for (Turn turn(kIdleTurn); !turn.isOver() && !m_idle.empty(); turn.spend(0)) {
        IdleLink* const link = m_idle.front();
        if (timeAfter(link->idleSince(), m_limits.idleTimeout) > now) return;
        auto* const connection = static_cast<HttpConnection*>(link);
        // A long answer may still be on its way to a slow reader.
        if (connection->isSending() && timeAfter(connection->lastActivity(), m_limits.sendTimeout) > now) {
            m_idle.pushBack(*connection, now);
        } else if (!connection->endIdle()) {
            m_idle.pushBack(*connection, now);
        }
    }
}

void HttpService::beginHandlersRound() {
    const IOLoop::SlowRound& slow = m_loop->lastSlowRound();
    if (m_handlers > 0 && slow.round == m_handlersRound) sayBlocked(slow.took);
    m_handlersRound = m_loop->round();
    m_handlers = 0;
}

// At most once a minute. Which of them it was would cost a look at the clock for each request.
void HttpService::sayBlocked(Duration took) {
    if (m_loop->now() < m_saysBlockedFrom) return;
    m_saysBlockedFrom = timeAfter(m_loop->now(), std::chrono::minutes(1));
    std::string routes;
    for (size_t i = 0; i < m_handlers; ++i) routes.append(i == 0 ? "" : ", ").append(m_begun[i]->pattern);
    logger().warn("a handler blocked its loop for {} ms: {}{}",
                  std::chrono::floor<std::chrono::milliseconds>(took).count(),
                  m_handlers == 1 ? "" : "one of ", routes);
}

// What large bodies took stays with the allocator when it is freed: tens of megabytes for each thread, since its
// thresholds grow with what it sees. An answer is freed only when its client has taken it, so the look is repeated,
// less and less often.
void HttpService::returnMemorySoon() {
    const TimePoint due = timeAfter(m_loop->now(), kFirstReturn);
    if (m_memoryTimer.isValid() && m_memoryDue <= due) return;
    if (m_memoryTimer.isValid()) m_loop->cancel(m_memoryTimer);
    returnMemoryAfter(kFirstReturn);
}

void HttpService::returnMemoryAfter(std::chrono::seconds delay) {
    m_memoryDue = timeAfter(m_loop->now(), delay);
    m_memoryTimer = m_loop->runAfter(delay, [this, delay] {
        m_memoryTimer = {};
        returnFreeMemory();
        if (delay < kLastReturn) returnMemoryAfter(2 * delay);
    });
}

// Must not throw, but a log may be out of memory, or of what else it needs; a connection that is closing must go
// through with it.
void HttpService::logAccess(const HttpWork& work) const {
    try {
        m_accessLog({work.exchange->request, work.status, work.sentBytes, m_loop->clock().now() - work.began,
                     work.outcome});
    } catch (const std::exception& error) {
        accessLogFailed(error.what());
    } catch (...) {
        accessLogFailed("something that is no std::exception");
    }
}

// Once: what fails for one request fails for all.
void HttpService::accessLogFailed(const char* what) const {
    if (std::exchange(m_accessLogFailed, true)) return;
    logger().error("the access log threw {}; that of further requests may be missing, too", what);
}

}  // namespace tnet
