// HttpConnection: speaks HTTP/1.1 on a connection, as the owner of its event callback.
//
//     Conn_ReadEvent -> HttpParser -> HttpRouter -> handler -> response head -> Connection::send
//
// One request at a time: behind each complete request the parser waits until its answer is queued, so
// pipelined requests are answered in order whatever the handlers do. Input that comes meanwhile is kept
// up to one read buffer, then reading pauses and TCP slows the client.
//
// An idle connection has neither parser nor request: they are borrowed from the service (HttpWork)
// while a request is under way.
//
// Threads: the connection's loop only. Lifetime: inside the connection's callback, and gone with it, or
// when an upgrade hands the connection on.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/exchange.h"
#include "http/idle_list.h"
#include "http/router.h"
#include "http/service.h"
#include "tnet/connection.h"
#include "tnet/turn.h"

namespace tnet {

class HttpConnection final : public HttpSink,
                             public IdleLink,
                             public std::enable_shared_from_this<HttpConnection> {
public:
    // Takes the callback of `connection` over. `service` is borrowed and outlives it.
    static void attach(HttpService& service, const ConnectionPtr_t& connection);

    HttpConnection(HttpService& service, Connection& connection);
    ~HttpConnection();

    HttpConnection(const HttpConnection&) = delete;
    HttpConnection& operator=(const HttpConnection&) = delete;

    // For the service: nothing has happened for too long, or the server drains. False: something has arrived
    // after all, which is read in the next round.
    bool endIdle();
    bool isSending() const { return m_connection.isSending(); }
    TimePoint lastActivity() const { return m_connection.lastActivity(); }

private:
    void onEvent(ConnEvent event, const void* context);
    void onRead(std::string_view bytes);
    void onPeerEnd();
    void proceedAfterPeerEnd();
    void clientLeft();
    void onWriteComplete();
    void onClose();

    // Input.
    void process(std::string_view input);
    bool step(std::string_view& input, Turn& turn);
    bool mayParse() const;
    bool waitsForRoom() const;
    bool isTurnOver() const;
    void keepForLater(std::string_view input);
    void resume();
    void scheduleResume();
    template <class Call>
    void orClose(Call call);
    bool beginRequest();
    void onHead();
    bool answerTooMany();
    bool bodyTooLarge() const;
    void onBodyPiece(std::string_view piece);
    void onRequestComplete();

    // Handling.
    void dispatch();
    HttpResponse callHandler(const HttpRoute& route) const;
    void refuse(int status, const char* reason);
    void continueIfExpected();

    // Output.
    bool writeResponse(HttpResponse&& response);
    void deliverWhole(HttpExchange& exchange);
    bool writeHead(const HttpResponse& head, ResponseFraming framing, std::string_view smallBody);
    bool writeBody(HttpResponse& response);
    bool writesTooMuch();
    HttpWrote doesNotWait();
    bool isWriteTurnOver() const;
    ResponseFraming::Connection connectionField() const;
    bool endAnswer(HttpOutcome outcome);
    void finishRequest();
    bool isLastAnswer() const;
    bool hasMoreInput() const;
    void endConnection();
    void shutDown(Connection::PeerEnd peerEnd);
    void cutOff();
    void becomeIdle();
    void takeOver(std::string_view leftover);
    static bool tookOver(const HttpTakeOver_t& take, const ConnectionPtr_t& connection);

    // Deadlines.
    struct Deadline {
        enum class Kind : uint8_t { Head, Body, Handler, Stream, PeerEnd, Look };
        TimePoint at;
        Kind kind;
    };
    std::optional<Deadline> nextDeadline() const;
    void watchDeadline();
    void onDeadline();
    void streamIsIdle();
    void lookAtPeer();

    bool sendResponse(HttpExchange& exchange, HttpResponse response) override;
    bool sendHead(HttpExchange& exchange, HttpResponse head) override;
    HttpWrote sendPiece(HttpExchange& exchange, std::string piece) override;
    bool sendEnd(HttpExchange& exchange, HttpHeaders trailers) override;
    void abandon(HttpExchange& exchange) override;
    void readBody(HttpExchange& exchange) override;
    bool upgrade(HttpExchange& exchange, HttpResponse head, HttpTakeOver_t takeOver) override;
    void checkDrain(HttpExchange& exchange) override;

    HttpService& m_service;
    Connection& m_connection;          // owns the callback that owns this
    std::unique_ptr<HttpWork> m_work;  // only while a request is under way
    bool m_turnOver = false;           // of process()
    bool m_processing = false;         // process() is on the stack and will look again
    bool m_moreInput = false;          // it has input behind what the parser took
    bool m_peerEnded = false;          // the client has ended its direction
    bool m_ended = false;              // nothing more is read: closing, or handed on
};

}  // namespace tnet
