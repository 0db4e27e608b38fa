#include "tnet/acceptor.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "tnet/log.h"

namespace tnet {
namespace {

// Per readiness; see acceptSome.
constexpr size_t kMaxPortion = 16;
constexpr size_t kFullToGrow = 8;

}  // namespace

Result<std::unique_ptr<Acceptor>> Acceptor::create(IOLoop* loop, FileDescriptor listener,
                                                   AcceptCallback_t callback) {
    std::unique_ptr<Acceptor> acceptor(new Acceptor(loop, std::move(listener), std::move(callback)));
    Acceptor* const self = acceptor.get();
    const auto error =
        loop->addHandler(self->m_listener.get(), TNET_READ, [self](uint32_t) { self->acceptSome(); });
    if (error) return makeError(error, "watch " + localAddress(self->m_listener.get()).toString());
    return acceptor;
}

Acceptor::Acceptor(IOLoop* loop, FileDescriptor listener, AcceptCallback_t callback)
    : m_loop(loop),
      m_listener(std::move(listener)),
      m_callee(std::make_shared<Callee>(Callee{std::move(callback)})) {}

Acceptor::~Acceptor() {
    m_callee->isAlive = false;
    if (m_exhaustedTimer.isValid()) m_loop->cancel(m_exhaustedTimer);
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

bool Acceptor::acceptPending() {
    const std::shared_ptr<Callee> callee = m_callee;
    for (;;) {
        const Outcome outcome = acceptOne();
        if (!callee->isAlive || outcome == Outcome::Empty) return true;
        if (outcome == Outcome::Exhausted) return false;
    }
}

// As many as have been coming at a time: an accept that finds nobody costs a good part of one that does (the
// kernel makes the socket first), and a large portion would make those that were accepted first wait.
void Acceptor::acceptSome() {
    const std::shared_ptr<Callee> callee = m_callee;
    // Paused may mean: since this event was fetched.
    for (size_t i = 0; i < m_portion && !m_paused; ++i) {
        const Outcome outcome = acceptOne();
        if (!callee->isAlive) return;
        if (outcome == Outcome::Exhausted) return waitForResources();
        if (outcome == Outcome::Empty) {
            m_portion = std::max<size_t>(i, 1);
            m_fullPortions = 0;
            return;
        }
    }
    if (++m_fullPortions < kFullToGrow) return;
    m_portion = std::min(2 * m_portion, kMaxPortion);
    m_fullPortions = 0;
}

Acceptor::Outcome Acceptor::acceptOne() {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    auto* const address = reinterpret_cast<sockaddr*>(&peer);
    FileDescriptor socket(::accept4(m_listener.get(), address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
        m_callee->callback(std::move(socket), address, size);
        return Outcome::Accepted;
    }
    switch (errno) {
        case EAGAIN:
        case EINVAL: return Outcome::Empty;  // EINVAL: and nobody will come any more, see refuseNewPeers
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return Outcome::Exhausted;
        default: return Outcome::Retry;  // that one peer is gone already: accept(2), "Error handling"
    }
}

void Acceptor::waitForResources() try {
    m_exhaustedTimer = m_loop->runAfter(kExhaustedPause, [this] {
        m_exhaustedTimer = {};
        updateInterest();
    });
    updateInterest();
    logger().warn("accept on {}: out of descriptors or memory; trying again in {} ms",
                  localAddress(m_listener.get()).toString(), kExhaustedPause.count());
} catch (const std::bad_alloc&) {
    return;  // not even for the timer: then it is tried again in the next round
}

void Acceptor::updateInterest() {
    const uint32_t wanted = m_paused || m_exhaustedTimer.isValid() ? 0U : uint32_t{TNET_READ};
    const auto error = m_loop->updateHandler(m_listener.get(), wanted);
    if (error) logger().error("watch {}: {}", localAddress(m_listener.get()).toString(), error.message());
}

}  // namespace tnet
