#include "tnet/signaler.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>

namespace tnet {
namespace {

struct Watched {
    std::atomic<Notifier*> notifier{nullptr};  // null: no Signaler has the signal
    std::atomic<unsigned> arrived{0};
};

constinit std::array<Watched, NSIG> g_watched{};
constinit std::atomic<int> g_handlers{0};  // that are running, in any thread

static_assert(std::atomic<Notifier*>::is_always_lock_free && std::atomic<unsigned>::is_always_lock_free,
              "the handler must be async-signal-safe");

extern "C" void tnetOnSignal(int signal) {
    Watched& watched = g_watched[static_cast<size_t>(signal)];
    g_handlers.fetch_add(1);
    if (Notifier* const notifier = watched.notifier.load()) {
        watched.arrived.fetch_add(1);
        notifier->notify();
    }
    g_handlers.fetch_sub(1);
}

}  // namespace

Result<std::unique_ptr<Signaler>> Signaler::create(IOLoop* loop, std::initializer_list<int> signals,
                                                   SignalCallback_t callback) {
    auto notifier = Notifier::create();
    if (!notifier) return notifier.error();
    std::unique_ptr<Signaler> signaler(new Signaler(loop, std::move(*notifier), std::move(callback)));
    Signaler* const self = signaler.get();
    const auto error =
        loop->addHandler(self->m_notifier.fd(), TNET_READ, [self](uint32_t) { self->takeSignal(); });
    if (error) return makeError(error, "watch signals");
    self->m_caught.reserve(signals.size());
    for (const int signal : signals) {
        if (const Status caught = self->catchSignal(signal); !caught) return caught.error();
    }
    sigset_t set;
    sigemptyset(&set);
    for (const Caught& caught : self->m_caught) sigaddset(&set, caught.signal);
    sigset_t before;
    pthread_sigmask(SIG_UNBLOCK, &set, &before);
    sigandset(&self->m_blockedBefore, &set, &before);
    return signaler;
}

Signaler::Signaler(IOLoop* loop, Notifier notifier, SignalCallback_t callback)
    : m_loop(loop), m_notifier(std::move(notifier)), m_callback(std::move(callback)) {
    sigemptyset(&m_blockedBefore);
}

// A handler may be running in another thread; it must not write to a descriptor that is closed, and perhaps another's
// by then. It does not take long.
Signaler::~Signaler() {
    pthread_sigmask(SIG_BLOCK, &m_blockedBefore, nullptr);
    for (const Caught& caught : m_caught) {
        ::sigaction(caught.signal, &caught.before, nullptr);
        g_watched[static_cast<size_t>(caught.signal)].notifier.store(nullptr);
    }
    while (g_handlers.load() != 0) std::this_thread::yield();
    m_loop->removeHandler(m_notifier.fd());
}

Status Signaler::catchSignal(int signal) {
    struct sigaction before {};
    if (::sigaction(signal, nullptr, &before) != 0)
        return makeErrnoError(errno, "signal " + std::to_string(signal));
    if (signal == SIGHUP && before.sa_handler == SIG_IGN) return Done{};

    Watched& watched = g_watched[static_cast<size_t>(signal)];
    Notifier* nobody = nullptr;
    if (!watched.notifier.compare_exchange_strong(nobody, &m_notifier))
        return makeError(std::errc::device_or_resource_busy, "signal " + std::to_string(signal));
    watched.arrived.store(0);

    struct sigaction action {};
    action.sa_handler = tnetOnSignal;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (::sigaction(signal, &action, nullptr) != 0) {
        const int error = errno;
        watched.notifier.store(nullptr);
        return makeErrnoError(error, "signal " + std::to_string(signal));
    }
    m_caught.push_back({signal, before});
    return Done{};
}

// One signal per call: the callback may destroy this object. What is left wakes the loop again.
void Signaler::takeSignal() {
    m_notifier.drain();
    int next = 0;
    for (const Caught& caught : m_caught) {
        std::atomic<unsigned>& arrived = g_watched[static_cast<size_t>(caught.signal)].arrived;
        if (arrived.load() == 0) continue;
        if (next != 0) {
            m_notifier.notify();
            break;
        }
        next = caught.signal;
        if (arrived.fetch_sub(1) > 1) m_notifier.notify();
    }
    if (next == 0) return;
    const SignalCallback_t callback = m_callback;
    callback(next);
}

}  // namespace tnet
