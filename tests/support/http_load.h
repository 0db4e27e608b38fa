// HttpLoad: clients that ask a server without a pause, and count what becomes of each request.
//
//     HttpLoad load({.address = bound, .path = "/n/"});
//     ASSERT_TRUE(waitUntil([&] { return load.counts().answered > 1000; }));
//     server.drain(std::chrono::seconds(10));
//     load.stop();
//     EXPECT_EQ(load.counts().lost, 0U) << load.firstLoss();
//
// Three kinds: fresh ones connect for each request, some of them a moment before they send it; kept ones use their
// connection for as long as the server lets them; pipelining ones send several requests at once.
//
// A request is lost if its bytes were sent whole, on a connection whose end had not been seen, and no whole answer
// came. A pipelined request behind an answer that says "Connection: close" is not: it is to be sent again (RFC 9112
// §9.6); it is counted as told.
//
// Threads: the maker's, but for counts(). Lifetime: stop() or the destructor ends its threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tnet/address.h"

namespace tnet {

class HttpLoad {
public:
    struct Settings {
        Address address{};
        std::string path{};  // a number is put behind it, and must be in the answer's body
        size_t fresh = 3;    // clients of each kind
        size_t kept = 3;
        size_t pipelining = 1;
    };
    struct Counts {
        uint64_t answered = 0;
        uint64_t refused = 0;    // connects
        uint64_t untouched = 0;  // connections that ended before a request was sent
        uint64_t told = 0;
        uint64_t lost = 0;
    };

    explicit HttpLoad(const Settings& settings);
    ~HttpLoad();
    HttpLoad(const HttpLoad&) = delete;
    HttpLoad& operator=(const HttpLoad&) = delete;

    // Waits for the answers that are due.
    void stop();

    Counts counts() const;
    std::string firstLoss() const;  // what happened; empty: nothing is lost

private:
    class Client;

    void run(size_t pipelined, bool isKept, unsigned seed);
    void lose(uint64_t requests, const std::string& how);

    const Settings m_settings;
    std::atomic<bool> m_isOver{false};
    std::atomic<uint64_t> m_next{0};
    std::atomic<uint64_t> m_answered{0};
    std::atomic<uint64_t> m_refused{0};
    std::atomic<uint64_t> m_untouched{0};
    std::atomic<uint64_t> m_told{0};
    std::atomic<uint64_t> m_lost{0};
    mutable std::mutex m_mutex;
    std::string m_firstLoss;  // with m_mutex
    std::vector<std::thread> m_threads;
};

}  // namespace tnet
