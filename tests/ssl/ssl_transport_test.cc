// The TLS transport between a scripted lower transport and OpenSSL's client: what each call moves, waits for and
// tells when the lower one falls short.
#include "tnet/ssl/ssl_transport.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/scripted_transport.h"
#include "tests/support/test_pki.h"
#include "tests/support/tls_client.h"
#include "tnet/ssl/ssl_codec.h"
#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

constexpr int kNoFd = -1;  // the scripted transport needs none
constexpr std::string_view kPlainAnswer = "HTTP/1.1 400 Bad Request\r\n\r\nTLS, please";

std::string patternOf(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 26 + i / 1000 % 7);
    return bytes;
}

// The versions, and which record layer a server has after a handshake of TLS 1.3.
enum class Layer : uint8_t { Tls12, Tls13, Compact13 };

TlsVersion versionOf(Layer layer) { return layer == Layer::Tls12 ? TlsVersion::Tls12 : TlsVersion::Tls13; }

std::string nameOf(const testing::TestParamInfo<Layer>& layer) {
    if (layer.param == Layer::Compact13) return "Compact13";
    return layer.param == Layer::Tls12 ? "Tls12" : "Tls13";
}

SslCtxPtr_t makeServerCtx(bool isCompact) {
    SslCtxPtr_t ctx(SSL_CTX_new(TLS_server_method()));
    const SslCertificateFiles files = TestPki::shared().files("localhost");
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(ctx.get(), files.chainFile.c_str()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(ctx.get(), files.keyFile.c_str(), SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_options(ctx.get(), SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(ctx.get(), 1);
    if (isCompact) SslTransport::prepareCompact(ctx.get());
    return ctx;
}

// A server's end.
struct Server {
    explicit Server(Layer layer, bool kernelTls = false) {
        shared->plainAnswer = kPlainAnswer;
        shared->isCompact = layer == Layer::Compact13;
        shared->kernelTls = kernelTls;
        static const SslCtxPtr_t ordinary = makeServerCtx(false);
        static const SslCtxPtr_t compact = makeServerCtx(true);
        SslPtr_t ssl(SSL_new(shared->isCompact ? compact.get() : ordinary.get()));
        SSL_set_accept_state(ssl.get());
        transport = SslTransport::create(std::move(ssl), shared, lower->handOut());
    }

    IoStatus handshake() { return (last = transport->handshake(kNoFd)).status; }
    IoStatus read(size_t size = 65536) {
        std::string into(size, '\0');
        last = transport->read(kNoFd, into.data(), size);
        received += into.substr(0, last.bytes);
        return last.status;
    }
    // Reads until nothing comes of it.
    std::string readAll() {
        while (read() == IoStatus::Ok) {
        }
        return std::exchange(received, std::string());
    }
    IoResult write(std::string_view bytes) {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        return last = transport->write(kNoFd, &piece, 1);
    }
    // As a connection does: what is not taken is offered again.
    void writeAll(std::string_view bytes) {
        for (int i = 0; !bytes.empty() && i < 1'000'000; ++i) {
            const IoResult result = write(bytes);
            if (result.status == IoStatus::Failed) return;
            bytes.remove_prefix(result.bytes);
        }
        EXPECT_TRUE(bytes.empty());
    }
    SslStats stats() const { return shared->counters.read(); }

    std::shared_ptr<ScriptedTransport> lower = ScriptedTransport::create();
    std::shared_ptr<SslTransport::Shared> shared = std::make_shared<SslTransport::Shared>();
    TransportPtr_t transport;
    IoResult last{};
    std::string received{};
};

// Then that is the client's, and still with it.
void shakeHandsUpToTheLastFlight(TlsClient& client, Server& server) {
    server.handshake();
    server.lower->feed(client.takeOutput());
    server.handshake();
    client.feed(server.lower->takeWritten());
}

class SslTransportTest : public testing::TestWithParam<Layer> {
protected:
    // What each has for the other goes over, at most `fragment` bytes at a time.
    void exchange(size_t fragment = ScriptedTransport::kWhole) {
        toServer(fragment);
        client.feed(server.lower->takeWritten());
    }
    void toServer(size_t fragment = ScriptedTransport::kWhole) {
        const std::string bytes = client.takeOutput();
        if (!bytes.empty()) server.lower->feed(bytes, fragment);
    }

    void establish(size_t fragment = ScriptedTransport::kWhole) {
        ASSERT_EQ(server.handshake(), IoStatus::WantRead);
        for (int i = 0; i < 20'000; ++i) {
            exchange(fragment);
            const IoStatus status = server.handshake();
            client.feed(server.lower->takeWritten());
            if (status == IoStatus::Ok) break;
            ASSERT_EQ(status, IoStatus::WantRead) << server.last.error.message();
        }
        ASSERT_TRUE(client.isEstablished()) << client.error();
        ASSERT_EQ(server.last.status, IoStatus::Ok);
    }

    bool is13() const { return version() == TlsVersion::Tls13; }
    TlsVersion version() const { return versionOf(GetParam()); }

    TlsClient client{version()};
    Server server{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Layers, SslTransportTest,
                         testing::Values(Layer::Tls12, Layer::Tls13, Layer::Compact13), nameOf);

class SslTransport13Test : public testing::TestWithParam<Layer> {};

INSTANTIATE_TEST_SUITE_P(Layers, SslTransport13Test, testing::Values(Layer::Tls13, Layer::Compact13), nameOf);

// --- The handshake ---

TEST_P(SslTransportTest, BytesGoBothWaysAfterTheHandshake) {
    establish();
    client.send("ping");
    toServer();
    EXPECT_EQ(server.readAll(), "ping");
    server.writeAll("pong");
    exchange();
    EXPECT_EQ(client.takeReceived(), "pong");
    EXPECT_EQ(server.stats().handshakes, 1u);
    EXPECT_EQ(server.stats().failed, 0u);
}

TEST_P(SslTransportTest, TheFirstCallAwaitsTheClientWithoutASystemCall) {
    EXPECT_EQ(server.handshake(), IoStatus::WantRead);
    EXPECT_EQ(server.lower->calls(), 0u);
}

TEST_P(SslTransportTest, HandshakesInFragmentsOfEverySize) {
    for (const size_t fragment : {1, 2, 3, 4, 5, 6, 7, 8, 16, 31}) {
        client.~TlsClient();
        new (&client) TlsClient(version());
        server = Server(GetParam());
        establish(fragment);
        client.send("ping");
        toServer(fragment);
        std::string all;
        for (int i = 0; i < 200; ++i) all += server.readAll();
        EXPECT_EQ(all, "ping") << fragment;
    }
}

TEST_P(SslTransportTest, AFlightLeavesInOneWriteThatFitsTheInitialWindow) {
    server.handshake();
    exchange();
    server.handshake();
    ASSERT_EQ(server.lower->writes().size(), 1u);
    EXPECT_LE(server.lower->writes()[0], 10u * 1460u);  // RFC 6928
}

TEST_P(SslTransportTest, AHandshakeWaitsForAFullKernel) {
    server.lower->onWrite(ScriptedTransport::takes(100));
    server.lower->onWrite(ScriptedTransport::wantsWrite());
    server.handshake();
    toServer();
    EXPECT_EQ(server.handshake(), IoStatus::WantWrite);
    EXPECT_EQ(server.handshake(), IoStatus::WantWrite);
    EXPECT_EQ(server.handshake(), IoStatus::WantRead);
    client.feed(server.lower->takeWritten());
    toServer();
    EXPECT_EQ(server.handshake(), IoStatus::Ok);
    exchange();
    EXPECT_TRUE(client.isEstablished());
}

// A transport below may wait to read before it can write, as one that is TLS itself may. The records were dropped,
// and the stream behind them could not be opened.
TEST_P(SslTransportTest, ALowerWriteThatWantsToReadLosesNoRecord) {
    server.handshake();
    toServer();
    server.lower->onWrite(ScriptedTransport::wantsRead());
    EXPECT_EQ(server.handshake(), IoStatus::WantRead);
    establish();

    const std::string text = patternOf(40'000);
    server.lower->onWrite(ScriptedTransport::wantsRead());
    server.lower->onWrite(ScriptedTransport::wantsRead());
    EXPECT_EQ(server.write(text).status, IoStatus::WantRead);
    EXPECT_EQ(server.last.bytes, 0U);
    EXPECT_EQ(server.write(text).status, IoStatus::WantRead) << "that is what has to be waited for";
    server.writeAll(text);
    server.lower->onWrite(ScriptedTransport::wantsRead());
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::WantRead);
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::Ok);
    exchange();
    EXPECT_EQ(client.takeReceived(), text);
    EXPECT_TRUE(client.sawCloseNotify());
    EXPECT_EQ(client.error(), "");
}

TEST_P(SslTransportTest, AHandshakeThatTheClientEndsIsAbandoned) {
    TlsClient whole(version());
    const std::string hello = whole.takeOutput();
    for (size_t cut = 0; cut < hello.size(); ++cut) {
        Server each(GetParam());
        each.handshake();
        if (cut > 0) each.lower->feed(std::string_view(hello).substr(0, cut));
        each.lower->feedEnd();
        IoStatus status = IoStatus::WantRead;
        for (int i = 0; i < 3 && status == IoStatus::WantRead; ++i) status = each.handshake();
        EXPECT_EQ(status, IoStatus::End) << cut;
        each.transport.reset();
        EXPECT_EQ(each.stats().abandoned, 1u);
        EXPECT_EQ(each.stats().failed, 0u);
    }
}

// The client's last flight, cut at every byte; and the connection reset there.
TEST_P(SslTransportTest, AHandshakeThatIsResetInItsLastFlightIsAbandoned) {
    size_t flightBytes = 1;
    for (size_t cut = 0; cut < flightBytes; cut += 3) {
        TlsClient peer(version());
        Server each(GetParam());
        each.handshake();
        each.lower->feed(peer.takeOutput());
        each.handshake();
        peer.feed(each.lower->takeWritten());
        const std::string flight = peer.takeOutput();
        ASSERT_FALSE(flight.empty());
        flightBytes = flight.size();
        if (cut > 0) each.lower->feed(std::string_view(flight).substr(0, cut));
        each.lower->feedError();
        IoStatus status = IoStatus::WantRead;
        for (int i = 0; i < 3 && status == IoStatus::WantRead; ++i) status = each.handshake();
        EXPECT_EQ(status, IoStatus::Failed) << cut;
        EXPECT_EQ(each.last.error, std::errc::connection_reset);
        each.transport.reset();
        EXPECT_EQ(each.stats().abandoned, 1u);
    }
}

TEST_P(SslTransportTest, AHandshakeThatStallsIsAbandonedByItsOwner) {
    server.handshake();
    exchange();
    server.handshake();
    server.transport.reset();
    EXPECT_EQ(server.stats().abandoned, 1u);
}

TEST_P(SslTransportTest, GarbageInsteadOfAClientHelloFails) {
    for (const std::string& garbage :
         {std::string(64, '\0'), std::string(64, '\xff'), std::string("\x16\x03\x01\x00\x05hello"),
          std::string("\x16\x03\x01\xff\xff", 5), std::string("\x17\x03\x03\x00\x01x", 6),
          std::string("\x80\x2e\x01\x00\x02", 5) + std::string(43, 'x'), std::string("hello, world")}) {
        Server each(GetParam());
        each.handshake();
        each.lower->feed(garbage);
        IoStatus status = each.handshake();
        if (status == IoStatus::WantRead) {
            each.lower->feed(std::string(70'000, 'z'));
            for (int i = 0; i < 10 && status == IoStatus::WantRead; ++i) status = each.handshake();
        }
        EXPECT_EQ(status, IoStatus::Failed) << garbage;
        EXPECT_TRUE(each.last.error);
        EXPECT_NE(each.last.error.message(), "") << each.last.error.value();
        each.transport.reset();
        EXPECT_EQ(each.stats().failed, 1u);
        EXPECT_EQ(each.stats().abandoned, 0u);
    }
}

TEST_P(SslTransportTest, AChangedBitInAFlightFails) {
    server.handshake();
    exchange();
    server.handshake();
    client.feed(server.lower->takeWritten());
    std::string flight = client.takeOutput();
    flight.back() = static_cast<char>(flight.back() ^ 1);
    server.lower->feed(flight);
    EXPECT_EQ(server.handshake(), IoStatus::Failed);
    EXPECT_EQ(server.last.error.category(), opensslCategory());
    client.feed(server.lower->takeWritten());
    EXPECT_NE(client.error(), "") << "the alert reached the client";
}

// --- HTTP without TLS ---

TEST(SslTransportPlainTest, APlainRequestIsAnsweredInPlain) {
    for (const std::string_view request :
         {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n",
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "A / HTTP/1.1\r\n\r\n", "PROPFIND / HTTP/1.1\r\n\r\n"}) {
        for (const size_t fragment : {ScriptedTransport::kWhole, size_t{1}}) {
            Server server(Layer::Tls13);
            server.handshake();
            server.lower->feed(request, fragment);
            for (int i = 0; i < 50; ++i) EXPECT_EQ(server.handshake(), IoStatus::WantRead);
            EXPECT_EQ(server.lower->takeWritten(), kPlainAnswer) << request;
            EXPECT_TRUE(server.lower->isWriteEnded());
            EXPECT_FALSE(server.lower->hasInput()) << "unread input would reset the answer away";
            server.lower->feedEnd();
            EXPECT_EQ(server.handshake(), IoStatus::Failed);
            EXPECT_EQ(server.last.error, SslError::PlainRequest);
            server.transport.reset();
            EXPECT_EQ(server.stats().plainRequests, 1u);
            EXPECT_EQ(server.stats().abandoned + server.stats().failed, 0u);
        }
    }
}

TEST(SslTransportPlainTest, APlainRequestWithoutEndIsCutOff) {
    Server server(Layer::Tls13);
    server.handshake();
    server.lower->feed("POST / HTTP/1.1\r\n\r\n");
    server.lower->feed(std::string(1 << 20, 'x'), 4096);
    IoStatus status = IoStatus::WantRead;
    for (int i = 0; i < 10 && status == IoStatus::WantRead; ++i) status = server.handshake();
    EXPECT_EQ(status, IoStatus::Failed);
    EXPECT_TRUE(server.lower->hasInput());
}

TEST(SslTransportPlainTest, APlainRequestToAFullKernelFails) {
    Server server(Layer::Tls13);
    server.handshake();
    server.lower->onWrite(ScriptedTransport::wantsWrite());
    server.lower->feed("GET / HTTP/1.1\r\n\r\n");
    EXPECT_EQ(server.handshake(), IoStatus::Failed);
}

// --- Reading ---

TEST_P(SslTransportTest, InputThatCameWithTheLastFlightIsPending) {
    server.handshake();
    exchange();
    server.handshake();
    client.feed(server.lower->takeWritten());
    if (is13()) client.send("early bird");  // TLS 1.2's client has to wait for the server's Finished
    toServer();
    EXPECT_EQ(server.handshake(), IoStatus::Ok);
    EXPECT_EQ(server.transport->hasPendingInput(), is13());
    if (is13()) {
        EXPECT_EQ(server.readAll(), "early bird");
    }
    EXPECT_FALSE(server.transport->hasPendingInput());
}

// The tickets need no system call of their own where an answer follows.
TEST_P(SslTransport13Test, SessionTicketsLeaveWithTheFirstAnswer) {
    TlsClient client(TlsVersion::Tls13);
    Server server(GetParam());
    shakeHandsUpToTheLastFlight(client, server);
    client.send("request");
    server.lower->feed(client.takeOutput());
    EXPECT_EQ(server.handshake(), IoStatus::Ok);
    EXPECT_EQ(server.readAll(), "request");
    server.writeAll("answer");
    EXPECT_EQ(server.lower->writes().size(), 2u);  // the handshake's flight, and this
    client.feed(server.lower->takeWritten());
    EXPECT_EQ(client.takeReceived(), "answer");
    EXPECT_EQ(client.error(), "");
    EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get0_session(client.ssl())), 1) << "no ticket came";
}

// The answer to a KeyUpdate that came with the last flight overtook the tickets, which were sealed before it.
TEST_P(SslTransport13Test, NothingOvertakesTheSessionTickets) {
    for (const bool hasRequest : {false, true}) {
        TlsClient client(TlsVersion::Tls13);
        Server server(GetParam());
        shakeHandsUpToTheLastFlight(client, server);
        client.sendKeyUpdate(true);
        if (hasRequest) client.send("request");
        server.lower->feed(client.takeOutput());
        EXPECT_EQ(server.handshake(), IoStatus::Ok);
        EXPECT_EQ(server.readAll(), hasRequest ? "request" : "");
        client.feed(server.lower->takeWritten());
        EXPECT_EQ(client.error(), "");
        server.writeAll("answer");
        client.feed(server.lower->takeWritten());
        EXPECT_EQ(client.takeReceived(), "answer");
        EXPECT_EQ(client.error(), "");
        EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get0_session(client.ssl())), 1);
    }
}

TEST_P(SslTransport13Test, SessionTicketsLeaveAtOnceWhereNoRequestCame) {
    TlsClient client(TlsVersion::Tls13);
    Server server(GetParam());
    shakeHandsUpToTheLastFlight(client, server);
    server.lower->feed(client.takeOutput());
    EXPECT_EQ(server.handshake(), IoStatus::Ok);
    client.feed(server.lower->takeWritten());
    EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get0_session(client.ssl())), 1);
}

