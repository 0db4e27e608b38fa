#include "tnet/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

namespace tnet {

namespace {

struct LogState {
    LogState() : current(fallback.get()) {}

    const std::shared_ptr<spdlog::logger> fallback =
        std::make_shared<spdlog::logger>("tnet", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    std::atomic<spdlog::logger*> current;

    std::mutex mutex;
    std::vector<std::shared_ptr<spdlog::logger>> everSet;  // guarded by mutex
};

LogState& state() {
    // Never destroyed: threads and static destructors may log while the process exits.
    static LogState* const instance = new LogState;
    return *instance;
}

}  // namespace

spdlog::logger& logger() { return *state().current.load(std::memory_order_acquire); }

void setLogger(std::shared_ptr<spdlog::logger> replacement) {
    LogState& log = state();
    const std::lock_guard<std::mutex> lock(log.mutex);
    spdlog::logger* const next = replacement ? replacement.get() : log.fallback.get();
    const bool isNew = std::find(log.everSet.begin(), log.everSet.end(), replacement) == log.everSet.end();
    if (replacement && isNew) log.everSet.push_back(std::move(replacement));
    log.current.store(next, std::memory_order_release);
}

}  // namespace tnet
