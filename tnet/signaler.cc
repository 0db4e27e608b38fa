#include "tnet/signaler.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

namespace tnet {

Result<std::unique_ptr<Signaler>> Signaler::create(IOLoop* loop, std::initializer_list<int> signals,
                                                   SignalCallback_t callback) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals) {
        if (sigaddset(&set, signal) != 0) return makeErrnoError(errno, "signal " + std::to_string(signal));
    }
    if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr))
        return makeErrnoError(error, "pthread_sigmask");
    FileDescriptor fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!fd.valid()) return makeErrnoError(errno, "signalfd");
    std::unique_ptr<Signaler> signaler(new Signaler(loop, std::move(fd), std::move(callback)));
    Signaler* const self = signaler.get();
    const auto error =
        loop->addHandler(self->m_signals.get(), TNET_READ, [self](uint32_t) { self->readSignals(); });
    if (error) return makeError(error, "watch signalfd");
    return signaler;
}

Signaler::Signaler(IOLoop* loop, FileDescriptor signals, SignalCallback_t callback)
    : m_loop(loop), m_signals(std::move(signals)), m_callback(std::move(callback)) {}

Signaler::~Signaler() { m_loop->removeHandler(m_signals.get()); }

// One signal per call: the callback may destroy this object. Level-triggering brings the next.
void Signaler::readSignals() {
    signalfd_siginfo info{};
    if (::read(m_signals.get(), &info, sizeof(info)) != sizeof(info)) return;
    const SignalCallback_t callback = m_callback;
    callback(static_cast<int>(info.ssi_signo));
}

}  // namespace tnet