TEST_P(SslTransportTest, OneReadOpensAllRecordsThatCame) {
    establish();
    for (const char* text : {"one ", "two ", "three"}) client.send(text);
    toServer();
    const size_t before = server.lower->readCalls();
    EXPECT_EQ(server.read(), IoStatus::Ok);
    EXPECT_EQ(server.received, "one two three");
    EXPECT_EQ(server.lower->readCalls() - before, 1u);
    EXPECT_FALSE(server.transport->hasPendingInput());
}

TEST_P(SslTransportTest, HalfARecordIsNoInput) {
    establish();
    client.send(patternOf(3000));
    const std::string record = client.takeOutput();
    for (size_t at = 0; at < record.size(); at += 500) {
        server.lower->feed(record.substr(at, 500));
        const IoStatus status = server.read();
        const bool isLast = at + 500 >= record.size();
        EXPECT_EQ(status, isLast ? IoStatus::Ok : IoStatus::WantRead);
        EXPECT_FALSE(server.transport->hasPendingInput()) << "a busy loop: the rest is still to come";
    }
    EXPECT_EQ(server.received, patternOf(3000));
}

TEST_P(SslTransportTest, ASmallReadLeavesTheRestPending) {
    establish();
    const std::string sent = patternOf(40'000);
    client.send(sent);
    client.send("behind");
    toServer();
    std::string all;
    for (int i = 0; i < 100'000 && all.size() < sent.size() + 6; ++i) {
        server.read(1000);
        all += std::exchange(server.received, std::string());
        if (all.size() == sent.size() + 6) break;
        // Otherwise nobody would ask again.
        ASSERT_TRUE(server.transport->hasPendingInput() || server.lower->hasInput());
    }
    EXPECT_EQ(all, sent + "behind");
    EXPECT_FALSE(server.transport->hasPendingInput());
    EXPECT_EQ(server.read(1000), IoStatus::WantRead);
}

TEST_P(SslTransportTest, CloseNotifyIsTheEnd) {
    establish();
    client.send("last");
    client.sendCloseNotify();
    toServer();
    EXPECT_EQ(server.read(), IoStatus::Ok);
    EXPECT_EQ(server.received, "last");
    EXPECT_TRUE(server.transport->hasPendingInput()) << "the socket may never become readable again";
    EXPECT_EQ(server.read(), IoStatus::End);
    EXPECT_EQ(server.read(), IoStatus::End);
    EXPECT_EQ(server.stats().truncated, 0u);
    server.writeAll("half closed");
    exchange();
    EXPECT_EQ(client.takeReceived(), "half closed");
}

TEST_P(SslTransportTest, AnEndWithoutCloseNotifyIsTruncated) {
    establish();
    client.send("last");
    toServer();
    server.lower->feedEnd();
    EXPECT_EQ(server.read(), IoStatus::Ok);
    EXPECT_EQ(server.read(), IoStatus::Failed);
    EXPECT_EQ(server.last.error, SslError::Truncated);
    EXPECT_EQ(server.stats().truncated, 1u);
}

TEST_P(SslTransportTest, AnEndInsideARecordIsTruncated) {
    establish();
    client.send("last");
    const std::string record = client.takeOutput();
    server.lower->feed(record.substr(0, record.size() - 1));
    server.lower->feedEnd();
    EXPECT_EQ(server.read(), IoStatus::WantRead);
    EXPECT_EQ(server.read(), IoStatus::Failed);
    EXPECT_EQ(server.last.error, SslError::Truncated);
}

TEST_P(SslTransportTest, AfterOurEndTheirsNeedsNoCloseNotify) {
    establish();
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::Ok);
    server.lower->feedEnd();
    EXPECT_EQ(server.read(), IoStatus::End);
    EXPECT_EQ(server.stats().truncated, 0u);
}

