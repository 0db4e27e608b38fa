#include "tnet/transport.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/loop_fixture.h"
#include "tnet/socket.h"

namespace tnet {
namespace {

class PlainTransportTest : public ::testing::Test {
protected:
    // SIGPIPE ends the process, as it does by default.
    void SetUp() override { m_previous = std::signal(SIGPIPE, SIG_DFL); }
    void TearDown() override { std::signal(SIGPIPE, m_previous); }

    IoResult write(std::string_view bytes) {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        return m_transport->write(m_pair.ours.get(), &piece, 1);
    }
    IoResult write(std::string_view a, std::string_view b) {
        const std::array pieces{iovec{const_cast<char*>(a.data()), a.size()},
                                iovec{const_cast<char*>(b.data()), b.size()}};
        return m_transport->write(m_pair.ours.get(), pieces.data(), 2);
    }
    IoResult read() { return m_transport->read(m_pair.ours.get(), m_buffer.data(), m_buffer.size()); }

    SocketPair m_pair = makeTcpPair();
    TransportPtr_t m_transport = plainTransport();
    std::array<char, 100> m_buffer{};
    void (*m_previous)(int) = nullptr;
};

TEST_F(PlainTransportTest, HasNoHandshakeAndNoWishes) {
    EXPECT_EQ(m_transport->handshake(m_pair.ours.get()).status, IoStatus::Ok);
    EXPECT_FALSE(m_transport->hasPendingInput());
    EXPECT_FALSE(m_transport->wantsGracefulEnd());
}

TEST_F(PlainTransportTest, ReadsWhatThereIs) {
    EXPECT_EQ(read().status, IoStatus::WantRead);
    BlockingClient peer(std::move(m_pair.peers));
    ASSERT_TRUE(peer.send(std::string(150, 'x')));
    const IoResult first = read();
    EXPECT_EQ(first.status, IoStatus::Ok);
    EXPECT_EQ(first.bytes, 100U);
    EXPECT_EQ(read().bytes, 50U);
    peer.shutDownWrite();
    EXPECT_EQ(read().status, IoStatus::End);
    EXPECT_EQ(read().status, IoStatus::End);
}

TEST_F(PlainTransportTest, AResetIsAFailure) {
    BlockingClient(std::move(m_pair.peers)).reset();
    const IoResult result = read();
    EXPECT_EQ(result.status, IoStatus::Failed);
    EXPECT_EQ(result.error, std::errc::connection_reset);
}

TEST_F(PlainTransportTest, WritesOnePieceOrSeveral) {
    BlockingClient peer(std::move(m_pair.peers));
    EXPECT_EQ(write("one").bytes, 3U);
    EXPECT_EQ(write("two ", "pieces").bytes, 10U);
    EXPECT_EQ(peer.receive(13), "onetwo pieces");
}

TEST_F(PlainTransportTest, WhenTheKernelIsFullItWantsToWrite) {
    const std::string much(1 << 20, 'x');
    IoResult result = write(much);
    EXPECT_EQ(result.status, IoStatus::Ok);
    while (result.status == IoStatus::Ok) result = write(much, much);
    EXPECT_EQ(result.status, IoStatus::WantWrite);
    EXPECT_EQ(result.bytes, 0U);
    EXPECT_EQ(write("x").status, IoStatus::WantWrite);
}

// A client that asked for a file and closed could end a server that had not thought of SIGPIPE: sendfile
// has no MSG_NOSIGNAL.
TEST_F(PlainTransportTest, AVanishedPeerIsAnErrorAndNoSignal) {
    m_pair = makeSocketPair();
    m_pair.peers.reset();
    const FileDescriptor file(::memfd_create("transport_test", MFD_CLOEXEC));
    ASSERT_EQ(::write(file.get(), "x", 1), 1);
    const auto sendFile = [&] { return m_transport->sendFile(m_pair.ours.get(), file.get(), 0, 1); };
    for (const IoResult& result : {write("x"), write("x", "y"), sendFile()}) {
        EXPECT_EQ(result.status, IoStatus::Failed);
        EXPECT_EQ(result.error, std::errc::broken_pipe);
    }
    sigset_t blocked;
    ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &blocked), 0);
    EXPECT_EQ(sigismember(&blocked, SIGPIPE), 0) << "left blocked";
}

TEST_F(PlainTransportTest, SendsARangeOfAFile) {
    const FileDescriptor file(::memfd_create("transport_test", MFD_CLOEXEC));
    ASSERT_EQ(::write(file.get(), "0123456789", 10), 10);
    BlockingClient peer(std::move(m_pair.peers));
    EXPECT_EQ(m_transport->sendFile(m_pair.ours.get(), file.get(), 3, 4).bytes, 4U);
    EXPECT_EQ(peer.receive(4), "3456");
    // What there is, then a failure: the peer was promised more.
    EXPECT_EQ(m_transport->sendFile(m_pair.ours.get(), file.get(), 8, 5).bytes, 2U);
    const IoResult result = m_transport->sendFile(m_pair.ours.get(), file.get(), 10, 3);
    EXPECT_EQ(result.status, IoStatus::Failed);
    EXPECT_EQ(result.error, std::errc::io_error);
}

TEST_F(PlainTransportTest, EndsOurDirection) {
    EXPECT_EQ(m_transport->endWrite(m_pair.ours.get()).status, IoStatus::Ok);
    BlockingClient peer(std::move(m_pair.peers));
    EXPECT_TRUE(peer.isAtEnd());
    ASSERT_TRUE(peer.send("still heard"));
    EXPECT_EQ(read().bytes, 11U);
}

}  // namespace
}  // namespace tnet
