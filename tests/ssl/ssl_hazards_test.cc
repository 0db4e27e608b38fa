// The hazards of a connection, made by records: faults of the lower transport at every byte of the ciphertext, and
// what only TLS can do to a connection. The suites of the packages above run over TLS besides.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_peer.h"
#include "tests/support/scripted_transport.h"
#include "tnet/connection.h"
#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Events = std::vector<ConnEvent>;

constexpr size_t kFullRecord = 16384;

std::string patternOf(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 23);
    return bytes;
}

// A connection over TLS whose events are logged.
struct Watched {
    explicit Watched(IOLoop* loop) : peer(loop) { peer.connection()->setEventCallback(log.callback()); }

    Connection& connection() { return *peer.connection(); }
    ScriptedTransport& transport() { return peer.transport(); }

    // It failed: one error, one close, in this order at the end.
    void expectFailed() {
        ASSERT_GE(log.events.size(), 2U);
        EXPECT_EQ(log.events.back(), Conn_CloseEvent);
        EXPECT_EQ(log.events[log.events.size() - 2], Conn_ErrorEvent);
        EXPECT_EQ(log.count(Conn_ErrorEvent), 1U);
        EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
    }

    EventLog log{};  // outlives the peer, whose connection writes to it
    ScriptedPeer peer;
};

class SslHazardsTest : public LoopTest {
protected:
    static std::string recordsOf(ScriptedPeer& peer, std::string_view first, std::string_view second) {
        std::string records = peer.recordsOf(first);
        return records += peer.recordsOf(second);
    }

    // How many bytes of records `text` is.
    size_t recordBytes(std::string_view text) {
        Watched w(loop());
        w.peer.start();
        w.connection().send(text);
        EXPECT_TRUE(w.connection().flush());
        return w.transport().written().size();
    }
};

// --- The handshake ---

TEST_F(SslHazardsTest, AHandshakeSurvivesShortWritesAndAFullKernel) {
    for (const size_t limit : {1, 2, 3, 7, 31, 100, 1000}) {
        Watched w(loop());
        w.transport().limitWrites(limit);
        for (int i = 0; i < 20; ++i) {
            w.transport().onWrite(ScriptedTransport::wantsWrite());
            w.transport().onWrite(ScriptedTransport::takes(limit));
        }
        w.connection().start();
        for (int i = 0; i < 5000 && !w.connection().isConnected(); ++i) w.peer.shakeHands();
        EXPECT_EQ(w.log.events, Events{Conn_EstablishedEvent}) << limit;
        w.peer.feed("in").settle();
        w.connection().send("out");
        EXPECT_EQ(w.peer.collect(), "out");
        EXPECT_EQ(w.log.bytes, "in");
    }
}

TEST_F(SslHazardsTest, AResetAtAnyByteOfTheHandshakeIsOneErrorAndOneClose) {
    for (size_t at = 0; at < 1000; at += at < 20 ? 1 : 13) {
        Watched w(loop());
        w.transport().limitWrites(10);
        w.transport().resetAfterWritten(at);
        w.connection().start();
        for (int i = 0; i < 100 && w.connection().state() == ConnState::Connecting; ++i) w.peer.shakeHands();
        // shakeHands() counts anew when it was over before.
        if (w.connection().isConnected()) break;
        w.peer.settle();
        EXPECT_EQ(w.log.events, (Events{Conn_ErrorEvent, Conn_CloseEvent})) << at;
        EXPECT_EQ(w.log.error, std::errc::connection_reset);
    }
}

// The request of a fast client lies in the packet that ends the handshake, and the socket stays silent.
TEST_F(SslHazardsTest, InputThatCameWithTheLastFlightIsRead) {
    Watched w(loop());
    w.connection().start();
    w.peer.shakeHands("early bird");
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent}));
    EXPECT_EQ(w.log.bytes, "early bird");
}