TEST_P(SslTransportTest, WhatCameBeforeABadRecordIsDelivered) {
    establish();
    client.send("good");
    client.send("bad");
    std::string records = client.takeOutput();
    records.back() = static_cast<char>(records.back() ^ 1);
    server.lower->feed(records);
    EXPECT_EQ(server.read(), IoStatus::Ok);
    EXPECT_EQ(server.received, "good");
    EXPECT_TRUE(server.transport->hasPendingInput());
    EXPECT_EQ(server.read(), IoStatus::Failed);
    EXPECT_TRUE(server.last.error);
    client.feed(server.lower->takeWritten());
    EXPECT_NE(client.error(), "") << "no alert";
}

TEST_P(SslTransportTest, AResetIsTold) {
    establish();
    server.lower->feedError();
    EXPECT_EQ(server.read(), IoStatus::Failed);
    EXPECT_EQ(server.last.error, std::errc::connection_reset);
    EXPECT_EQ(server.stats().truncated, 0u);
}

// A read that has to write: the answer to a KeyUpdate, with the kernel full. OpenSSL's own layer answers with
// the next write.
TEST(SslTransportCompactTest, AReadWaitsUntilItsAnswerCanBeWritten) {
    TlsClient client(TlsVersion::Tls13);
    Server server(Layer::Compact13);
    shakeHandsUpToTheLastFlight(client, server);
    server.lower->feed(client.takeOutput());
    server.handshake();
    client.feed(server.lower->takeWritten());

    server.lower->onWrite(ScriptedTransport::wantsWrite());
    server.lower->onWrite(ScriptedTransport::wantsWrite());
    client.sendKeyUpdate(true);
    client.send("one");
    server.lower->feed(client.takeOutput());
    EXPECT_EQ(server.read(), IoStatus::Ok);
    client.send("two");
    server.lower->feed(client.takeOutput());
    EXPECT_EQ(server.read(), IoStatus::WantWrite) << "a flood of them would be stored";
    EXPECT_EQ(server.read(), IoStatus::Ok);
    EXPECT_EQ(server.received, "onetwo");
    server.writeAll("with the new key");
    client.feed(server.lower->takeWritten());
    EXPECT_EQ(client.takeReceived(), "with the new key");
    EXPECT_EQ(client.error(), "");
}

