#include "tnet/conn_checker.h"

#include <algorithm>
#include <utility>

#include "tnet/connection.h"
#include "tnet/durations.h"

namespace tnet {
namespace {

constexpr size_t kLooksPerAdd = 2;  // more than one, so that the list shrinks back to the living

}  // namespace

Result<std::unique_ptr<ConnChecker>> ConnChecker::create(IOLoop* loop, const Settings& settings) {
    using std::chrono::milliseconds;
    const bool valid = settings.interval > milliseconds::zero() && settings.batch > 0 &&
                       settings.connectTimeout >= milliseconds::zero() &&
                       settings.idleTimeout >= milliseconds::zero();
    if (!valid) {
        return makeError(std::errc::invalid_argument,
                         "ConnChecker: interval and batch must be positive, timeouts not negative");
    }
    return std::unique_ptr<ConnChecker>(new ConnChecker(loop, settings));
}

ConnChecker::ConnChecker(IOLoop* loop, const Settings& settings)
    : m_loop(loop),
      m_settings(settings),
      m_timer(loop->runEvery(settings.interval, [this] { lookAt(m_settings.batch); })) {}

ConnChecker::~ConnChecker() { m_loop->cancel(m_timer); }

void ConnChecker::add(const ConnectionPtr_t& connection) {
    if (connection->state() == ConnState::Disconnected) return;
    m_watched.push_back(connection);
    lookAt(kLooksPerAdd);
}

void ConnChecker::forEach(const std::function<void(const ConnectionPtr_t&)>& visit) {
    for (size_t i = 0; i < m_watched.size(); ++i) {
        const ConnectionPtr_t connection = m_watched[i].lock();
        if (connection && connection->state() != ConnState::Disconnected) visit(connection);
    }
}

std::chrono::milliseconds ConnChecker::worstCaseLateness() const {
    const size_t steps = (m_watched.size() + m_settings.batch - 1) / m_settings.batch;
    const auto count = static_cast<int64_t>(std::max<size_t>(steps, 1));
    constexpr auto kNever = std::chrono::milliseconds::max();
    return m_settings.interval > kNever / count ? kNever : m_settings.interval * count;
}

// From the front, where the ones are that were looked at longest ago, to the back: nobody is looked at
// again before all others were.
void ConnChecker::lookAt(size_t count) {
    for (size_t left = std::min(count, m_watched.size()); left > 0; --left) {
        WeakConnectionPtr_t next = std::move(m_watched.front());
        m_watched.pop_front();
        if (check(next.lock())) m_watched.push_back(std::move(next));
    }
}

// False: there is nothing left to watch.
bool ConnChecker::check(const ConnectionPtr_t& connection) {
    using std::chrono::milliseconds;
    if (!connection || connection->state() == ConnState::Disconnected) return false;
    const Duration quiet = timeUntil(connection->lastActivity(), m_loop->now());
    const auto isOver = [quiet](milliseconds timeout) {
        return timeout > milliseconds::zero() && quiet > saturated(timeout);
    };
    if (connection->state() == ConnState::Connecting && isOver(m_settings.connectTimeout))
        connection->shutDown();
    if (connection->state() == ConnState::Connected && isOver(m_settings.idleTimeout)) connection->shutDown();
    return true;
}

}  // namespace tnet