TEST_F(SslHazardsTest, WhatEstablishedMayDoWithInputThatCameWithTheLastFlight) {
    const auto run = [this](const std::function<void(Connection&)>& act) {
        auto log = std::make_unique<EventLog>();
        ScriptedPeer peer(loop());
        peer.connection()->setEventCallback(
            [&, events = log.get()](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                events->record(event, context);
                if (event == Conn_EstablishedEvent) act(*c);
            });
        peer.connection()->start();
        peer.shakeHands("early bird");
        peer.settle();
        peer.connection()->resumeReading();
        peer.settle();
        peer.connection()->setEventCallback({});
        return log;
    };
    EXPECT_EQ(run([](Connection& c) { c.close(); })->events,
              (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    EXPECT_EQ(run([](Connection& c) { c.shutDown(); })->events,
              (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    EXPECT_EQ(run([](Connection& c) { c.abort(); })->events,
              (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    EXPECT_EQ(run([](Connection& c) { c.pauseReading(); })->bytes, "early bird");
    EventLog later;
    EXPECT_EQ(run([&](Connection& c) { c.setEventCallback(later.callback()); })->events,
              Events{Conn_EstablishedEvent});
    EXPECT_EQ(later.bytes, "early bird");
}

TEST_F(SslHazardsTest, PausedInEstablishedItReadsTheEarlyInputWhenResumed) {
    Watched w(loop());
    w.peer.connection()->setEventCallback(
        [&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
            w.log.record(event, context);
            if (event == Conn_EstablishedEvent) c->pauseReading();
        });
    w.connection().start();
    w.peer.shakeHands("early bird");
    w.peer.settle();
    EXPECT_EQ(w.log.events, Events{Conn_EstablishedEvent});
    w.connection().resumeReading();
    w.peer.settle();
    EXPECT_EQ(w.log.bytes, "early bird");
}

// --- Reading ---

TEST_F(SslHazardsTest, RecordsCutAtEveryByteAreReadWhole) {
    for (size_t cut = 1; cut < 60; ++cut) {
        Watched w(loop());
        w.peer.start();
        const std::string records = recordsOf(w.peer, "one ", "two");
        if (cut >= records.size()) break;
        w.transport().feed(std::string_view(records).substr(0, cut));
        w.peer.settle();
        const size_t calls = w.transport().calls();
        runRounds(20);
        EXPECT_EQ(w.transport().calls(), calls) << "spins on half a record";
        w.transport().feed(std::string_view(records).substr(cut));
        w.peer.settle();
        EXPECT_EQ(w.log.bytes, "one two") << cut;
        EXPECT_LE(w.log.count(Conn_ReadEvent), 2U);
    }
}

TEST_F(SslHazardsTest, AResetOrAnEndAtEveryByteReadIsOneErrorAndOneClose) {
    for (const bool isReset : {true, false}) {
        for (size_t cut = 0; cut < 60; ++cut) {
            SCOPED_TRACE(cut);
            Watched w(loop());
            w.peer.start();
            const std::string records = recordsOf(w.peer, "one ", "two");
            if (cut > records.size()) break;
            const size_t second = records.size() - w.peer.recordsOf("two").size();
            if (cut > 0) w.transport().feed(std::string_view(records).substr(0, cut));
            isReset ? w.transport().feedError() : w.transport().feedEnd();
            w.peer.settle();
            w.expectFailed();
            EXPECT_EQ(w.log.error, isReset ? std::make_error_code(std::errc::connection_reset)
                                           : std::error_code(SslError::Truncated));
            EXPECT_EQ(w.log.bytes, cut == records.size() ? "one two" : cut >= second ? "one " : "");
        }
    }
}

TEST_F(SslHazardsTest, WhatCameInFrontOfABadRecordIsReadBeforeTheError) {
    Watched w(loop());
    w.peer.start();
    std::string records = recordsOf(w.peer, "good", "bad");
    records.back() = static_cast<char>(records.back() ^ 1);
    w.transport().feed(records);
    w.peer.settle();
    EXPECT_EQ(w.log.bytes, "good");
    w.expectFailed();
}

TEST_F(SslHazardsTest, TheEndBehindARecordInTheSamePacketIsFound) {
    Watched w(loop());
    w.peer.start();
    w.transport().feed(w.peer.recordsOf("last words"));
    w.peer.feedEnd().settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_CloseEvent}));
}

// Seven full records, then many small ones: the second read fills the loop's buffer to the last byte, and the small
// ones lie in the transport while the socket is silent for ever.
TEST_F(SslHazardsTest, DecryptedInputIsNotForgottenWhileReadingIsPaused) {
    for (const bool pauses : {false, true}) {
        Watched w(loop());
        w.peer.connection()->setEventCallback(
            [&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                w.log.record(event, context);
                if (event == Conn_ReadEvent && pauses) c->pauseReading();
            });
        w.peer.start();
        const std::string full = patternOf(7 * kFullRecord);
        std::string records = w.peer.recordsOf(full);
        for (int i = 0; i < 100; ++i) records += w.peer.recordsOf("+");
        w.transport().feed(records);
        w.peer.settle();
        for (int i = 0; i < 20 && pauses; ++i) {
            const size_t reads = w.log.count(Conn_ReadEvent);
            runRounds(10);
            ASSERT_EQ(w.log.count(Conn_ReadEvent), reads) << "read while paused";
            w.connection().resumeReading();
            w.peer.settle();
        }
        EXPECT_EQ(w.log.bytes.size(), full.size() + 100);
        EXPECT_TRUE(w.log.bytes == full + std::string(100, '+'));
        const size_t calls = w.transport().calls();
        runRounds(20);
        EXPECT_EQ(w.transport().calls(), calls);
        w.connection().resumeReading();
    }
}

TEST_F(SslHazardsTest, ClosingInTheReadThatLeavesInputBehindIsTheEnd) {
    Watched w(loop());
    w.peer.connection()->setEventCallback(
        [&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
            w.log.record(event, context);
            if (event == Conn_ReadEvent) c->close();
        });
    w.peer.start();
    w.transport().feed(w.peer.recordsOf(patternOf(9 * kFullRecord)));
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_CloseEvent}));
}