// --- Writing ---

TEST_P(SslTransportTest, ManySmallPiecesAreOneRecord) {
    establish();
    std::vector<std::string> texts;
    for (int i = 0; i < 64; ++i) texts.push_back(std::to_string(i) + ",");
    std::vector<iovec> pieces;
    std::string all;
    for (std::string& text : texts) {
        pieces.push_back({text.data(), text.size()});
        all += text;
    }
    const size_t before = server.lower->writes().size();
    const IoResult result = server.transport->write(kNoFd, pieces.data(), static_cast<int>(pieces.size()));
    EXPECT_EQ(result.status, IoStatus::Ok);
    EXPECT_EQ(result.bytes, all.size());
    ASSERT_EQ(server.lower->writes().size(), before + 1);
    EXPECT_EQ(server.lower->writes().back(), all.size() + (is13() ? 22 : 29));
    exchange();
    EXPECT_EQ(client.takeReceived(), all);
}

TEST_P(SslTransportTest, LongWritesAreFullRecordsInFewSystemCalls) {
    establish();
    const std::string sent = patternOf(1 << 20);
    const size_t before = server.lower->writes().size();
    EXPECT_EQ(server.write(sent).bytes, sent.size());
    EXPECT_EQ(server.lower->writes().size() - before, 16u);  // of four records each
    exchange();
    EXPECT_EQ(client.takeReceived(), sent);
}

