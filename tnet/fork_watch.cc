#include "tnet/fork_watch.h"

#include <pthread.h>

#include <atomic>

namespace tnet {
namespace {

std::atomic<bool> forked{false};

// Before the fork rather than after it: from then on no other thread closes a socket as if there were no child.
void beforeFork() { forked.store(true); }

[[maybe_unused]] const int kRegistered = ::pthread_atfork(beforeFork, nullptr, nullptr);

}  // namespace

bool hasForked() { return forked.load(); }

}  // namespace tnet