// --- Writing ---

TEST_F(SslHazardsTest, ShortWritesAtEveryByteKeepTheOrder) {
    for (size_t limit = 1; limit < 80; ++limit) {
        Watched w(loop());
        w.peer.start();
        w.transport().limitWrites(limit);
        w.connection().send("first;");
        w.connection().send(std::string(100, 's'));
        w.connection().send("last");
        EXPECT_EQ(w.peer.collect(), "first;" + std::string(100, 's') + "last") << limit;
        EXPECT_EQ(w.log.events.back(), Conn_WriteCompleteEvent);
        EXPECT_EQ(w.connection().queuedBytes(), 0U);
    }
}

TEST_F(SslHazardsTest, AFullKernelAtEveryByteKeepsTheOrder) {
    const size_t size = recordBytes("first,second");
    for (size_t at = 0; at <= size; ++at) {
        Watched w(loop());
        w.peer.start();
        if (at > 0) w.transport().onWrite(ScriptedTransport::takes(at));
        w.transport().onWrite(ScriptedTransport::wantsWrite());
        w.transport().onWrite(ScriptedTransport::wantsWrite());
        w.connection().send("first");
        EXPECT_FALSE(w.log.has(Conn_WriteCompleteEvent));
        w.connection().send(",second");
        EXPECT_EQ(w.peer.collect(), "first,second") << at;
        EXPECT_EQ(w.log.events.back(), Conn_WriteCompleteEvent);
        EXPECT_EQ(w.connection().queuedBytes(), 0U);
    }
}

TEST_F(SslHazardsTest, WriteCompleteComesWithTheLastByteOfTheLastRecord) {
    const size_t size = recordBytes("whole");
    Watched w(loop());
    w.peer.start();
    w.transport().onWrite(ScriptedTransport::takes(size - 1));
    w.connection().send("whole");
    EXPECT_FALSE(w.connection().flush());
    EXPECT_FALSE(w.log.has(Conn_WriteCompleteEvent));
    EXPECT_EQ(w.connection().queuedBytes(), 1U);
    EXPECT_EQ(w.peer.collect(), "whole");
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 1U);
}

TEST_F(SslHazardsTest, AResetAfterAnyNumberOfWrittenBytesIsOneErrorAndOneClose) {
    const std::string sent = "first,second";
    const size_t size = recordBytes(sent);
    for (size_t at = 0; at < size; ++at) {
        SCOPED_TRACE(at);
        Watched w(loop());
        w.peer.start();
        w.transport().limitWrites(10);
        w.transport().resetAfterWritten(at);
        w.connection().send("first");
        w.connection().send(",second");
        w.peer.settle();
        w.expectFailed();
        EXPECT_EQ(w.log.error, std::errc::connection_reset);
        EXPECT_TRUE(sent.starts_with(w.peer.takeWritten()));
    }
}

// Reading stopped as long as the kernel had not taken what was written: two peers that both write before they read
// waited for each other for ever, and a peer that was gone was not noticed.
TEST_F(SslHazardsTest, ReadingGoesOnWhileAWriteIsBlocked) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.connection().send(patternOf(100'000));
    for (int i = 0; i < 10; ++i) w.peer.feed("request;").settle();
    EXPECT_EQ(w.log.bytes.size(), 80U);
    w.transport().unblockWrites();
    EXPECT_EQ(w.peer.collect(), patternOf(100'000));
    w.transport().blockWrites();
    w.connection().send("never taken");
    w.peer.feedReset().settle();
    w.expectFailed();
}

TEST_F(SslHazardsTest, ReadingGoesOnWhileOurEndIsBlocked) {
    Watched w(loop());
    w.peer.start();
    w.peer.withholdEnd();
    w.transport().blockWrites();
    w.connection().shutDownWrite();
    w.peer.feed("answer").settle();
    EXPECT_EQ(w.log.bytes, "answer");
    EXPECT_FALSE(w.transport().isWriteEnded());
    w.transport().unblockWrites();
    w.peer.settle();
    EXPECT_TRUE(w.transport().isWriteEnded());
    w.peer.feedEnd().settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_CloseEvent}));
}

