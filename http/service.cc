#include "http/service.h"

#include <utility>

#include "http/connection.h"

namespace tnet {
namespace {

constexpr size_t kSpareWorks = 64;
constexpr size_t kKeptPendingCapacity = 64 << 10;

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
    framing = ResponseFraming::Body::None;
    if (takeOver) takeOver = nullptr;
    // What a handle may still refer to is not used again.
    if (exchange && exchange->isShared()) exchange.reset();
    if (exchange) exchange->request.clear();
}

HttpService::HttpService(IOLoop* loop, const HttpRouter& router, const HttpLimits& limits,
                         const HttpAccessCallback_t& accessLog)
    : m_loop(loop), m_router(router), m_limits(limits), m_accessLog(accessLog), m_date(loop->clock()) {}

HttpService::~HttpService() {
    if (m_idleTimer.isValid()) m_loop->cancel(m_idleTimer);
    if (m_drainTimer.isValid()) m_loop->cancel(m_drainTimer);
}

void HttpService::onConnection(const ConnectionPtr_t& connection) {
    HttpConnection::attach(*this, connection);
}

void HttpService::onDrain(ConnChecker&) {
    m_draining = true;  // busy connections close behind their next answer
    m_router.tellDrain(*m_loop);
    // Requests that have arrived are under way, too: the next round reads them before it runs timers.
    m_drainTimer = m_loop->runAfter(Duration::zero(), [this] {
        m_drainTimer = {};
        while (IdleLink* const link = m_idle.front()) static_cast<HttpConnection*>(link)->endIdle();
    });
}

void HttpService::giveBack(std::unique_ptr<HttpWork> work) {
    if (work->input != HttpWork::Input::None) work->reset();
    if (!work->pending.empty()) work->pending.clear();
    if (work->pending.capacity() > kKeptPendingCapacity) work->pending = std::string();
    if (work->timer.isValid()) m_loop->cancel(std::exchange(work->timer, {}));
    if (m_spareWorks >= kSpareWorks) return;
    work->nextSpare = std::move(m_spareWork);
    m_spareWork = std::move(work);
    ++m_spareWorks;
}

void HttpService::addIdle(HttpConnection& connection) {
    m_idle.pushBack(connection, m_loop->now());
    if (!m_idleTimer.isValid()) watchIdle();
}

void HttpService::watchIdle() {
    if (m_idle.empty() || m_limits.idleTimeout <= std::chrono::milliseconds::zero()) return;
    const Duration left = m_idle.front()->idleSince() + m_limits.idleTimeout - m_loop->clock().now();
    m_idleTimer = m_loop->runAfter(left, [this] {
        m_idleTimer = {};
        closeIdle();
        watchIdle();
    });
}

void HttpService::closeIdle() {
    const TimePoint now = m_loop->now();
    while (IdleLink* const link = m_idle.front()) {
        if (link->idleSince() + m_limits.idleTimeout > now) return;
        auto* const connection = static_cast<HttpConnection*>(link);
        // A long answer may still be on its way to a slow reader.
        if (connection->isSending() && connection->lastActivity() + m_limits.sendTimeout > now) {
            m_idle.pushBack(*connection, now);
        } else {
            connection->endIdle();
        }
    }
}

void HttpService::logAccess(const HttpWork& work) const {
    m_accessLog({work.exchange->request, work.status, work.sentBytes, m_loop->clock().now() - work.began});
}

}  // namespace tnet
