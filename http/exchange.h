// HttpExchange: one request and the answer to it: what HttpResponder and HttpBodyWriter refer to.
//
//     any thread:  HttpResponder ─┐
//                                 ├─> HttpExchange ── on the loop's thread ──> HttpSink (the connection)
//     any thread:  HttpBodyWriter ┘
//
// It knows no version of HTTP: the sink does. An HTTP/2 stream would be another sink.
//
// Internal to //http. Threads: as said at each function. Lifetime: shared by the connection that serves
// it and the handles that answer it; once the sink is gone, all calls do nothing.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/request.h"
#include "http/response.h"
#include "tnet/connection.h"
#include "tnet/task_queue.h"

namespace tnet {

class HttpExchange;

// A piece of a request body; the view is valid during the call. `last`: nothing follows, and `piece`
// may be empty.
using HttpBodyCallback_t = std::function<void(std::string_view piece, bool last)>;

// Takes a connection over behind a 101: must set its event callback. Bytes that came behind the
// request follow as a Conn_ReadEvent.
using HttpTakeOver_t = std::function<void(const ConnectionPtr_t& connection)>;

// Changes a response just before it is sent; a streamed response's body is not in it.
using HttpResponseHook_t = std::function<void(HttpResponse& response)>;

// What became of a piece of a streamed body.
enum class HttpWrote : uint8_t {
    Closed,  // dropped, as all that follows will be: the body is complete or broken off, or the client is gone
    Accepted,  // taken; go on
    Wait,      // taken; go on when told that there is room, or that it is this stream's turn again
};

// What carries the answer out. On the loop's thread only; must not call back into user code.
//
// The results are true when they are given: false and Closed say that it did not go out, and that nothing that is
// sent after it will.
class HttpSink {
public:
    virtual bool sendResponse(HttpExchange& exchange, HttpResponse response) = 0;
    virtual bool sendHead(HttpExchange& exchange, HttpResponse head) = 0;  // false, too: no body follows
    virtual HttpWrote sendPiece(HttpExchange& exchange, std::string piece) = 0;
    virtual bool sendEnd(HttpExchange& exchange, HttpHeaders trailers) = 0;
    virtual void abandon(HttpExchange& exchange) = 0;   // a streamed body that will not be finished
    virtual void readBody(HttpExchange& exchange) = 0;  // the handler wants the body, or more of it
    virtual bool upgrade(HttpExchange& exchange, HttpResponse head, HttpTakeOver_t takeOver) = 0;
    virtual void checkDrain(HttpExchange& exchange) = 0;  // a writer waits: call noteQueued, but not now

protected:
    ~HttpSink() = default;
};

class HttpExchange : public std::enable_shared_from_this<HttpExchange> {
public:
    // --- For the sink, on the loop's thread ---

    // Open for a new request. `highWater`: queued bytes beyond which a writer is told to wait.
    void open(HttpSink* sink, const TaskQueuePtr_t& tasks, size_t highWater);

    // Nothing more can be sent, though the exchange is not finished yet: handles learn it with their next call.
    void close() { m_open.store(false, std::memory_order_release); }

    // The answer is complete, or the client is gone: handles are inert from now on. `clientGone` runs
    // what was registered with onGone.
    void finish(bool clientGone);

    HttpSink* sink() const { return m_sink; }
    bool isAnswered() const { return m_answered; }  // a head was sent, or will be

    // Some handle refers to it, or did: not to be used for another request.
    bool isShared() const { return m_shared; }
    void markShared() { m_shared = true; }

    // False: a hook threw, and `response` is a 500 now.
    bool runHooks(HttpResponse& response);
    void addHook(HttpResponseHook_t hook) { m_hooks.push_back(std::move(hook)); }

    // Tells the handler about its streamed request body.
    void deliverBody(std::string_view piece, bool last);
    bool wantsBody() const { return m_bodyCallback && !m_bodyPaused; }

    // How much is queued on the connection.
    void setQueued(size_t bytes) { m_queuedBytes.store(bytes, std::memory_order_relaxed); }
    // Calls the drain callback if a writer was told to wait and there is room again.
    void tellDrained();

    HttpRequest request;

    // --- For handles, any thread ---

    bool isOpen() const { return m_open.load(std::memory_order_acquire); }

    // Runs act(sink, exchange) on the loop's thread, now if this is it, unless it is closed by then.
    // False: it is known to be closed already, or `act` ran and returned false.
    // Where memory runs out instead, the exchange gives up: nothing more is sent, and the client finds its answer
    // broken off.
    using Act_t = std::function<bool(HttpSink&, HttpExchange&)>;
    bool onLoop(Act_t act);

    bool respond(HttpResponse response);
    void dropped();  // by its responder, unanswered: 500, with a line in the log; does not throw
    bool startStream(HttpResponse head);
    bool upgrade(HttpResponse head, HttpTakeOver_t takeOver);
    bool readBody(HttpBodyCallback_t callback);
    void pauseBody();
    void resumeBody();
    void onGone(Callback_t callback);  // any number of them; each is called once

    using Wrote = HttpWrote;
    Wrote write(std::string piece);
    void onDrain(Callback_t callback);
    void end(HttpHeaders trailers);
    void abandon();

    // The rest of an answer that has begun will not come. Where none has, the responder that goes says 500.
    void handlerThrew();

private:
    template <class Call>
    bool guarded(Call call) const;
    template <class Call>
    bool orGiveUp(Call call);
    bool run(const Act_t& act);
    Wrote writeHere(std::string piece);
    Wrote writeFromAfar(std::string piece);
    void noteWaiting(HttpSink& sink);
    void doesNotWait();
    void giveUp();
    void breakOff();
    void fail();

    HttpSink* m_sink = nullptr;  // } the loop's thread only
    bool m_shared = false;       // }
    bool m_answered = false;     // }
    bool m_clientGone = false;   // } before the answer was complete
    bool m_bodyPaused = false;   // }
    bool m_waiting = false;      // } a writer was told to wait
    std::vector<HttpResponseHook_t> m_hooks;
    HttpBodyCallback_t m_bodyCallback;
    std::vector<Callback_t> m_goneCallbacks;
    Callback_t m_drainCallback;

    TaskQueuePtr_t m_tasks;
    std::atomic<bool> m_open{false};
    std::atomic<bool> m_givenUp{false};    // something that was to be sent is lost
    std::atomic<size_t> m_queuedBytes{0};  // on the connection, as of its last note
    std::atomic<size_t> m_postedBytes{0};  // on their way to the loop
    size_t m_highWater = 0;                // constant while open
};

using HttpExchangePtr_t = std::shared_ptr<HttpExchange>;

}  // namespace tnet
