#include "tests/support/loop_fixture.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "tnet/stack_buffer.h"
#include "tnet/transport.h"

namespace tnet {
namespace {

using SteadyClock = std::chrono::steady_clock;

void setReceiveTimeout(int fd) {
    const timeval timeout{kTestDeadline.count() / 1000, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

void setNonBlocking(int fd, bool enabled) {
    const int value = enabled ? 1 : 0;
    if (::ioctl(fd, FIONBIO, &value) != 0) ADD_FAILURE() << "FIONBIO: " << std::strerror(errno);
}

}  // namespace

bool runLoopUntil(IOLoop* loop, const std::function<bool()>& condition, std::chrono::milliseconds deadline) {
    const auto end = SteadyClock::now() + deadline;
    while (!condition()) {
        if (SteadyClock::now() > end) return false;
        loop->runOnce(std::chrono::milliseconds(2));
    }
    return true;
}

bool waitUntil(const std::function<bool()>& condition, std::chrono::milliseconds deadline) {
    const auto end = SteadyClock::now() + deadline;
    while (!condition()) {
        if (SteadyClock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

SocketPair makeSocketPair() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        ADD_FAILURE() << "socketpair: " << std::strerror(errno);
        return {};
    }
    setNonBlocking(ends[0], true);
    setReceiveTimeout(ends[1]);
    return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

SocketPair makeTcpPair() {
    auto listener = listenOn(Address::loopback(0));
    if (!listener) {
        ADD_FAILURE() << listener.error().message;
        return {};
    }
    BlockingClient client = BlockingClient::connectTo(localAddress(listener->get()));
    FileDescriptor ours;
    // The connect has returned, so the connection is in the backlog.
    ours.reset(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!ours.valid()) ADD_FAILURE() << "accept4: " << std::strerror(errno);
    return {std::move(ours), client.release()};
}

// --- BlockingClient ---

BlockingClient::BlockingClient(FileDescriptor socket) : m_socket(std::move(socket)) {
    if (valid()) setReceiveTimeout(fd());
}

BlockingClient BlockingClient::connectTo(const Address& address) {
    auto socket = openSocket(address.family());
    if (!socket) return {};
    setNonBlocking(socket->get(), false);
    BlockingClient client(std::move(*socket));
    if (::connect(client.fd(), address.data(), address.size()) != 0) client.close();
    return client;
}

bool BlockingClient::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
}

std::string BlockingClient::receive(size_t bytes) {
    std::string received(bytes, '\0');
    size_t filled = 0;
    while (filled < bytes) {
        const ssize_t n = ::recv(fd(), received.data() + filled, bytes - filled, 0);
        if (n <= 0) break;
        filled += static_cast<size_t>(n);
    }
    received.resize(filled);
    return received;
}

std::string BlockingClient::receiveAll() {
    std::string received;
    std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t n = ::recv(fd(), buffer.data(), buffer.size(), 0);
        if (n <= 0) return received;
        received.append(buffer.data(), static_cast<size_t>(n));
    }
}

bool BlockingClient::isAtEnd() {
    char byte = 0;
    return ::recv(fd(), &byte, 1, 0) == 0;
}

bool BlockingClient::isReset() {
    char byte = 0;
    return ::recv(fd(), &byte, 1, 0) < 0 && errno == ECONNRESET;
}

void BlockingClient::shutDownWrite() { ::shutdown(fd(), SHUT_WR); }

void BlockingClient::reset() {
    const linger abort{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
    close();
}

// --- EventLog ---

void PrintTo(ConnEvent event, std::ostream* out) {
    constexpr std::array kNames{"Established",   "Connect", "Connecting", "Read",
                                "WriteComplete", "Error",   "Close"};
    *out << kNames[event];
}

ConnEventCallback_t EventLog::callback() {
    return [this, alive = std::weak_ptr<bool>(m_alive)](const ConnectionPtr_t&, ConnEvent event,
                                                        const void* context) {
        if (!alive.expired()) record(event, context);
    };
}

void EventLog::record(ConnEvent event, const void* context) {
    events.push_back(event);
    if (event == Conn_ReadEvent) bytes += static_cast<const StackBuffer*>(context)->view();
    if (event == Conn_ErrorEvent) error = *static_cast<const std::error_code*>(context);
}

size_t EventLog::count(ConnEvent event) const {
    return static_cast<size_t>(std::count(events.begin(), events.end(), event));
}

// --- LoopTest ---

LoopTest::LoopTest() {
    auto loop = IOLoop::create(m_clock);
    if (!loop) {
        ADD_FAILURE() << loop.error().message;
        return;
    }
    m_loop = std::move(*loop);
}

LoopTest::~LoopTest() = default;

void LoopTest::runRounds(int rounds) {
    for (int i = 0; i < rounds; ++i) m_loop->runOnce(Duration::zero());
}

void LoopTest::advance(Duration step) {
    m_clock.advance(step);
    runRounds();
}

ConnectionPtr_t LoopTest::startConnection(FileDescriptor socket, ConnEventCallback_t callback) {
    const auto connection = std::make_shared<Connection>(loop(), std::move(socket), plainTransport(),
                                                         Connection::Origin::Accepted);
    connection->setEventCallback(std::move(callback));
    connection->start();
    return connection;
}

}  // namespace tnet
