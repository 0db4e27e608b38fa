// WsConnection: speaks WebSocket (RFC 6455) on a connection, as the owner of its event callback.
//
//     Conn_ReadEvent -> WsReceiver -> the route's handlers
//     send, from any thread -> (the loop's inbox) -> frame -> Connection::send
//
// It takes the connection over from HTTP behind a 101, and dies with it. A WsConnectionPtr_t may be kept as long
// as one likes: once the connection is gone it is inert, and calls say Closed.
//
// Threads: any, where a function does not say otherwise. What other threads ask for is done by the loop, in
// the order in which one thread asked. No call calls back before it returns.
// Lifetime: the connection's callback holds it, and whoever has a WsConnectionPtr_t.
#pragma once

#include <any>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/idle_list.h"
#include "tnet/connection.h"
#include "websocket/publication.h"
#include "websocket/receiver.h"
#include "websocket/request.h"
#include "websocket/route.h"
#include "websocket/topic_tree.h"
#include "websocket/topics.h"

namespace tnet {

class WsLoop;
struct WsLane;

enum class WsSendStatus : uint8_t {
    Accepted,  // written, or queued and on its way
    Queued,    // the same, but more than the route's highWaterBytes wait: onDrain tells when they have left
    Dropped,   // the peer is too slow, and the route says to drop
    Closed,    // the connection is closed or closing
};

class WsConnection final : public WsSubscriber,
                           public IdleLink,
                           public std::enable_shared_from_this<WsConnection> {
public:
    // --- Send ---

    // A message, Text or Binary. Text is UTF-8; a peer fails the connection over anything else. From another
    // thread the status is what is known there.
    WsSendStatus send(std::string_view message, WsOpcode opcode = WsOpcode::Text);

    // A message that takes the place of a waiting one with the same key, if the route's overflow is KeepLatest.
    WsSendStatus sendLatest(std::string_view key, std::string_view message, WsOpcode opcode = WsOpcode::Text);

    // At most 125 bytes of payload; what is longer is cut. Dropped: too much is queued, or waits for the loop.
    WsSendStatus ping(std::string_view payload = {});

    // A message in pieces, each a frame of its own; whole messages that are sent before it is finished wait
    // until then. Not compressed. On the loop's thread only. Begin: false if one is under way already.
    bool beginMessage(WsOpcode opcode = WsOpcode::Text);
    WsSendStatus sendPiece(std::string_view piece, bool last);

    // The closing handshake (RFC 6455 §7.1.2): what is queued is sent first. A `code` that may not be on the
    // wire, such as the Abnormal of another connection's onClose, is sent as none. `reason`: UTF-8, cut to
    // 123 bytes. Only the first call does anything.
    void close(WsCloseCode code = WsCloseCode::Normal, std::string_view reason = {});

    // Without handshake and without delivering anything: onClose says 1006.
    void abort();

    // --- Topics ---

    // False, and nothing happens: the filter is malformed, the connection is closed or closing, or, on
    // another thread, too much waits for the loop already. Subscribing twice is once.
    bool subscribe(std::string_view filter);
    void unsubscribe(std::string_view filter);

    // To all subscribers of the topic, this connection included if it is one. As WsTopics::publish.
    WsPublishStatus publish(std::string_view topic, std::string_view message,
                            WsOpcode opcode = WsOpcode::Text);

    // --- Receive; on the loop's thread only ---

    // Nothing comes any more until resumeReading(): no message, piece, pong or close; what was read already
    // waits. Pings are not answered meanwhile, and the peer is not pinged. A close resumes.
    void pauseReading();
    void resumeReading();

    // --- Observe ---

    // False once it is closed or closing.
    bool isOpen() const {
        return m_state.load(std::memory_order_acquire) == State::Open &&
               m_endAsked.load(std::memory_order_relaxed) == 0;
    }

    // Of memory: what the kernel has not taken, and what other threads have sent and the loop has not looked at.
    size_t queuedBytes() const {
        return m_queued.load(std::memory_order_relaxed) + m_posted.load(std::memory_order_relaxed);
    }

    const WsRoute& route() const;

    // --- On the loop's thread only ---

    // Empty once onOpen has returned, if the route does not keep it.
    const WsRequest& request() const;
    std::string_view subprotocol() const;  // empty: none was agreed on
    bool isCompressed() const { return m_deflate != nullptr; }

    // Data of the user's type, destroyed with this object.
    template <class T, class... Arguments>
    T& setData(Arguments&&... arguments) {
        return m_data.emplace<T>(std::forward<Arguments>(arguments)...);
    }
    template <class T>
    T* data() {  // null: none, or of another type
        return std::any_cast<T>(&m_data);
    }

    // --- For //websocket, on the loop's thread ---

    // What was agreed on in the handshake.
    struct Agreement {
        uint16_t subprotocol = 0;  // one more than its index in the route's; zero: none
        std::optional<WsDeflateParameters> deflate{};
    };

    WsConnection(WsLane& lane, const Agreement& agreement, std::unique_ptr<WsRequest> request);
    ~WsConnection();
    WsConnection(const WsConnection&) = delete;
    WsConnection& operator=(const WsConnection&) = delete;

    // Takes the callback of `connection` over and calls onOpen.
    static void takeOver(const WsConnectionPtr_t& self, const ConnectionPtr_t& connection);

    // True: it was sent or queued.
    bool deliver(const WsPublication& publication);

    // What another thread has asked for, and its bytes as they were posted.
    void runPosted(const std::function<void(WsConnection&)>& task, size_t bytes);

    // Runs what belongs to no event of the connection. Memory that runs out in it costs the connection.
    template <class Call>
    void orAbort(Call call) {
        try {
            call();
        } catch (const std::bad_alloc&) {
            endForMemory();
        }
    }

    // Whoever looks does so this often in a pingInterval: a ping is due at the fourth look in a row that
    // finds the peer silent, which is after three quarters of the interval at the earliest, and after all of
    // it at the latest.
    static constexpr uint8_t kLooksPerPing = 4;
    bool isPingDue(bool awaitsPong);
    void notePongMissed();
    void noteHeard() { m_silentLooks = 0; }
    // From time to time: the idle timeout, and windows that nobody uses.
    void lookAfter(TimePoint now);

private:
    enum class State : uint8_t {
        Opening,  // not yet taken over
        Open,
        Closing,  // we sent Close, and wait for the peer's
        Ending,   // both did, or the connection failed: TCP ends
        Closed,
    };

    // A message in pieces that is sent: its opcode is due, or out.
    enum class Streaming : uint8_t { None, TextBegins, BinaryBegins, GoesOn };
    bool isStreaming() const { return m_streaming != Streaming::None; }

    // What only few connections need.
    struct Waiting;  // messages that wait for a slow peer, or behind one that is sent in pieces
    struct Deflate;
    struct Ending {
        WsCloseCode code;
        std::string reason;
        TimerId timer{};
    };

    void onEvent(const WsConnectionPtr_t& self, ConnEvent event, const void* context);
    void onRead(const WsConnectionPtr_t& self, std::span<char> input);
    bool handle(const WsConnectionPtr_t& self, WsReceiver::Event event);
    static constexpr uint8_t kAwaitsPong = UINT8_MAX;
    void heard();
    bool isPaused() const { return m_connection != nullptr && m_connection->isReadingPaused(); }
    bool isTooOften();
    void keepRest(std::span<char> input);
    void goOnLater();
    bool hasRest() const { return m_receiver && m_receiver->hasRest(); }
    bool hasOwnWindow() const;  // to decompress with
    void onPeerClose(const WsClosePayload& payload);
    void onWriteComplete(const WsConnectionPtr_t& self);
    void onClosed(const WsConnectionPtr_t& self);

    template <class Call>
    void guarded(const char* what, Call call);
    bool isInLoopThread() const;
    // From other threads. IfRoom: false if too much waits already, for this connection or for its loop.
    enum class Posting : uint8_t { IfRoom, Always };
    template <class Task>
    bool post(Posting posting, size_t textBytes, Task task);
    enum : uint8_t { kCloseAsked = 1, kAbortAsked = 2 };  // bits of m_endAsked
    template <class Task>
    void postEnd(uint8_t end, size_t textBytes, Task task);

    WsSendStatus sendHere(std::string_view key, std::string_view message, WsOpcode opcode);
    WsSendStatus sendPieceHere(std::string_view piece, bool last);
    WsSendStatus sendShared(std::string_view key, SharedBytesPtr_t frame);
    WsSendStatus sendFrame(std::string_view payload, WsOpcode opcode, bool fin, bool isCompressed);
    WsSendStatus wait(std::string_view key, SharedBytesPtr_t frame);
    WsSendStatus overflowed();
    WsSendStatus closeAsTooSlow();
    bool hasRoom(size_t bytes);
    WsSendStatus afterSend(const SendResult& result);
    bool mustWait();
    size_t handedOverBytes() const;
    void noteQueued();
    void noteDropped(size_t count);
    void sendWaiting();
    void handOver();
    Waiting& waiting();
    bool compress(std::string_view& message, bool mayBeDropped);

    void closeHere(WsCloseCode code, std::string_view reason);
    void endConnection(Connection::PeerEnd peerEnd);
    void sendClose(WsCloseCode code, std::string_view reason);
    void endForMemory() noexcept;
    void fail(WsCloseCode code, std::string_view reason);
    void setState(State state) { m_state.store(state, std::memory_order_release); }
    State state() const { return m_state.load(std::memory_order_relaxed); }

    const std::shared_ptr<WsLoop> m_home;
    WsLane& m_lane;                          // of m_home
    Connection* m_connection = nullptr;      // null: not yet, or no longer; the loop's thread only
    std::unique_ptr<WsReceiver> m_receiver;  // only in the middle of a message, or with a window of its own
    std::unique_ptr<WsRequest> m_request;
    std::unique_ptr<Deflate> m_deflate;
    std::unique_ptr<Waiting> m_waiting;
    std::unique_ptr<Ending> m_ending;
    std::any m_data;
    TimePoint m_lastMessage{};
    std::atomic<size_t> m_queued{0};
    std::atomic<size_t> m_posted{0};
    uint32_t m_rateSecond = 0;  // } messages that came in
    uint32_t m_rateCount = 0;   // } that second of the loop's clock
    std::atomic<State> m_state{State::Opening};
    std::atomic<uint8_t> m_endAsked{0};  // by other threads: each is done once, and never refused
    uint8_t m_silentLooks = 0;           // isPingDue() in a row; or kAwaitsPong
    bool m_goesOnLater = false;          // a task of the loop will go on with the receiver's rest
    bool m_isPausedByUser = false;       // pauseReading
    Streaming m_streaming = Streaming::None;
    uint16_t m_subprotocol = 0;  // one more than its index in the route's; zero: none
};

}  // namespace tnet
