// soak_load: keeps a number of connections to a soak_server alive, of which all the time some die and others take their place.
//
//     soak_load ws --port 8080 --connections 17000 [--address 127.0.0.1] [--rate 500] [--scale PERCENT] [--seed N]
//
// The kinds are http, ws and tcp. It opens `rate` connections per second until they are there. Then it does what
// it reads, a word a line, and answers each with one line of JSON that says what became of the connections:
//
//     report    nothing else
//     hold      from now on none dies, but those that are about to
//     rest      none is used any more, once it has been used
//     end       all leave; answered when none is left; then it ends, with status 1 if there was a mistake
//
// Its connections come from 127.2.0.1 on, kPortsPerSource of each address, since one has some 28000 ports to one server.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "bench/load_flags.h"
#include "tests/soak/http_life.h"
#include "tests/soak/tcp_life.h"
#include "tests/soak/ws_life.h"
#include "tnet/ignore_sig_pipe.h"

using namespace tnet;

namespace {

constexpr const char* kUsage =
    "usage: soak_load http|ws|tcp --port PORT --connections N [--address A] [--rate N] [--scale PERCENT] "
    "[--seed N]\n";
constexpr uint32_t kFirstSource = 0x7f020001;
constexpr uint64_t kPortsPerSource = 4'000;  // with those that are in TIME_WAIT still far from all
constexpr std::chrono::milliseconds kTick{10};

// The n-th connection's socket; `error`: what connect(2) said.
Result<FileDescriptor> connectSocket(const Address& server, uint64_t n, std::error_code& error) {
    auto socket = openSocket(AF_INET);
    if (!socket) return socket;
    setNoDelay(socket->get(), true);
    const int on = 1;
    setsockopt(socket->get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(kFirstSource + static_cast<uint32_t>(n));
    const Address address = Address::fromSockaddr(reinterpret_cast<sockaddr*>(&source), sizeof source);
    int failed = bind(socket->get(), address.data(), address.size());
    if (failed == 0) failed = connect(socket->get(), server.data(), server.size());
    error = failed == 0 ? std::error_code() : std::error_code(errno, std::system_category());
    return socket;
}

class Load {
public:
    Load(LoadFlags& flags, IOLoop* loop)
        : m_kind(flags.mode()),
          m_server(serverOf(flags)),
          m_soak{.loop = loop,
                 .times = SoakTimes::scaled(flags.number("--scale", 100)),
                 .connections = flags.number("--connections", 1000)},
          m_rate(flags.number("--rate", 500)),
          m_sources(m_soak.connections / kPortsPerSource + 2) {
        m_soak.random.seed(flags.number("--seed", 1));
        m_soak.onOver = [this](Life* life) { meetEnd(life); };
        flags.rejectOthers();
        if (m_kind != "http" && m_kind != "ws" && m_kind != "tcp") flags.reject("no kind: " + m_kind);
        loop->runEvery(kTick, [this] { open(); });
        if (loop->addHandler(0, TNET_READ, [this](uint32_t) { readCommand(); }))
            flags.reject("cannot watch stdin");
    }

    bool wasRight() const { return m_soak.tally.mistakes == 0; }

private:
    static Address serverOf(LoadFlags& flags) {
        const auto address =
            Address::parse(flags.text("--address", "127.0.0.1") + ":" + std::to_string(flags.port()));
        if (!address) flags.reject(address.error().message);
        return *address;
    }

    void open() {
        if (m_isEnding) return;
        m_allowance = std::min(m_allowance + static_cast<double>(m_rate) * 0.01, static_cast<double>(m_rate));
        for (; m_allowance >= 1 && m_living.size() < m_soak.connections; --m_allowance) {
            std::error_code error;
            auto socket = connectSocket(m_server, m_opened++ % m_sources, error);
            if (!socket) {
                m_soak.tally.addMistake(socket.error().message);
                return;
            }
            const auto life = makeLife();
            m_living.insert(life.get());
            Life::begin(life, std::move(*socket), error);
        }
    }

    std::shared_ptr<Life> makeLife() {
        if (m_kind == "http") return std::make_shared<HttpLife>(m_soak);
        if (m_kind == "ws") return std::make_shared<WsLife>(m_soak);
        return std::make_shared<TcpLife>(m_soak);
    }

    void meetEnd(Life* life) {
        m_living.erase(life);
        if (m_isEnding && m_living.empty()) finish();
    }

    void readCommand() {
        std::string command;
        if (!std::getline(std::cin, command)) command = "end";
        if (command == "hold" || command == "rest") m_soak.mayDie = false;
        if (command == "rest") m_soak.mayUse = false;
        if (command == "end") return end();
        report();
    }

    void end() {
        m_isEnding = true;
        m_soak.loop->removeHandler(0);
        if (m_living.empty()) return finish();
        // Those that are in the middle of something end when it does.
        m_soak.mayUse = false;
        m_soak.loop->runEvery(std::chrono::milliseconds(100), [this] {
            for (Life* const life : m_living) life->leaveIfQuiet();
        });
    }

    void finish() {
        report();
        m_soak.loop->stop();
    }

    void report() const {
        const Tally& tally = m_soak.tally;
        nlohmann::json ends = nlohmann::json::object();
        for (const auto& [name, end] : tally.ends)
            ends[name] = {{"count", end.count}, {"latestMs", end.latest.count()}};
        const nlohmann::json line = {{"connects", tally.connects}, {"uses", tally.uses},
                                     {"ticks", tally.ticks},       {"living", tally.living},
                                     {"ready", tally.ready},       {"mistakes", tally.mistakes},
                                     {"examples", tally.examples}, {"ends", ends}};
        std::printf("%s\n", line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace).c_str());
        std::fflush(stdout);
    }

    const std::string m_kind;
    const Address m_server;
    Soak m_soak;
    const uint64_t m_rate;
    const uint64_t m_sources;
    std::unordered_set<Life*> m_living;
    uint64_t m_opened = 0;
    double m_allowance = 0;
    bool m_isEnding = false;
};

}  // namespace

int main(int argc, char** argv) {
    LoadFlags flags("soak_load", kUsage, argc, argv);
    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();
    if (!loop) return 1;
    const auto load = std::make_unique<Load>(flags, loop->get());
    (*loop)->start();
    return load->wasRight() ? 0 : 1;
}
