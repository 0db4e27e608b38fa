#include "tnet/log.h"

#include <poll.h>
#include <spdlog/details/os.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tnet/async_sink.h"

namespace tnet {

namespace {

// To descriptor 2 itself: a thread that waits in fwrite holds the lock of stderr, which exit() takes, too.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t text;
        formatter_->format(message, text);
        std::string line(text.data(), text.size());
        if (m_inColour && message.color_range_end > message.color_range_start) {
            line.insert(message.color_range_end, "\033[m");
            line.insert(message.color_range_start, colourOf(message.level));
        }
        for (std::string_view left = line; !left.empty();) {
            const ssize_t written = ::write(STDERR_FILENO, left.data(), left.size());
            if (written > 0) {
                left.remove_prefix(static_cast<size_t>(written));
            } else if (errno == EAGAIN) {
                pollfd room{STDERR_FILENO, POLLOUT, 0};
                ::poll(&room, 1, -1);
            } else if (errno != EINTR) {
                return;
            }
        }
    }
    void flush_() override {}

    static const char* colourOf(spdlog::level::level_enum level) {
        if (level >= spdlog::level::err) return "\033[31m\033[1m";
        if (level == spdlog::level::warn) return "\033[33m\033[1m";
        return level == spdlog::level::info ? "\033[32m" : "\033[36m";
    }

    const bool m_inColour =
        spdlog::details::os::in_terminal(stderr) && spdlog::details::os::is_color_terminal();
};

struct LogState {
    LogState() : current(fallback.get()) {}

    const std::shared_ptr<AsyncSink> sink = std::make_shared<AsyncSink>(std::make_shared<StderrSink>());
    const std::shared_ptr<spdlog::logger> fallback = std::make_shared<spdlog::logger>("tnet", sink);
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

bool writeLog(std::chrono::milliseconds patience) { return state().sink->waitUntilWritten(patience); }

void setLogger(std::shared_ptr<spdlog::logger> replacement) {
    LogState& log = state();
    const std::lock_guard<std::mutex> lock(log.mutex);
    spdlog::logger* const next = replacement ? replacement.get() : log.fallback.get();
    const bool isNew = std::find(log.everSet.begin(), log.everSet.end(), replacement) == log.everSet.end();
    if (replacement && isNew) log.everSet.push_back(std::move(replacement));
    log.current.store(next, std::memory_order_release);
}

}  // namespace tnet
