#include "tests/hostile/swarm.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace tnet {
namespace {

using std::chrono::milliseconds;

constexpr size_t kOpensPerRound = 64;
constexpr size_t kBatchBytes = 16 << 10;  // of a flood, put together at a time
constexpr size_t kDripBytes = 16;
constexpr milliseconds kDripPause{250};
constexpr milliseconds kLook{10};   // at stopOpening and stop
constexpr milliseconds kPoke{250};  // a connection that the server has ended is tried, whether it is gone
constexpr size_t kLastAnswerBytes = 256 << 10;

TimePoint now() { return Clock::system().now(); }

}  // namespace

struct Swarm::Hostile {
    size_t index;
    uint64_t serial;
    FileDescriptor socket;
    Plan plan;
    Answers answers{};
    std::unique_ptr<TlsClient> tls{};
    std::string out{};
    size_t outDone = 0;
    uint64_t turn = 0;
    uint32_t interest = 0;
    TimePoint resetAt = TimePoint::max();
    bool isConnected = false;
    bool isFirstSent = false;
    bool hasEnded = false;    // the server has ended its direction
    bool isWriteDue = false;  // by a timer

    bool isFlood() const { return plan.pause == milliseconds::zero(); }
    bool hasOutput() const { return outDone < out.size(); }
    bool mayGoOn() const { return !tls || tls->isEstablished(); }
};

Swarm::Swarm(const Attack& attack, size_t connections, const Address& plain, const Address& secure)
    : m_attack(attack),
      m_server(attack.plan(0).tls == Plan::Tls::None ? plain : secure),
      m_epoll(::epoll_create1(EPOLL_CLOEXEC)) {
    const Plan first = attack.plan(0);
    if (first.tls != Plan::Tls::None && first.tls != Plan::Tls::Raw) {
        m_ctx.reset(SSL_CTX_new(TLS_client_method()));
        const int version = first.tlsVersion == TlsVersion::Tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
        SSL_CTX_set_min_proto_version(m_ctx.get(), version);
        SSL_CTX_set_max_proto_version(m_ctx.get(), version);
        if (first.tlsSetUp) first.tlsSetUp(m_ctx.get());
    }
    m_hostiles.resize(connections);
    for (size_t i = connections; i-- > 0;) m_vacant.push_back(i);
    m_thread = std::thread([this] { run(); });
}

Swarm::~Swarm() { stop(); }

void Swarm::stop() {
    m_isOver = true;
    if (m_thread.joinable()) m_thread.join();
}

void Swarm::run() {
    std::array<epoll_event, 256> events;
    while (!m_isOver) {
        for (size_t i = 0; i < kOpensPerRound && m_opens && !m_vacant.empty(); ++i) {
            const size_t index = m_vacant.back();
            m_vacant.pop_back();
            openOne(index);
        }
        const int ready = ::epoll_wait(m_epoll.get(), events.data(), events.size(), millisToWait());
        for (int i = 0; i < ready; ++i) {
            const epoll_event& event = events[static_cast<size_t>(i)];
            Hostile* const hostile = m_hostiles[static_cast<uint32_t>(event.data.u64)].get();
            if (hostile == nullptr || static_cast<uint32_t>(hostile->serial) != event.data.u64 >> 32)
                continue;
            onEvents(*hostile, event.events);
        }
        runDue();
    }
    for (const auto& hostile : m_hostiles) {
        if (hostile) end(*hostile);
    }
}

int Swarm::millisToWait() const {
    if (m_opens && !m_vacant.empty()) return 0;
    Duration wait = kLook;
    if (!m_due.empty()) wait = std::clamp<Duration>(m_due.top().at - now(), Duration::zero(), wait);
    return static_cast<int>(std::chrono::ceil<milliseconds>(wait).count());
}

// --- Opening ---

