// HttpResponder: the right, and the duty, to answer one request; and HttpBodyWriter, to answer in pieces.
//
//     server.router().get("/slow", [](const HttpRequest&, HttpResponder responder) {
//         pool.run([r = std::move(responder)]() mutable { r.respond(HttpResponse::text(compute())); });
//     });
//
// Keep it, move it to another thread, answer later. One that is dropped unanswered answers 500, a
// writer that is dropped unfinished breaks the connection off (the client must not take half a body
// for a whole one). Once the client is gone both are inert: calls return false or Closed.
//
// Neither knows which version of HTTP it answers.
//
// Threads: any, one at a time; what they cause happens on the connection's loop. Callbacks given to
// them run on the loop's thread, never inside the call that registers them. What they throw is logged, and
// the answer is a 500, or breaks off if it has begun.
// Lifetime: keeps the request (and its views) alive.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "http/exchange.h"
#include "http/request.h"
#include "http/response.h"

namespace tnet {

class HttpBodyWriter {
public:
    HttpBodyWriter() = default;  // inert
    HttpBodyWriter(HttpBodyWriter&&) noexcept = default;
    HttpBodyWriter& operator=(HttpBodyWriter&& other) noexcept;
    ~HttpBodyWriter();

    // Sends a piece. Accepted: go on. Wait: taken too, but the client is slow, or it is the turn of others;
    // go on when onDrain calls. Closed: the piece is dropped, as all that follow will be: the client is gone,
    // the answer has no body (HEAD, 204, 304), or it broke off (longer than its Content-Length). A writer
    // that goes on after Wait is broken off once it has written as much as a connection may queue.
    using Wrote = HttpExchange::Wrote;
    Wrote write(std::string piece);
    Wrote write(std::string_view piece) { return write(std::string(piece)); }
    Wrote write(const char* piece) { return write(std::string(piece)); }

    // Called each time there is room again after a Wait. May be called once spuriously.
    void onDrain(Callback_t callback);

    // As on the responder, for handlers that answer while they read.
    void pauseBody();
    void resumeBody();

    // Ends the body; trailers go out if it is chunked (RFC 9112 §7.1.2), but for those that may not be any:
    // see mayBeTrailer (http/trailers.h).
    void finish(HttpHeaders trailers = {});

    bool isOpen() const { return m_exchange && m_exchange->isOpen(); }

private:
    friend class HttpResponder;
    explicit HttpBodyWriter(HttpExchangePtr_t exchange) : m_exchange(std::move(exchange)) {}

    HttpExchangePtr_t m_exchange;  // null: finished
};

class HttpResponder {
public:
    HttpResponder(HttpResponder&&) noexcept = default;
    HttpResponder& operator=(HttpResponder&& other) noexcept;
    ~HttpResponder();

    // Only while it is unanswered.
    const HttpRequest& request() const { return m_exchange->request; }

    // Answers. True if the answer was taken; false if the client is known to be gone, or this was
    // answered before.
    bool respond(HttpResponse response);

    // Sends the head now (with Content-Length if it has that header, chunked otherwise) and the body
    // through the writer. Not open: the client is gone, or the answer has no body and is complete.
    HttpBodyWriter stream(HttpResponse head);

    // Gives the request's body in pieces, from its beginning: for routes with streamBody, where nothing is
    // read from the client before; others get it as one piece. A body has one reader: a second call takes the rest
    // over. False: the client is known to be gone.
    bool readBody(HttpBodyCallback_t callback);
    void pauseBody();  // the client is slowed by TCP; what was read already may still come
    void resumeBody();

    // Switches protocols: answers 101 with the headers of `head` (Connection and Upgrade are added),
    // then `takeOver` gets the connection. For upgrade routes. A hook that makes another status of the 101 refuses:
    // then that is answered, and `takeOver` is not called. What it throws is logged and closes the connection.
    // False: the client is known to be gone.
    bool upgrade(HttpResponse head, HttpTakeOver_t takeOver);

    // Runs `hook` on the response before it is sent, the last registered first; for middleware.
    void onResponse(HttpResponseHook_t hook);

    // Called if the client goes before the answer is complete; at once (from the loop) if it has gone. Any number of
    // callbacks, of middleware and of the handler; each is called once.
    void onClientGone(Callback_t callback);

    // False once the client is known to be gone, or this is answered.
    bool isOpen() const { return m_exchange && m_exchange->isOpen(); }

private:
    friend class HttpConnection;
    friend class HttpNext;
    explicit HttpResponder(HttpExchangePtr_t exchange);

    const HttpExchangePtr_t& exchange() const { return m_exchange; }

    HttpExchangePtr_t take() { return std::exchange(m_exchange, nullptr); }

    HttpExchangePtr_t m_exchange;  // null: answered
};

}  // namespace tnet
