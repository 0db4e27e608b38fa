#include "tnet/async_sink.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace tnet {

using spdlog::details::log_msg;
using spdlog::details::log_msg_buffer;

struct AsyncSink::Queue {
    std::shared_ptr<spdlog::sinks::sink> target;
    size_t maxBytes = 0;

    std::mutex mutex;  // guards what follows
    std::condition_variable work;
    std::condition_variable progress;
    std::deque<log_msg_buffer> lines;
    size_t bytes = 0;
    uint64_t taken = 0;    // lines that log() kept, and notices
    uint64_t written = 0;  // of these
    uint64_t droppedEver = 0;
    uint64_t droppedUntold = 0;
    std::string droppedLogger;
    bool isFull = false;  // drops until there is room again
    bool hasThread = false;
    bool isIdle = false;     // the thread waits for work
    bool isStuck = false;    // it took nothing for kPatience: nobody waits again until it does
    bool isExiting = false;  // exit() has begun: every line is waited for
    bool wantsFlush = false;
    bool mayEnd = false;

    void keep(const log_msg& message);
    void tellDropped();
    bool waitFor(std::unique_lock<std::mutex>& lock, uint64_t line, std::chrono::milliseconds patience);
    void run();
};

namespace {

size_t costOf(const log_msg& message) {
    return sizeof(log_msg_buffer) + 32 + message.payload.size() + message.logger_name.size();
}

// All queues of the process, for exit() and fork(). Never destroyed: threads log while the process exits.
struct Queues {
    std::mutex mutex;
    std::vector<std::weak_ptr<AsyncSink::Queue>> all;
    std::vector<std::shared_ptr<AsyncSink::Queue>> held;  // between the two ends of a fork
};

Queues& queues();

std::vector<std::shared_ptr<AsyncSink::Queue>> living() {
    std::vector<std::shared_ptr<AsyncSink::Queue>> found;
    const std::lock_guard lock(queues().mutex);
    for (const auto& weak : queues().all) {
        if (auto queue = weak.lock()) found.push_back(std::move(queue));
    }
    return found;
}

void writeAtExit() {
    for (const auto& queue : living()) {
        std::unique_lock lock(queue->mutex);
        queue->isExiting = true;
        if (queue->hasThread) queue->isStuck = !queue->waitFor(lock, queue->taken, AsyncSink::kPatience);
    }
}

// No queue is in the middle of a change when the process is copied.
void beforeFork() {
    auto found = living();
    queues().mutex.lock();
    queues().held = std::move(found);
    for (const auto& queue : queues().held) queue->mutex.lock();
}

void afterFork(bool isChild) {
    std::vector<std::shared_ptr<AsyncSink::Queue>> held = std::move(queues().held);
    queues().held.clear();
    for (const auto& queue : held) {
        if (isChild && queue->hasThread) {
            // They count waiters that the child does not have, and would wait for these. Not destroyed, for
            // the same reason.
            new (&queue->work) std::condition_variable;
            new (&queue->progress) std::condition_variable;
            queue->hasThread = false;
            queue->isIdle = false;
            queue->isStuck = false;
            queue->lines.clear();
            queue->bytes = 0;
            queue->taken = queue->written = 0;
            queue->isFull = false;
        }
        queue->mutex.unlock();
    }
    queues().mutex.unlock();
}

Queues& queues() {
    static Queues* const instance = [] {
        auto* const made = new Queues;
        ::pthread_atfork(
            beforeFork, [] { afterFork(false); }, [] { afterFork(true); });
        std::atexit(writeAtExit);
        return made;
    }();
    return *instance;
}

// Signals are for the threads of the program.
void startThread(std::shared_ptr<AsyncSink::Queue> queue) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        AsyncSink::Queue* const borrowed = queue.get();
        std::thread([queue = std::move(queue)] { queue->run(); }).detach();
        borrowed->hasThread = true;
    } catch (...) {
        // The next line tries again.
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

void AsyncSink::Queue::keep(const log_msg& message) {
    const size_t cost = costOf(message);
    lines.emplace_back(message);
    bytes += cost;
    ++taken;
}

void AsyncSink::Queue::tellDropped() {
    if (droppedUntold == 0) return;
    const std::string text =
        std::to_string(droppedUntold) + " lines were dropped: more was logged than is taken";
    keep(log_msg(droppedLogger, spdlog::level::warn, text));
    droppedUntold = 0;
}

bool AsyncSink::Queue::waitFor(std::unique_lock<std::mutex>& lock, uint64_t line,
                               std::chrono::milliseconds patience) {
    while (written < line) {
        const uint64_t before = written;
        if (!progress.wait_for(lock, patience, [&] { return written != before; })) return false;
    }
    return true;
}

void AsyncSink::Queue::run() {
    std::unique_lock lock(mutex);
    for (;;) {
        try {
            if (lines.empty()) tellDropped();
        } catch (...) {
            // No memory: told later.
        }
        if (lines.empty()) {
            if (std::exchange(wantsFlush, false)) {
                lock.unlock();
                try {
                    target->flush();
                } catch (...) {
                    // What a sink cannot flush is its own to tell.
                }
                lock.lock();
                continue;
            }
            if (mayEnd) return;
            isIdle = true;
            work.wait(lock, [this] { return !lines.empty() || wantsFlush || mayEnd; });
            isIdle = false;
            continue;
        }
        const log_msg_buffer line = std::move(lines.front());
        lines.pop_front();
        lock.unlock();
        bool failed = false;
        try {
            target->log(line);
        } catch (...) {
            failed = true;
        }
        lock.lock();
        bytes -= costOf(line);
        ++written;
        isStuck = false;
        if (failed) ++droppedEver;
        if (bytes <= maxBytes / 2) isFull = false;
        progress.notify_all();
    }
}

AsyncSink::AsyncSink(std::shared_ptr<spdlog::sinks::sink> target, size_t maxBytes)
    : m_queue(std::make_shared<Queue>()) {
    m_queue->target = std::move(target);
    m_queue->maxBytes = maxBytes;
    Queues& known = queues();
    const std::lock_guard lock(known.mutex);
    std::erase_if(known.all, [](const std::weak_ptr<Queue>& weak) { return weak.expired(); });
    known.all.push_back(m_queue);
}

AsyncSink::~AsyncSink() {
    std::unique_lock lock(m_queue->mutex);
    if (m_queue->hasThread) m_queue->waitFor(lock, m_queue->taken, kPatience);
    m_queue->mayEnd = true;
    m_queue->work.notify_one();
}

void AsyncSink::log(const log_msg& message) {
    Queue& queue = *m_queue;
    std::unique_lock lock(queue.mutex);
    if (queue.bytes + costOf(message) > queue.maxBytes) queue.isFull = true;
    try {
        if (!queue.isFull) {
            queue.tellDropped();
            queue.keep(message);
        } else {
            ++queue.droppedEver;
            if (queue.droppedUntold++ == 0)
                queue.droppedLogger.assign(message.logger_name.data(), message.logger_name.size());
        }
    } catch (...) {
        ++queue.droppedEver;  // no memory
        ++queue.droppedUntold;
        return;
    }
    if (!queue.hasThread) startThread(m_queue);
    if (queue.isIdle) queue.work.notify_one();
    const bool isLast = queue.isExiting || message.level >= spdlog::level::critical;
    if (!isLast || !queue.hasThread || queue.isStuck) return;
    queue.isStuck = !queue.waitFor(lock, queue.taken, kPatience);
}

void AsyncSink::flush() {
    const std::lock_guard lock(m_queue->mutex);
    if (!m_queue->hasThread) return;
    m_queue->wantsFlush = true;
    m_queue->work.notify_one();
}

void AsyncSink::set_pattern(const std::string& pattern) { m_queue->target->set_pattern(pattern); }

void AsyncSink::set_formatter(std::unique_ptr<spdlog::formatter> formatter) {
    m_queue->target->set_formatter(std::move(formatter));
}

bool AsyncSink::waitUntilWritten(std::chrono::milliseconds patience) {
    std::unique_lock lock(m_queue->mutex);
    return m_queue->waitFor(lock, m_queue->taken, patience);
}

uint64_t AsyncSink::dropped() const {
    const std::lock_guard lock(m_queue->mutex);
    return m_queue->droppedEver;
}

size_t AsyncSink::waitingBytes() const {
    const std::lock_guard lock(m_queue->mutex);
    return m_queue->bytes;
}

}  // namespace tnet