FileDescriptor Swarm::openFrom(uint64_t number) const {
    auto socket = openSocket(m_server.family());
    if (!socket) return {};
    const uint64_t source = number % m_attack.sources;
    // 127.0.0.1 is the well-behaved one's.
    const std::string text = m_attack.isIpv6 ? "[fd00:1::" + std::to_string(source + 1) + "]:0"
                                             : "127.0.0." + std::to_string(source + 2) + ":0";
    const auto address = Address::parse(text);
    // The port is chosen by connect, which knows the whole pair and can use every port once per address.
    const int on = 1;
    ::setsockopt(socket->get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (address)
        ::bind(socket->get(), address->data(), address->size());  // or from wherever the kernel likes
    return std::move(*socket);
}

void Swarm::openOne(size_t index) {
    auto hostile =
        std::make_unique<Hostile>(Hostile{index, ++m_serial, openFrom(m_serial), m_attack.plan(m_serial)});
    const int fd = hostile->socket.get();
    const int size = hostile->plan.receiveBuffer;
    if (size > 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (::connect(fd, m_server.data(), m_server.size()) != 0 && errno != EINPROGRESS) {
        ++m_figures.refused;
        m_vacant.insert(m_vacant.begin(), index);
        return;
    }
    epoll_event event{};
    event.events = hostile->interest = EPOLLOUT;
    event.data.u64 = hostile->serial << 32 | index;
    ::epoll_ctl(m_epoll.get(), EPOLL_CTL_ADD, fd, &event);
    ++m_open;
    m_hostiles[index] = std::move(hostile);
}

void Swarm::onConnected(Hostile& hostile) {
    if (socketError(hostile.socket.get())) {
        ++m_figures.refused;
        return end(hostile);
    }
    hostile.isConnected = true;
    ++m_figures.opened;
    setNoDelay(hostile.socket.get(), true);
    if (m_ctx) {
        SslPtr_t ssl(SSL_new(m_ctx.get()));
        SSL_set_connect_state(ssl.get());
        hostile.tls = std::make_unique<TlsClient>(std::move(ssl));
        hostile.out = hostile.tls->takeOutput();
    }
    if (hostile.plan.resetAfter) {
        hostile.resetAt = now() + *hostile.plan.resetAfter;
        schedule(hostile, *hostile.plan.resetAfter);
    }
    if (hostile.plan.reading == Plan::Reading::Drip) schedule(hostile, kDripPause);
    write(hostile);
}

// --- Events ---

void Swarm::onEvents(Hostile& hostile, uint32_t events) {
    if (!hostile.isConnected) return onConnected(hostile);
    if ((events & EPOLLERR) != 0) return lose(hostile, ECONNRESET);
    if ((events & EPOLLIN) != 0) return read(hostile);
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) return onServersEnd(hostile);
    if ((events & EPOLLOUT) != 0) write(hostile);
}

void Swarm::runDue() {
    while (!m_due.empty() && m_due.top().at <= now()) {
        const Due due = m_due.top();
        m_due.pop();
        Hostile* const hostile = m_hostiles[due.index].get();
        if (hostile != nullptr && hostile->serial == due.serial) onTimer(*hostile);
    }
}

void Swarm::onTimer(Hostile& hostile) {
    if (now() >= hostile.resetAt) return end(hostile);
    if (hostile.hasEnded) {
        // A server that has closed answers it with a reset, which the next one meets.
        if (::send(hostile.socket.get(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
            return end(hostile);
        return schedule(hostile, kPoke);
    }
    if (hostile.plan.reading == Plan::Reading::Drip) {
        if (!readOnce(hostile, kDripBytes)) return;
        schedule(hostile, kDripPause);
    }
    if (!std::exchange(hostile.isWriteDue, false)) return;
    write(hostile);
}

void Swarm::schedule(Hostile& hostile, Duration after) {
    m_due.push({now() + after, hostile.index, hostile.serial});
}

void Swarm::watch(Hostile& hostile) {
    uint32_t events = 0;
    if (!hostile.hasEnded) {
        events |= EPOLLRDHUP;
        if (hostile.plan.reading == Plan::Reading::All) events |= EPOLLIN;
        if (hostile.hasOutput() && hostile.isFlood()) events |= EPOLLOUT;
    }
    if (events == hostile.interest) return;
    epoll_event event{};
    event.events = hostile.interest = events;
    event.data.u64 = hostile.serial << 32 | hostile.index;
    ::epoll_ctl(m_epoll.get(), EPOLL_CTL_MOD, hostile.socket.get(), &event);
}

// --- Reading ---

void Swarm::read(Hostile& hostile) {
    if (!readOnce(hostile, 64 << 10)) return;
    if (hostile.isFlood() || hostile.tls) write(hostile);
}

// False: the connection is gone, or has been ended.
bool Swarm::readOnce(Hostile& hostile, size_t most) {
    static thread_local std::array<char, 64 << 10> buffer;
    const ssize_t n =
        ::recv(hostile.socket.get(), buffer.data(), std::min(most, buffer.size()), MSG_DONTWAIT);
    if (n > 0) {
        takeInput(hostile, {buffer.data(), static_cast<size_t>(n)});
        return true;
    }
    if (n < 0 && errno == EAGAIN) return true;
    n == 0 ? onServersEnd(hostile) : lose(hostile, errno);
    return false;
}

void Swarm::takeInput(Hostile& hostile, std::string_view bytes) {
    m_figures.receivedBytes += bytes.size();
    if (!hostile.tls) return hostile.answers.take(bytes, m_figures.answers);
    if (hostile.plan.tls == Plan::Tls::Stall) return;
    hostile.tls->feed(bytes);
    hostile.out += hostile.tls->takeOutput();
    hostile.answers.take(hostile.tls->takeReceived(), m_figures.answers);
}

// What it has said before it ended is heard.
void Swarm::onServersEnd(Hostile& hostile) {
    if (hostile.hasEnded) return;
    hostile.hasEnded = true;
    std::array<char, 16 << 10> buffer;
    for (size_t heard = 0; heard < kLastAnswerBytes;) {
        const ssize_t n = ::recv(hostile.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n <= 0) break;
        takeInput(hostile, {buffer.data(), static_cast<size_t>(n)});
        heard += static_cast<size_t>(n);
    }
    ++m_figures.ended;
    if (!hostile.answers.hasAnything()) ++m_figures.turnedAway;
    if (!hostile.plan.neverCloses) return end(hostile);
    watch(hostile);
    schedule(hostile, kPoke);
}

void Swarm::lose(Hostile& hostile, int) {
    if (!hostile.hasEnded) {
        ++m_figures.wasReset;
        if (!hostile.answers.hasAnything()) ++m_figures.turnedAway;
    }
    end(hostile);
}

// With a reset: no port in TIME_WAIT, of which there are not enough.
void Swarm::end(Hostile& hostile) {
    const linger reset{1, 0};
    ::setsockopt(hostile.socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    const size_t index = hostile.index;
    --m_open;
    m_vacant.push_back(index);
    m_hostiles[index].reset();
}

// --- Writing ---

// False: there is nothing to send now.
bool Swarm::refill(Hostile& hostile) const {
    if (hostile.hasOutput()) return true;
    hostile.out.clear();
    hostile.outDone = 0;
    if (!hostile.mayGoOn()) return false;
    const auto put = [&hostile](std::string bytes) {
        if (!hostile.tls) {
            hostile.out += bytes;
        } else if (!bytes.empty()) {
            hostile.tls->send(bytes);
            hostile.out += hostile.tls->takeOutput();
        }
    };
    const size_t batch = hostile.isFlood() ? kBatchBytes : 1;
    if (!std::exchange(hostile.isFirstSent, true)) put(hostile.plan.first);
    while (hostile.out.size() < batch) {
        const size_t before = hostile.out.size();
        if (hostile.plan.tlsTurn) {
            hostile.plan.tlsTurn(*hostile.tls);
            hostile.out += hostile.tls->takeOutput();
        } else if (hostile.plan.more) {
            put(hostile.plan.more(hostile.turn++));
        }
        if (hostile.out.size() == before) break;
    }
    return hostile.hasOutput();
}

void Swarm::write(Hostile& hostile) {
    if (hostile.hasEnded || hostile.isWriteDue) return;
    const bool isHandshake = hostile.plan.tls == Plan::Tls::Handshake;
    if (isHandshake && hostile.tls->isEstablished() && !hostile.hasOutput()) return end(hostile);
    const bool hasMore = refill(hostile);
    if (hasMore) {
        const size_t most = std::min(hostile.plan.pieceBytes, hostile.out.size() - hostile.outDone);
        const ssize_t n = ::send(hostile.socket.get(), hostile.out.data() + hostile.outDone, most,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
        // What it said before it closed is there still.
        if (n < 0 && errno != EAGAIN) return errno == EPIPE ? onServersEnd(hostile) : lose(hostile, errno);
        if (n > 0) {
            hostile.outDone += static_cast<size_t>(n);
            m_figures.sentBytes += static_cast<uint64_t>(n);
        }
        refill(hostile);
    }
    if (!hostile.isFlood() && !std::exchange(hostile.isWriteDue, true)) schedule(hostile, hostile.plan.pause);
    watch(hostile);
}

}  // namespace tnet
