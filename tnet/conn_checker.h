// ConnChecker: closes connections that connect too slowly or sit idle too long.
//
// The server hands it every new connection; it keeps weak references only, so it never prolongs a
// life. Each step looks at the next batch and stops, so its cost per step is bounded however many
// connections there are; the price is lateness, at most worstCaseLateness(). Anything that needs a
// precise deadline uses a timer.
//
// References to connections that are gone are forgotten by the steps, and by add(), which looks at the
// next two as well, so that many short connections between two steps cannot make the list grow past
// twice the living.
//
// Threads: the loop's thread only.
// Lifetime: its timer stops when it is destroyed; the loop outlives it.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>

#include "tnet/io_loop.h"
#include "tnet/result.h"
#include "tnet/types.h"

namespace tnet {

class ConnChecker {
public:
    struct Settings {
        std::chrono::milliseconds interval{1000};  // between two steps
        size_t batch = 1024;                       // connections looked at per step; at least 1
        // Connecting (TLS handshake included); zero and max(): never
        std::chrono::milliseconds connectTimeout{10000};
        std::chrono::milliseconds idleTimeout{60000};  // Connected without traffic; zero and max(): never
    };

    // Error: invalid_argument if interval or batch is zero, or a duration is negative.
    static Result<std::unique_ptr<ConnChecker>> create(IOLoop* loop, const Settings& settings);
    ~ConnChecker();

    ConnChecker(const ConnChecker&) = delete;
    ConnChecker& operator=(const ConnChecker&) = delete;

    // Watches `connection` from now on. Does nothing for one that is already Disconnected.
    void add(const ConnectionPtr_t& connection);

    // Calls `visit` for every watched connection that is not Disconnected. `visit` may close it, and
    // may not add any.
    void forEach(const std::function<void(const ConnectionPtr_t&)>& visit);

    // References held, those to connections that are gone but not yet forgotten included.
    size_t size() const { return m_watched.size(); }

    // How much later than its timeout a connection is found at most: ceil(size / batch) * interval; max() if
    // that is longer than can be said.
    std::chrono::milliseconds worstCaseLateness() const;

private:
    ConnChecker(IOLoop* loop, const Settings& settings);

    void lookAt(size_t count);
    bool check(const ConnectionPtr_t& connection);

    IOLoop* m_loop;
    Settings m_settings;
    TimerId m_timer;
    std::deque<WeakConnectionPtr_t> m_watched;  // the next one to look at in front
};

}  // namespace tnet
