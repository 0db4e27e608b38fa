#include "tnet/acceptor.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace tnet {
namespace {

// Accepts per readiness at most; see acceptSome.
constexpr TurnBudget kAcceptTurn{16, SIZE_MAX};
constexpr size_t kFullToGrow = 8;
// So many peers in a row are not gone: accept itself fails.
constexpr uint32_t kMostRetries = 64;

}  // namespace

Result<std::unique_ptr<Acceptor>> Acceptor::create(IOLoop* loop, FileDescriptor listener,
                                                   AcceptCallback_t callback, EndCallback_t onEnd) {
    std::unique_ptr<Acceptor> acceptor(
        new Acceptor(loop, std::move(listener), std::move(callback), std::move(onEnd)));
    Acceptor* const self = acceptor.get();
    const auto error =
        loop->addHandler(self->m_listener.get(), TNET_READ, [self](uint32_t) { self->acceptSome(); });
    if (error) return makeError(error, "watch " + localAddress(self->m_listener.get()).toString());
    return acceptor;
}

Acceptor::Acceptor(IOLoop* loop, FileDescriptor listener, AcceptCallback_t callback, EndCallback_t onEnd)
    : m_loop(loop),
      m_listener(std::move(listener)),
      m_callee(std::make_shared<Callee>(Callee{std::move(callback)})),
      m_onEnd(std::move(onEnd)) {}

Acceptor::~Acceptor() {
    m_callee->isAlive = false;
    if (m_retryTimer.isValid()) m_loop->cancel(m_retryTimer);
    m_loop->removeHandler(m_listener.get());
}

void Acceptor::pause() {
    m_paused = true;
    updateInterest();
}

void Acceptor::resume() {
    m_paused = false;
    updateInterest();
}

Acceptor::Pending Acceptor::acceptPending() {
    const std::shared_ptr<Callee> callee = m_callee;
    for (Turn turn(kPendingTurn); !turn.isOver(); turn.spend(0)) {
        if (m_paused) return Pending::Paused;
        const Outcome outcome = acceptOne();
        if (!callee->isAlive) return Pending::None;
        if (outcome == Outcome::Empty) return Pending::None;
        if (outcome == Outcome::Exhausted) return Pending::Exhausted;
        if (outcome == Outcome::Failed) return Pending::Failed;
    }
    return Pending::More;
}

// As many as have been coming at a time: an accept that finds nobody costs a good part of one that does (the
// kernel makes the socket first), and a large portion would make those that were accepted first wait.
void Acceptor::acceptSome() {
    // A hang-up is told even to a handler that looks away.
    if (m_retryTimer.isValid() || m_hasEnded) return;
    const std::shared_ptr<Callee> callee = m_callee;
    // Paused may mean: since this event was fetched.
    for (size_t i = 0; i < m_portion && !m_paused; ++i) {
        const Outcome outcome = acceptOne();
        if (!callee->isAlive) return;
        if (outcome == Outcome::Exhausted || outcome == Outcome::Failed) return waitAndRetry();
        if (outcome == Outcome::Empty) {
            m_portion = std::max<size_t>(i, 1);
            m_fullPortions = 0;
            return;
        }
    }
    if (++m_fullPortions < kFullToGrow) return;
    m_portion = std::min<size_t>(2 * m_portion, kAcceptTurn.steps);
    m_fullPortions = 0;
}

Acceptor::Outcome Acceptor::acceptOne() {
    if (m_hasEnded) return Outcome::Empty;
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    auto* const address = reinterpret_cast<sockaddr*>(&peer);
    FileDescriptor socket(::accept4(m_listener.get(), address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) return acceptFailed(errno);
    m_retries = 0;
    m_failure = 0;
    m_callee->callback(std::move(socket), address, size);
    return Outcome::Accepted;
}

Acceptor::Outcome Acceptor::acceptFailed(int error) {
    switch (error) {
        case EAGAIN: m_retries = 0; return Outcome::Empty;
        case EINVAL: end(); return Outcome::Empty;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            log(spdlog::level::warn, "out of descriptors or memory; trying again soon");
            return Outcome::Exhausted;
        // That one peer is gone already, or what its network said comes out here: accept(2), "Error handling".
        case EINTR:
        case ECONNABORTED:
        case ENETDOWN:
        case EPROTO:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
            if (++m_retries < kMostRetries) return Outcome::Retry;
            m_retries = 0;
            break;
        default: break;
    }
    if (std::exchange(m_failure, error) != error) log(spdlog::level::err, std::strerror(error));
    return Outcome::Failed;
}

// What is to be said may be that there is no memory.
void Acceptor::log(spdlog::level::level_enum level, const char* what) const try {
    logger().log(level, "accept on {}: {}", localAddress(m_listener.get()).toString(), what);
} catch (const std::bad_alloc&) {
    return;
}

void Acceptor::waitAndRetry() try {
    m_retryTimer = m_loop->runAfter(kRetryPause, [this] {
        m_retryTimer = {};
        updateInterest();
    });
    updateInterest();
} catch (const std::bad_alloc&) {
    return;  // not even for the timer: then it is tried again in the next round
}

// The kernel reports the hang-up for ever; the descriptor stays ours, so that its number means nothing else.
void Acceptor::end() {
    m_hasEnded = true;
    m_loop->removeHandler(m_listener.get());
    if (m_onEnd) return m_onEnd();
    log(spdlog::level::err, "the listener was shut down; nobody can connect to it any more");
}

void Acceptor::updateInterest() {
    if (m_hasEnded) return;
    const uint32_t wanted = m_paused || m_retryTimer.isValid() ? 0U : uint32_t{TNET_READ};
    const auto error = m_loop->updateHandler(m_listener.get(), wanted);
    if (error) log(spdlog::level::err, std::strerror(error.value()));
}

}  // namespace tnet
