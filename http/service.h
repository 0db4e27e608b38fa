// HttpService: what the HTTP connections of one loop share: the router, the limits, parsers and requests
// to borrow, the Date, and the list of idle connections.
//
// Internal to //http. Threads: its loop's. Lifetime: outlives its connections.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http/exchange.h"
#include "http/idle_list.h"
#include "http/parser.h"
#include "http/response_head.h"
#include "http/router.h"
#include "tnet/address_rate.h"
#include "tnet/durations.h"
#include "tnet/io_loop.h"
#include "tnet/tcp_service.h"
#include "tnet/turn.h"

namespace tnet {

class HttpConnection;

// What became of an answer.
enum class HttpOutcome : uint8_t {
    Complete,    // all of it was handed to the connection, which delivers it unless the client goes first
    ClientGone,  // the client went before that
    CutOff,  // we ended the connection before that: the handler gave up, was silent for too long, or a drain
};

// One answered request, for an access log. The views are valid during the call.
struct HttpAccess {
    const HttpRequest& request;  // of a refused request, what could be read of it
    int status;                  // of the answer; 0 if the client went before there was one
    uint64_t bodyBytes;          // of the answer
    Duration duration;           // from the first byte of the request to the last of the answer, queued
    HttpOutcome outcome = HttpOutcome::Complete;
};
using HttpAccessCallback_t = std::function<void(const HttpAccess& access)>;

// What a connection needs while a request is under way.
struct HttpWork {
    explicit HttpWork(const HttpLimits& limits) : parser(limits) {}

    enum class Input : uint8_t { None, Head, Body, Complete };
    enum class Output : uint8_t { Waiting, Streaming, Complete };

    // Forgets the request that was; what it has allocated stays for the next.
    void reset();

    HttpParser parser;
    HttpExchangePtr_t exchange{};
    Input input = Input::None;  // None: between two requests
    Output output = Output::Waiting;
    std::optional<HttpRouter::Match> match{};
    size_t maxBodyBytes = 0;
    bool streamsBody = false;  // the handler reads the body in pieces
    bool keepAlive = true;
    bool cutOff = false;  // answered over the handler's head: its client is gone

    TimePoint began{};  // the request's first byte
    TimePoint bodyBegan{};
    TimePoint handlerBegan{};
    TimePoint peerEnded{};   // when the client ended its direction
    TimePoint lookedAt{};    // whether it has, while reading is paused
    uint64_t bodyBytes = 0;  // received

    int status = 0;                                               // of the answer
    uint64_t sentBytes = 0;                                       // of its body
    ResponseFraming::Body framing = ResponseFraming::Body::None;  // of a streamed answer
    uint64_t lengthLeft = 0;                                      // of its announced length
    HttpOutcome outcome = HttpOutcome::Complete;

    // What a streamed answer has written in one round of the loop.
    uint64_t writeRound = 0;
    Turn writeTurn{{0, 0}};
    Turn patience{{0, 0}};  // with a writer that goes on after Wait

    HttpTakeOver_t takeOver{};  // set: an upgrade is due
    std::string pending{};      // input that is not looked at yet
    TimerId timer{};
    TimePoint timerDeadline{};

    std::unique_ptr<HttpWork> nextSpare{};  // of the service's list
};

class HttpService final : public TcpService {
public:
    // All borrowed. Without `rate` addresses are not limited.
    HttpService(IOLoop* loop, const HttpRouter& router, const HttpLimits& limits,
                const HttpAccessCallback_t& accessLog, AddressRate* rate = nullptr);
    ~HttpService() override;

    void onConnection(const ConnectionPtr_t& connection) override;
    void onDrain(ConnChecker& connections) override;
    void onListenersClosed(ConnChecker&) override {}

    IOLoop& loop() { return *m_loop; }
    const HttpRouter& router() const { return m_router; }
    const HttpLimits& limits() const { return m_limits; }
    AddressRate* addressRate() const { return m_addressRate; }
    bool isDraining() const { return m_draining; }
    bool isDrainTimeOver() const {
        return m_draining && m_loop->now() >= timeAfter(m_drainBegan, m_limits.drainTime);
    }

    std::unique_ptr<HttpWork> takeWork() {
        if (!m_spareWork) return std::make_unique<HttpWork>(m_limits);
        --m_spareWorks;
        return std::exchange(m_spareWork, std::move(m_spareWork->nextSpare));
    }
    void giveBack(std::unique_ptr<HttpWork> work);

    void addIdle(HttpConnection& connection);
    // A handler of `route` begins. Those that ran in a round of the loop that took too long are said with the next.
    void noteHandler(const HttpRoute& route) {
        if (m_loop->round() != m_handlersRound) beginHandlersRound();
        if (m_handlers < m_begun.size()) m_begun[m_handlers++] = &route;
    }

    // The request has been answered, or its client is gone.
    void finished(const HttpWork& work) {
        if (work.bodyBytes + work.sentBytes >= kLargeBody) returnMemorySoon();
        if (m_accessLog) logAccess(work);
    }

    std::string_view dateLine() { return m_date.line(m_loop->now()); }

private:
    static constexpr uint64_t kLargeBody = 1 << 20;

    void beginHandlersRound();
    void sayBlocked(Duration took);
    void returnMemorySoon();
    void returnMemoryAfter(std::chrono::seconds delay);
    void logAccess(const HttpWork& work) const;
    void accessLogFailed(const char* what) const;
    void closeIdle();
    void watchIdle();
    TimePoint quietDeadline(const IdleLink& link) const;
    void closeQuiet();
    void watchQuiet();

    IOLoop* m_loop;
    const HttpRouter& m_router;
    const HttpLimits& m_limits;
    const HttpAccessCallback_t& m_accessLog;
    AddressRate* const m_addressRate;
    HttpDate m_date;
    std::unique_ptr<HttpWork> m_spareWork;  // to borrow: a list, in front the one that came back last
    size_t m_spareWorks = 0;                // its length
    IdleList m_idle;
    TimerId m_idleTimer{};
    TimerId m_drainTimer{};
    TimerId m_memoryTimer{};
    TimePoint m_memoryDue{};
    uint64_t m_handlersRound = 0;               // the loop's round in which
    std::array<const HttpRoute*, 8> m_begun{};  // handlers of these began, or of these and others
    size_t m_handlers = 0;
    TimePoint m_saysBlockedFrom{};
    TimePoint m_drainBegan{};
    bool m_draining = false;
    mutable bool m_accessLogFailed = false;  // and it was said
};

}  // namespace tnet