// A fast peer takes whatever is sealed: 8 GiB of a file held the loop up for as long as it took to encrypt them.
TEST_P(SslTransportTest, OneCallSealsNoMoreThanItsTurn) {
    establish();
    const std::string sent = patternOf(3 << 20);
    const int file = ::memfd_create("file", MFD_CLOEXEC);
    ASSERT_EQ(::write(file, sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
    EXPECT_EQ(server.write(sent).bytes, size_t{1} << 20);
    EXPECT_EQ(server.transport->sendFile(kNoFd, file, 0, sent.size()).bytes, size_t{1} << 20);
    ::close(file);
    exchange();
    EXPECT_EQ(client.takeReceived(), sent.substr(0, 1 << 20) + sent.substr(0, 1 << 20));
}

// Records without data cost as much as those with: a flood of them has its turn, and goes on in the next.
TEST_P(SslTransportTest, OneReadOpensNoMoreThanItsTurn) {
    establish();
    for (int i = 0; i < 150; ++i) client.send("x");
    toServer();
    EXPECT_EQ(server.read(), IoStatus::Ok);
    EXPECT_EQ(server.received.size(), kRecordsTurn.steps);
    EXPECT_TRUE(server.transport->hasPendingInput());
    EXPECT_EQ(server.readAll().size(), 150u);
    EXPECT_FALSE(server.transport->hasPendingInput());
}

TEST_P(SslTransport13Test, AFloodOfKeyUpdatesHasItsTurns) {
    TlsClient client(TlsVersion::Tls13);
    Server server(GetParam());
    shakeHandsUpToTheLastFlight(client, server);
    server.lower->feed(client.takeOutput());
    server.handshake();
    client.feed(server.lower->takeWritten());
    for (int i = 0; i < 150; ++i) {
        client.sendKeyUpdate(false);
        SSL_do_handshake(client.ssl());
    }
    client.send("x");
    server.lower->feed(client.takeOutput());
    EXPECT_EQ(server.read(), IoStatus::WantRead);
    EXPECT_TRUE(server.transport->hasPendingInput()) << "nobody would ask again";
    EXPECT_EQ(server.read(), IoStatus::WantRead);
    EXPECT_EQ(server.readAll(), "x");
}

// Whoever changed keys for ever was never idle, since there was always input, and never closed.
TEST_P(SslTransport13Test, KeyUpdatesAndNothingElseEndTheConnection) {
    TlsClient client(TlsVersion::Tls13);
    Server server(GetParam());
    shakeHandsUpToTheLastFlight(client, server);
    server.lower->feed(client.takeOutput());
    server.handshake();
    client.feed(server.lower->takeWritten());
    IoStatus status = IoStatus::WantRead;
    int sent = 0;
    while (status == IoStatus::WantRead && sent < 1000) {
        client.sendKeyUpdate(false);
        SSL_do_handshake(client.ssl());
        server.lower->feed(client.takeOutput());
        status = server.read();
        ++sent;
    }
    EXPECT_EQ(status, IoStatus::Failed);
    EXPECT_EQ(sent, 257);
}

TEST_P(SslTransportTest, ShortWritesOfEverySizeKeepTheOrder) {
    establish();
    const std::string sent = patternOf(40'000);
    for (const size_t limit : {1, 2, 3, 5, 7, 16, 21, 22, 23, 100, 16405, 16406, 16407, 20000}) {
        server.lower->limitWrites(limit);
        server.writeAll(std::string_view(sent).substr(0, limit < 20 ? 300 : sent.size()));
        exchange();
        EXPECT_EQ(client.takeReceived(), sent.substr(0, limit < 20 ? 300 : sent.size())) << limit;
        EXPECT_EQ(client.error(), "");
    }
}

// A record counted as nothing until all of it was with the kernel, so that a peer that took sixty kilobytes in a
// minute was taken for one that takes nothing, and dropped.
TEST_P(SslTransportTest, APartOfARecordIsTakenAsItLeavesAndItsLastByteWithItsEnd) {
    establish();
    server.lower->onWrite(ScriptedTransport::takes(10));
    server.lower->onWrite(ScriptedTransport::wantsWrite());
    EXPECT_EQ(server.write("hello").bytes, 4u);
    EXPECT_EQ(server.write("o").status, IoStatus::WantWrite);
    EXPECT_EQ(server.write("o, more").bytes, 7u);
    exchange();
    EXPECT_EQ(client.takeReceived(), "hello, more") << "encrypted twice, or not at all";
}

TEST_P(SslTransportTest, AWriteFailsAsTheLowerOneDoes) {
    establish();
    server.lower->onWrite(ScriptedTransport::fails(std::errc::broken_pipe));
    EXPECT_EQ(server.write("hello").status, IoStatus::Failed);
    EXPECT_EQ(server.last.error, std::errc::broken_pipe);
}

TEST_P(SslTransportTest, AFileGoesOutWhateverTheKernelTakes) {
    const std::string sent = patternOf(100'000);
    const int file = ::memfd_create("file", MFD_CLOEXEC);
    ASSERT_EQ(::write(file, sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
    establish();
    for (const size_t limit : {size_t{97}, size_t{16384}, ScriptedTransport::kWhole}) {
        server.lower->limitWrites(limit);
        for (size_t at = 10; at < sent.size();) {
            const IoResult result =
                server.transport->sendFile(kNoFd, file, static_cast<off_t>(at), sent.size() - at);
            ASSERT_NE(result.status, IoStatus::Failed);
            at += result.bytes;
        }
        exchange();
        EXPECT_EQ(client.takeReceived(), sent.substr(10)) << limit;
    }
    EXPECT_EQ(server.transport->sendFile(kNoFd, file, 10, sent.size()).status, IoStatus::Failed)
        << "shorter than promised";
    ::close(file);
}

// --- The end ---

TEST_P(SslTransportTest, EndWriteSendsCloseNotifyOnceAndThenEndsTheStream) {
    establish();
    server.lower->onWrite(ScriptedTransport::wantsWrite());
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::WantWrite);
    EXPECT_FALSE(server.lower->isWriteEnded());
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::Ok);
    EXPECT_TRUE(server.lower->isWriteEnded());
    const std::string alert = server.lower->takeWritten();
    EXPECT_EQ(alert.size(), is13() ? 24u : 31u);
    client.feed(alert);
    EXPECT_TRUE(client.sawCloseNotify());
    EXPECT_EQ(client.error(), "");
    EXPECT_TRUE(server.transport->wantsGracefulEnd());
}

// The answer to a KeyUpdate was written behind our FIN, where the kernel fails it.
TEST_P(SslTransport13Test, NothingIsSentBehindOurEnd) {
    TlsClient client(TlsVersion::Tls13);
    Server server(GetParam());
    shakeHandsUpToTheLastFlight(client, server);
    server.lower->feed(client.takeOutput());
    server.handshake();
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::Ok);
    client.feed(server.lower->takeWritten());
    client.sendKeyUpdate(true);
    client.send("still here");
    server.lower->feed(client.takeOutput());
    EXPECT_EQ(server.readAll(), "still here");
    EXPECT_EQ(server.lower->written(), "");
}

TEST_P(SslTransportTest, InputGoesOnAfterOurEnd) {
    establish();
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::Ok);
    client.send("still here");
    toServer();
    EXPECT_EQ(server.readAll(), "still here");
}

TEST_P(SslTransportTest, TellsWhatWasAgreedOn) {
    EXPECT_EQ(server.transport->security(), nullptr);
    establish();
    ASSERT_NE(server.transport->security(), nullptr);
    EXPECT_EQ(server.transport->security()->version, is13() ? "TLSv1.3" : "TLSv1.2");
}

// The kernel may have no TLS, and this is no TCP socket: the ordinary way, silently.
TEST_P(SslTransportTest, WithoutKernelTlsItIsTheOrdinaryWay) {
    server = Server(GetParam(), GetParam() == Layer::Compact13);
    establish();
    server.writeAll("pong");
    EXPECT_EQ(server.transport->endWrite(kNoFd).status, IoStatus::Ok);
    exchange();
    EXPECT_EQ(client.takeReceived(), "pong");
    EXPECT_TRUE(client.sawCloseNotify());
}

TEST_P(SslTransportTest, RenegotiationIsRefused) {
    if (is13()) GTEST_SKIP() << "TLS 1.3 has none";
    establish();
    ASSERT_EQ(SSL_renegotiate(client.ssl()), 1);
    SSL_do_handshake(client.ssl());
    toServer();
    EXPECT_NE(server.read(), IoStatus::Ok);
    client.feed(server.lower->takeWritten());
    EXPECT_NE(client.error(), "");
}

// Two connections of a thread share its buffers and its cipher contexts.
TEST_P(SslTransportTest, ConnectionsOfAThreadDoNotMix) {
    establish();
    TlsClient otherClient(version());
    Server other(GetParam());
    std::swap(other.lower, server.lower);
    std::swap(other.transport, server.transport);
    // From here on `other` is the established one.
    server.handshake();
    client.send(patternOf(20'000));
    const std::string records = client.takeOutput();
    const std::string hello = otherClient.takeOutput();
    for (size_t i = 0; i < 200; ++i) {
        other.lower->feed(records.substr(i * 100, 100));
        other.read();
        if (i < hello.size()) {
            server.lower->feed(hello.substr(i, 1));
            EXPECT_EQ(server.handshake(), IoStatus::WantRead);
        }
    }
    other.lower->feed(records.substr(20'000));
    EXPECT_EQ(other.received + other.readAll(), patternOf(20'000));
    if (hello.size() > 200) {
        server.lower->feed(hello.substr(200));
        EXPECT_EQ(server.handshake(), IoStatus::WantRead);
    }
    otherClient.feed(server.lower->takeWritten());
    server.lower->feed(otherClient.takeOutput());
    EXPECT_EQ(server.handshake(), IoStatus::Ok);
}

}  // namespace
}  // namespace tnet
