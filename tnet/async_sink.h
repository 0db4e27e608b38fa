// AsyncSink: a sink of spdlog that never makes whoever logs wait for a slow terminal, pipe or disk.
//
//     any thread: log() ---> lines that wait, bounded ---> a thread of its own ---> another sink
//
// When the bound is reached, further lines are dropped, until half of what waits is written; then one line
// says how many were. spdlog's own asynchronous logger drops what waits longest and does not say so, has its
// thread and three megabytes from the start, and waits at a process's exit for as long as nobody reads its
// pipe.
//
// The thread is started with the first line. At exit(), and for a line of level critical, what waits is
// written first, unless the sink takes nothing for kPatience (a sink that waits in fwrite(stderr) still holds
// exit() up, by its lock). _exit(), abort() and crashes lose what waits. A child of fork() starts a thread of
// its own with its first line; what waited in the parent is the parent's.
//
// Threads: any. Lifetime: the destructor writes what waits, as exit() does.
#pragma once

#include <spdlog/details/log_msg_buffer.h>
#include <spdlog/sinks/sink.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "tnet/cpp20.h"

namespace tnet {

class AsyncSink final : public spdlog::sinks::sink {
public:
    static constexpr size_t kMaxBytes = 1 << 20;
    static constexpr std::chrono::milliseconds kPatience{1000};

    // `target` is called by one thread at a time, but for its formatter and pattern (so the _mt kind). `maxBytes`: of
    // the lines that wait, with what it costs to keep them.
    explicit AsyncSink(std::shared_ptr<spdlog::sinks::sink> target, size_t maxBytes = kMaxBytes);
    ~AsyncSink() override;

    // Keeps or drops a copy. Does not throw, and waits for nothing but at level critical.
    void log(const spdlog::details::log_msg& message) override;

    // The target is flushed once what waits now is written; does not wait for that.
    void flush() override;

    // The target's.
    void set_pattern(const std::string& pattern) override;
    void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override;

    // Waits until all that was logged before is written. False: the target took nothing for `patience`.
    bool waitUntilWritten(std::chrono::milliseconds patience = kPatience);

    uint64_t dropped() const;  // lines, ever
    size_t waitingBytes() const;

    struct Queue;  // shared with the thread

private:
    std::shared_ptr<Queue> m_queue;
};

}  // namespace tnet