TEST_F(SslHazardsTest, AFileLeavesWholeWhateverTheKernelTakes) {
    const std::string content = patternOf(100'000);
    FileDescriptor memory(::memfd_create("ssl_hazards_test", MFD_CLOEXEC));
    ASSERT_EQ(::write(memory.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    const auto file = std::make_shared<const FileDescriptor>(std::move(memory));
    for (const size_t limit : {size_t{97}, size_t{1000}, kFullRecord, size_t{70'000}, SIZE_MAX}) {
        Watched w(loop());
        w.peer.start();
        w.transport().limitWrites(limit);
        w.connection().send("head;");
        w.connection().sendFile(file, 10, 90'000);
        w.connection().send(";tail");
        EXPECT_EQ(w.peer.collect(), "head;" + content.substr(10, 90'000) + ";tail") << limit;
        EXPECT_EQ(w.log.events.back(), Conn_WriteCompleteEvent);
    }
    Watched w(loop());
    w.peer.start();
    w.transport().limitWrites(1000);
    w.transport().resetAfterWritten(30'500);
    w.connection().sendFile(file, 0, 90'000);
    w.peer.settle();
    w.expectFailed();
    EXPECT_EQ(file.use_count(), 1);
    Watched shorter(loop());
    shorter.peer.start();
    shorter.connection().sendFile(file, 50'000, 60'000);
    shorter.peer.settle();
    shorter.expectFailed();
    EXPECT_EQ(shorter.log.error, std::errc::io_error);
}

// --- The end ---

TEST_F(SslHazardsTest, ShutDownDeliversAndDoesNotSpinWhileItAwaitsTheEnd) {
    Watched w(loop());
    w.peer.start();
    w.peer.withholdEnd();
    w.transport().limitWrites(1000);
    w.connection().send(patternOf(50'000));
    w.connection().shutDown(seconds(5));
    EXPECT_EQ(w.peer.collect(), patternOf(50'000));
    EXPECT_TRUE(w.transport().isWriteEnded());
    EXPECT_EQ(w.connection().state(), ConnState::Disconnecting);
    w.peer.feed("dropped").settle();
    const size_t calls = w.transport().calls();
    runRounds(100);
    EXPECT_EQ(w.transport().calls(), calls) << "spins";
    advance(milliseconds(4999));
    EXPECT_EQ(w.connection().state(), ConnState::Disconnecting);
    advance(milliseconds(1));
    EXPECT_EQ(w.log.events.back(), Conn_CloseEvent);
    EXPECT_FALSE(w.log.has(Conn_ErrorEvent));
    EXPECT_FALSE(w.log.has(Conn_ReadEvent));
}

TEST_F(SslHazardsTest, AfterOurEndTheirsMayComeInAnyForm) {
    for (const bool withNotice : {true, false}) {
        Watched w(loop());
        w.peer.start();
        w.peer.withholdEnd();
        w.connection().shutDown();
        w.peer.settle();
        if (withNotice) {
            w.transport().feed(w.peer.recordsOf(patternOf(9 * kFullRecord)));
            w.peer.feedEnd();
        } else {
            w.transport().feedEnd();
        }
        w.peer.settle();
        EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    }
}

TEST_F(SslHazardsTest, CloseNotifyIsBlockedAtEveryByteAndSentOnce) {
    for (size_t at = 0; at < 40; ++at) {
        Watched w(loop());
        w.peer.start();
        if (at > 0) w.transport().onWrite(ScriptedTransport::takes(at));
        w.transport().onWrite(ScriptedTransport::wantsWrite());
        w.connection().shutDown();
        w.peer.settle();  // the peer answers, and checks that there was one
        EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent})) << at;
    }
}

TEST_F(SslHazardsTest, ThePeersEndIsAHalfClose) {
    Watched w(loop());
    w.connection().setHalfCloseAllowed(true);
    w.peer.start();
    w.transport().feed(w.peer.recordsOf("request"));
    w.peer.feedEnd().settle();
    EXPECT_EQ(w.log.count(Conn_ReadEvent), 2U);
    EXPECT_TRUE(w.connection().isConnected());
    w.connection().send(patternOf(100'000));
    EXPECT_EQ(w.peer.collect(), patternOf(100'000));
    w.connection().shutDownWrite();
    w.peer.settle();
    EXPECT_EQ(w.log.events.back(), Conn_CloseEvent);
    EXPECT_FALSE(w.log.has(Conn_ErrorEvent));
}

// A reset that finds records in the backlog, from inside every kind of call.
TEST_F(SslHazardsTest, ClosingWithRecordsThatTheKernelDidNotTakeIsTheEnd) {
    for (const bool aborts : {true, false}) {
        Watched w(loop());
        w.peer.start();
        w.transport().onWrite(ScriptedTransport::takes(9));
        w.connection().send("half a record");
        aborts ? w.connection().abort() : w.connection().close();
        w.peer.settle();
        EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    }
}

}  // namespace
}  // namespace tnet
