#include "tnet/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

// Runs once, in place of whatever else may happen on the machine between a bind and the listen.
namespace {
std::function<void()> g_beforeListen;
}

// Takes the place of libc's in this program.
extern "C" int listen(int fd, int backlog) noexcept {
    if (const auto hook = std::exchange(g_beforeListen, nullptr)) hook();
    return static_cast<int>(::syscall(SYS_listen, fd, backlog));
}

namespace tnet {
namespace {

constexpr int kDeadlineMs = 10000;

int intOption(int fd, int level, int option) {
    int value = -1;
    socklen_t length = sizeof(value);
    EXPECT_EQ(::getsockopt(fd, level, option, &value, &length), 0);
    return value;
}

FileDescriptor mustListen(const Address& address, const ListenOptions& options = {}) {
    Result<FileDescriptor> fd = listenOn(address, options);
    EXPECT_TRUE(fd.ok()) << (fd.ok() ? "" : fd.error().message);
    return fd.ok() ? std::move(*fd) : FileDescriptor();
}

// The outcome of a connect, waited for.
std::error_code connectTo(int fd, const Address& address) {
    if (::connect(fd, address.data(), address.size()) == 0) return {};
    if (errno != EINPROGRESS) return std::error_code(errno, std::generic_category());
    pollfd request{fd, POLLOUT, 0};
    EXPECT_EQ(::poll(&request, 1, kDeadlineMs), 1);
    return socketError(fd);
}

FileDescriptor mustConnect(const Address& address) {
    Result<FileDescriptor> fd = openSocket(address.family());
    EXPECT_TRUE(fd.ok());
    EXPECT_EQ(connectTo(fd->get(), address), std::error_code());
    return std::move(*fd);
}

FileDescriptor mustAccept(int listener) {
    pollfd request{listener, POLLIN, 0};
    EXPECT_EQ(::poll(&request, 1, kDeadlineMs), 1);
    FileDescriptor fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    EXPECT_TRUE(fd.valid());
    return fd;
}

bool isOpen(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

bool hasIPv6() {
    const Result<Address> address = Address::parse("[::1]:0");
    return listenOn(*address).ok();
}

TEST(FileDescriptorTest, ClosesWhatItOwns) {
    int number = -1;
    {
        const FileDescriptor fd(::dup(0));
        number = fd.get();
        ASSERT_TRUE(fd.valid());
        ASSERT_TRUE(isOpen(number));
    }
    EXPECT_FALSE(isOpen(number));
}

TEST(FileDescriptorTest, DefaultOwnsNothing) {
    FileDescriptor fd;
    EXPECT_FALSE(fd.valid());
    EXPECT_EQ(fd.get(), -1);
    fd.reset();
}

TEST(FileDescriptorTest, ReleaseGivesItUp) {
    FileDescriptor fd(::dup(0));
    const int number = fd.release();
    EXPECT_FALSE(fd.valid());
    fd.reset();
    EXPECT_TRUE(isOpen(number));
    ::close(number);
}

TEST(FileDescriptorTest, MovingMovesTheOwnership) {
    FileDescriptor first(::dup(0));
    const int number = first.get();
    FileDescriptor second(std::move(first));
    EXPECT_EQ(second.get(), number);
    FileDescriptor third(::dup(0));
    const int replaced = third.get();
    third = std::move(second);
    EXPECT_EQ(third.get(), number);
    EXPECT_FALSE(isOpen(replaced));
    EXPECT_TRUE(isOpen(number));
    FileDescriptor& same = third;
    third = std::move(same);
    EXPECT_EQ(third.get(), number);
    EXPECT_TRUE(isOpen(number));
}

TEST(FileDescriptorTest, ResetLeavesErrnoAlone) {
    FileDescriptor fd(1 << 20);  // not open: close fails
    errno = ENOTTY;
    fd.reset();
    EXPECT_EQ(errno, ENOTTY);
}

TEST(SocketTest, OpensNonBlockingAndClosedOnExec) {
    for (const int family : {AF_INET, AF_UNIX}) {
        const Result<FileDescriptor> fd = openSocket(family);
        ASSERT_TRUE(fd.ok());
        EXPECT_NE(::fcntl(fd->get(), F_GETFL) & O_NONBLOCK, 0);
        EXPECT_NE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
    }
}

TEST(SocketTest, OpenNamesAnUnknownFamily) {
    const Result<FileDescriptor> fd = openSocket(AF_UNSPEC);
    ASSERT_FALSE(fd.ok());
    EXPECT_EQ(fd.error().code, std::errc::address_family_not_supported);
}

TEST(SocketTest, KnowsItsTwoEnds) {
    const FileDescriptor listener = mustListen(Address::loopback(0));
    const Address address = localAddress(listener.get());
    EXPECT_EQ(address.host(), "127.0.0.1");
    EXPECT_NE(address.port(), 0);
    const FileDescriptor client = mustConnect(address);
    const FileDescriptor accepted = mustAccept(listener.get());
    EXPECT_EQ(peerAddress(client.get()), address);
    EXPECT_EQ(localAddress(accepted.get()), address);
    EXPECT_EQ(peerAddress(accepted.get()), localAddress(client.get()));
    EXPECT_EQ(peerAddress(listener.get()), Address());
    EXPECT_EQ(localAddress(-1), Address());
}

TEST(SocketTest, SocketErrorIsTheOutcomeOfAConnectOnce) {
    Address address;
    {
        const FileDescriptor listener = mustListen(Address::loopback(0));
        address = localAddress(listener.get());
    }
    const Result<FileDescriptor> client = openSocket(AF_INET);
    ASSERT_TRUE(client.ok());
    ASSERT_EQ(::connect(client->get(), address.data(), address.size()), -1);
    ASSERT_EQ(errno, EINPROGRESS);
    pollfd request{client->get(), POLLOUT, 0};
    ASSERT_EQ(::poll(&request, 1, kDeadlineMs), 1);
    EXPECT_EQ(socketError(client->get()), std::errc::connection_refused);
    EXPECT_EQ(socketError(client->get()), std::error_code());
    EXPECT_EQ(socketError(-1), std::errc::bad_file_descriptor);
}

TEST(SocketTest, SetNoDelayBothWays) {
    const Result<FileDescriptor> tcp = openSocket(AF_INET);
    ASSERT_TRUE(tcp.ok());
    EXPECT_TRUE(setNoDelay(tcp->get(), true));
    EXPECT_NE(intOption(tcp->get(), IPPROTO_TCP, TCP_NODELAY), 0);
    EXPECT_TRUE(setNoDelay(tcp->get(), false));
    EXPECT_EQ(intOption(tcp->get(), IPPROTO_TCP, TCP_NODELAY), 0);
    const Result<FileDescriptor> local = openSocket(AF_UNIX);
    ASSERT_TRUE(local.ok());
    EXPECT_FALSE(setNoDelay(local->get(), true));
}

TEST(ListenTest, AcceptedSocketsInheritNoDelay) {
    const FileDescriptor listener = mustListen(Address::loopback(0));
    const FileDescriptor client = mustConnect(localAddress(listener.get()));
    const FileDescriptor accepted = mustAccept(listener.get());
    EXPECT_NE(intOption(accepted.get(), IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST(ListenTest, NamesTheAddressInItsError) {
    const Result<Address> address = Address::parse("192.0.2.1:80");  // RFC 5737: nobody's
    const Result<FileDescriptor> fd = listenOn(*address);
    ASSERT_FALSE(fd.ok());
    EXPECT_EQ(fd.error().code, std::errc::address_not_available);
    EXPECT_NE(fd.error().message.find("listen 192.0.2.1:80"), std::string::npos) << fd.error().message;
}

TEST(ListenTest, RefusesNoAddress) {
    const Result<FileDescriptor> fd = listenOn(Address());
    ASSERT_FALSE(fd.ok());
    EXPECT_EQ(fd.error().code, std::errc::address_family_not_supported);
    EXPECT_NE(fd.error().message.find("listen unspecified"), std::string::npos) << fd.error().message;
}

TEST(ListenTest, APortIsFreeAgainAtOnce) {
    Address address;
    {
        const FileDescriptor listener = mustListen(Address::loopback(0));
        address = localAddress(listener.get());
        const FileDescriptor client = mustConnect(address);
        FileDescriptor accepted = mustAccept(listener.get());
        accepted.reset();  // closes first, so TIME_WAIT is on the server's side
        char byte = 0;
        pollfd request{client.get(), POLLIN, 0};
        ASSERT_EQ(::poll(&request, 1, kDeadlineMs), 1);
        ASSERT_EQ(::read(client.get(), &byte, 1), 0);
    }
    EXPECT_TRUE(listenOn(address).ok());
}

TEST(ListenTest, APortIsNeverSharedByAccident) {
    for (const bool firstReuses : {false, true}) {
        const FileDescriptor first = mustListen(Address::loopback(0), {.reusePort = firstReuses});
        const Address address = localAddress(first.get());
        for (const bool secondReuses : {false, true}) {
            const Result<FileDescriptor> second = listenOn(address, {.reusePort = secondReuses});
            ASSERT_FALSE(second.ok()) << firstReuses << secondReuses;
            EXPECT_EQ(second.error().code, std::errc::address_in_use);
        }
        EXPECT_EQ(listenOn(address, {.joinGroup = true}).ok(), firstReuses);
    }
}

// A server that is joined must keep others out as firmly as one that is alone.
TEST(ListenTest, AGroupIsNotEnteredWithoutJoining) {
    const FileDescriptor first = mustListen(Address::loopback(0), {.reusePort = true});
    const Address address = localAddress(first.get());
    const FileDescriptor sibling = mustListen(address, {.joinGroup = true});
    EXPECT_FALSE(listenOn(address, {.reusePort = true}).ok());
    EXPECT_FALSE(listenOn(Address::any(address.port()), {.reusePort = true}).ok());
}

// Two servers that start at the same moment: with SO_REUSEADDR both can bind before either listens,
// and if both had SO_REUSEPORT by then, both could listen. Here the second does all of its listenOn
// between the first one's bind and listen; one of them may have the port.
TEST(ListenTest, OfTwoThatStartAtOnceOneGetsThePort) {
    const Address address = localAddress(mustListen(Address::loopback(0)).get());
    bool secondBegan = false;
    bool secondHasIt = false;
    FileDescriptor second;
    g_beforeListen = [&] {
        secondBegan = true;
        Result<FileDescriptor> fd = listenOn(address, {.reusePort = true});
        secondHasIt = fd.ok();
        if (fd.ok()) second = std::move(*fd);
    };
    const Result<FileDescriptor> first = listenOn(address, {.reusePort = true});
    EXPECT_TRUE(secondBegan);
    EXPECT_TRUE(secondHasIt);
    ASSERT_FALSE(first.ok());
    EXPECT_EQ(first.error().code, std::errc::address_in_use);
}

TEST(ListenTest, ConnectionsSpreadOverTheGroup) {
    std::vector<FileDescriptor> listeners;
    listeners.push_back(mustListen(Address::loopback(0), {.reusePort = true}));
    const Address address = localAddress(listeners.front().get());
    for (int i = 0; i < 3; ++i) listeners.push_back(mustListen(address, {.joinGroup = true}));

    std::vector<FileDescriptor> clients;
    for (int i = 0; i < 400; ++i) clients.push_back(mustConnect(address));
    size_t total = 0;
    for (const FileDescriptor& listener : listeners) {
        size_t count = 0;
        while (FileDescriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)).valid()) ++count;
        // 100 expected of each; 40 is seven standard deviations away.
        EXPECT_GT(count, 40U);
        total += count;
    }
    EXPECT_EQ(total, clients.size());
}

TEST(ListenTest, AnIPv6ListenerTakesIPv4OnlyIfAsked) {
    if (!hasIPv6()) GTEST_SKIP() << "no IPv6 here";
    const Address any6 = *Address::parse("[::]:0");
    for (const bool v6Only : {true, false}) {
        const FileDescriptor listener = mustListen(any6, {.v6Only = v6Only});
        const Result<FileDescriptor> client = openSocket(AF_INET);
        ASSERT_TRUE(client.ok());
        const std::error_code error =
            connectTo(client->get(), Address::loopback(localAddress(listener.get()).port()));
        EXPECT_EQ(error, v6Only ? std::make_error_code(std::errc::connection_refused) : std::error_code());
    }
}

TEST(ListenTest, TheBacklogIsTheOneAskedFor) {
    const FileDescriptor listener = mustListen(Address::loopback(0), {.backlog = 7});
    tcp_info info{};
    socklen_t length = sizeof(info);
    ASSERT_EQ(::getsockopt(listener.get(), IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    EXPECT_EQ(info.tcpi_sacked, 7U);  // of a listener: its backlog
}

class UnixListenTest : public testing::Test {
protected:
    UnixListenTest() {
        const char* const root = std::getenv("TEST_TMPDIR");
        const bool isShort = root != nullptr && std::string(root).size() < 60;  // a Unix path has 107 bytes
        std::string pattern = std::string(isShort ? root : "/tmp") + "/tnetXXXXXX";
        m_directory = ::mkdtemp(pattern.data());
        m_path = m_directory + "/s";
        m_address = *Address::parse("unix:" + m_path);
    }
    ~UnixListenTest() override {
        ::unlink(m_path.c_str());
        ::rmdir(m_directory.c_str());
    }

    bool isSocket() const {
        struct stat status {};
        return ::lstat(m_path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
    }

    std::string m_directory;
    std::string m_path;
    Address m_address;
};

TEST_F(UnixListenTest, AcceptsConnections) {
    const FileDescriptor listener = mustListen(m_address);
    EXPECT_EQ(localAddress(listener.get()), m_address);
    const FileDescriptor client = mustConnect(m_address);
    const FileDescriptor accepted = mustAccept(listener.get());
    EXPECT_EQ(peerAddress(client.get()), m_address);
    EXPECT_EQ(peerAddress(accepted.get()).toString(), "unix:");
}

TEST_F(UnixListenTest, AStaleSocketIsReplaced) {
    mustListen(m_address).reset();
    ASSERT_TRUE(isSocket());
    const FileDescriptor listener = mustListen(m_address);
    const FileDescriptor client = mustConnect(m_address);
    EXPECT_TRUE(mustAccept(listener.get()).valid());
}

TEST_F(UnixListenTest, ASocketInUseIsLeftAlone) {
    const FileDescriptor listener = mustListen(m_address);
    const Result<FileDescriptor> second = listenOn(m_address);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, std::errc::address_in_use);
    EXPECT_NE(second.error().message.find("listen " + m_address.toString()), std::string::npos);
    mustAccept(listener.get()).reset();  // the probe
    const FileDescriptor client = mustConnect(m_address);
    EXPECT_TRUE(mustAccept(listener.get()).valid());
}

TEST_F(UnixListenTest, ASocketWithAFullBacklogIsInUse) {
    const FileDescriptor listener = mustListen(m_address, {.backlog = 0});
    std::vector<FileDescriptor> clients;
    while (true) {
        clients.push_back(std::move(*openSocket(AF_UNIX)));
        if (::connect(clients.back().get(), m_address.data(), m_address.size()) != 0) break;
        ASSERT_LT(clients.size(), 100U);
    }
    ASSERT_EQ(errno, EAGAIN);
    const Result<FileDescriptor> second = listenOn(m_address);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, std::errc::address_in_use);
    EXPECT_TRUE(isSocket());
}

TEST_F(UnixListenTest, ADatagramSocketIsLeftAlone) {
    const FileDescriptor datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(datagram.get(), m_address.data(), m_address.size()), 0);
    const Result<FileDescriptor> second = listenOn(m_address);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, std::errc::address_in_use);
    EXPECT_TRUE(isSocket());
}

TEST_F(UnixListenTest, AFileIsNeverRemoved) {
    std::ofstream(m_path) << "precious";
    const Result<FileDescriptor> fd = listenOn(m_address);
    ASSERT_FALSE(fd.ok());
    EXPECT_EQ(fd.error().code, std::errc::address_in_use);
    std::string content;
    std::ifstream(m_path) >> content;
    EXPECT_EQ(content, "precious");
}

// connect() follows a link to a stale socket and says ECONNREFUSED; the link is not ours to remove.
TEST_F(UnixListenTest, ALinkToAStaleSocketIsNeverRemoved) {
    const std::string target = m_directory + "/t";
    mustListen(*Address::parse("unix:" + target)).reset();
    ASSERT_EQ(::symlink(target.c_str(), m_path.c_str()), 0);
    const Result<FileDescriptor> fd = listenOn(m_address);
    EXPECT_FALSE(fd.ok());
    struct stat status {};
    EXPECT_EQ(::lstat(m_path.c_str(), &status), 0);
    ::unlink(target.c_str());
}

TEST_F(UnixListenTest, AnAbstractNameIsTakenWhileItIsUsed) {
    const Address address = *Address::parse("unix:@tnet-socket-test-" + std::to_string(::getpid()));
    FileDescriptor listener = mustListen(address);
    EXPECT_EQ(localAddress(listener.get()), address);
    EXPECT_EQ(listenOn(address).error().code, std::errc::address_in_use);
    const FileDescriptor client = mustConnect(address);
    EXPECT_TRUE(mustAccept(listener.get()).valid());
    listener.reset();
    EXPECT_TRUE(listenOn(address).ok());
}

// "unix:@x" is printed like a file named @x, which must not be taken for it and unlinked.
TEST_F(UnixListenTest, AnAbstractNameNeverRemovesAFile) {
    ASSERT_EQ(::chdir(m_directory.c_str()), 0);
    const std::string name = "@tnet-socket-test-" + std::to_string(::getpid());
    mustListen(*Address::parse("unix:./" + name)).reset();
    ASSERT_EQ(::access(name.c_str(), F_OK), 0);
    const Address address = *Address::parse("unix:" + name);
    const FileDescriptor bound = std::move(*openSocket(AF_UNIX));  // takes the name, but refuses connections
    ASSERT_EQ(::bind(bound.get(), address.data(), address.size()), 0);
    EXPECT_EQ(listenOn(address).error().code, std::errc::address_in_use);
    EXPECT_EQ(::access(name.c_str(), F_OK), 0);
    ::unlink(name.c_str());
    ASSERT_EQ(::chdir("/"), 0);
}

TEST_F(UnixListenTest, HasNoPortToShare) {
    EXPECT_EQ(listenOn(m_address, {.reusePort = true}).error().code, std::errc::operation_not_supported);
    EXPECT_EQ(listenOn(m_address, {.joinGroup = true}).error().code, std::errc::operation_not_supported);
    EXPECT_FALSE(isSocket());
}

}  // namespace
}  // namespace tnet
