// Whatever fails below, while HTTP and WebSocket clients of every kind talk to a server on two loops: nobody gets a
// byte that is not his, no loop spins, and when the faults are gone everybody is served again and nothing is left.
//
// A failure names its seed: TNET_FAULT_SEED=<seed> repeats it, as far as threads allow. tests/faults/run goes on
// with new seeds for as long as asked.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/faults/fault_server.h"
#include "tests/faults/injector.h"
#include "tests/faults/talk.h"
#include "tests/faults/wire.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test_pki.h"
#include "tnet/log.h"
#include "tnet/ssl/ssl_context.h"

namespace tnet {
namespace {

struct Mix {
    const char* name;
    bool mayBreak;   // some of them cost connections
    bool mayRefuse;  // or an answer
    std::initializer_list<std::pair<Fault, double>> chance;
};

const Mix kMixes[] = {
    {"ShortReads", false, false, {{Fault::ShortRead, 0.4}}},
    {"ShortWrites", false, false, {{Fault::ShortWrite, 0.4}}},
    {"EarlyWaits", false, false, {{Fault::EarlyWait, 0.4}}},
    {"LostPeers", false, false, {{Fault::LostPeer, 0.4}}},
    {"ReadFailures", true, false, {{Fault::ReadFails, 0.05}}},
    {"WriteFailures", true, false, {{Fault::WriteFails, 0.05}}},
    {"AcceptFailures", false, false, {{Fault::AcceptFails, 0.1}}},
    {"WatchFailures", true, false, {{Fault::WatchFails, 0.1}}},
    {"Memory", true, true, {{Fault::Memory, 0.002}}},
    {"AllThatIsHarmless",
     false,
     false,
     {{Fault::ShortRead, 0.2}, {Fault::ShortWrite, 0.2}, {Fault::EarlyWait, 0.1}, {Fault::LostPeer, 0.1}}},
    {"Everything",
     true,
     true,
     {{Fault::ShortRead, 0.1},
      {Fault::ShortWrite, 0.1},
      {Fault::EarlyWait, 0.05},
      {Fault::LostPeer, 0.05},
      {Fault::ReadFails, 0.002},
      {Fault::WriteFails, 0.002},
      {Fault::AcceptFails, 0.02},
      {Fault::WatchFails, 0.02},
      {Fault::ShutDownFails, 0.05},
      {Fault::OpenFails, 0.05},
      {Fault::Memory, 0.0005}}},
};

uint64_t firstSeed() {
    const char* const text = std::getenv("TNET_FAULT_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

// A client's context that verifies nobody.
SSL_CTX* clientContext() {
    static const SslCtxPtr_t context(SSL_CTX_new(TLS_client_method()));
    return context.get();
}

TransportFactory_t serverTransport(bool tls) {
    if (!tls) return plainTransport;
    SslServerSettings settings;
    settings.certificates = {TestPki::shared().files("localhost")};
    static const auto context = SslContext::createServer(settings);
    EXPECT_TRUE(context.ok());
    return (*context)->accepting();
}

class Traffic {
public:
    Traffic(FaultServer& server, const TalkRules& rules, uint64_t seed) : m_server(server) {
        for (unsigned i = 0; i < 4; ++i)
            m_threads.emplace_back([this, rules, seed, i] { talk(rules, seed, i); });
    }

    // Publishes until all have talked.
    void finish() {
        const std::string rest = " " + std::string(300, 'n');
        const auto haveAllTalked = [this] { return m_done.load() == m_threads.size(); };
        for (uint64_t i = 0; !waitUntil(haveAllTalked, std::chrono::milliseconds(2)); ++i) {
            m_server.topics().publish("news", "news " + std::to_string(i) + rest, WsOpcode::Text);
        }
        for (std::thread& thread : m_threads) thread.join();
    }

    uint64_t units() const { return m_units.load(); }
    uint64_t broken() const { return m_broken.load(); }
    const std::string& problem() const { return m_problem; }

private:
    static constexpr uint32_t kConnections = 12;  // of each thread

    void talk(const TalkRules& rules, uint64_t seed, unsigned index) {
        std::minstd_rand random(static_cast<unsigned>(seed * 97 + index + 1));
        for (uint32_t i = 0; i < kConnections; ++i) {
            const uint32_t connection = index * 1000 + i;
            const char* const kRoutes[] = {"/ws", "/ws/shared", "/ws/dedicated"};
            const TalkResult result = index % 2 == 0
                                          ? talkHttp(rules, connection, random, 8)
                                          : talkWs(rules, kRoutes[random() % 3], connection, random, 8);
            m_units += result.units;
            m_broken += result.broken;
            if (result.problem.empty()) continue;
            const std::lock_guard lock(m_mutex);
            if (m_problem.empty()) m_problem = result.problem;
        }
        ++m_done;
    }

    FaultServer& m_server;
    std::atomic<uint64_t> m_units{0};
    std::atomic<uint64_t> m_broken{0};
    std::atomic<size_t> m_done{0};
    std::mutex m_mutex;
    std::string m_problem{};  // with m_mutex
    std::vector<std::thread> m_threads;
};

// Which loop answers a fresh client; empty: none does.
std::string askForLoop(const TalkRules& rules) {
    Wire wire(rules.address, rules.tls);
    if (!wire.valid() || !wire.send("GET /loop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) return {};
    std::string answer;
    while (wire.receiveSome(answer)) {
    }
    const size_t end = answer.find("\r\n\r\n");
    return answer.rfind("HTTP/1.1 200 ", 0) == 0 && end != std::string::npos ? answer.substr(end + 4) : "";
}

void expectAllLoopsServe(const TalkRules& rules) {
    std::set<std::string> loops;
    const bool all = waitUntil([&] {
        loops.insert(askForLoop(rules));
        return loops.size() == FaultServer::kLoops || loops.count("") > 0;
    });
    EXPECT_TRUE(all);
    EXPECT_EQ(loops.count(""), 0U) << "a fresh client is not served once the faults are gone";
}

uint64_t struck() {
    uint64_t sum = 0;
    for (size_t i = 0; i < kFaultCount; ++i) sum += FaultInjection::count(static_cast<Fault>(i));
    return sum;
}

void sufferTraffic(const Mix& mix, bool tls, uint64_t seed) {
    SCOPED_TRACE("TNET_FAULT_SEED=" + std::to_string(seed));
    const size_t before = openDescriptors();
    {
        FaultServer server(serverTransport(tls));
        server.start();
        // OpenSSL sets up parts of itself in a process's first handshake, and never again if memory runs out then.
        EXPECT_TRUE(Wire(server.address(), tls ? clientContext() : nullptr).valid());
        const TalkRules rules{server.address(), tls ? clientContext() : nullptr, mix.mayBreak, mix.mayRefuse,
                              mix.mayRefuse};
        const uint64_t waitsBefore = waitsOfSufferingThreads();
        {
            const FaultInjection faults({seed, mix.chance});
            Traffic traffic(server, rules, seed);
            traffic.finish();
            EXPECT_EQ(traffic.problem(), "") << FaultInjection::counts();
            EXPECT_GT(struck(), 0U) << "no fault struck: nothing was tested";
            const uint64_t waits = waitsOfSufferingThreads() - waitsBefore;
            // Every fault may cost a round or two, and a message some.
            const uint64_t most = 2000 + 4 * struck() + 40 * traffic.units();
            EXPECT_LT(waits, most) << "a loop spins: " << traffic.units() << " answers,"
                                   << FaultInjection::counts();
            if (std::getenv("TNET_FAULT_VERBOSE") != nullptr) {
                std::printf("seed %llu: %llu answers, %llu broken, %llu waits;%s\n",
                            static_cast<unsigned long long>(seed),
                            static_cast<unsigned long long>(traffic.units()),
                            static_cast<unsigned long long>(traffic.broken()),
                            static_cast<unsigned long long>(waits), FaultInjection::counts().c_str());
            }
        }
        expectAllLoopsServe(rules);
        EXPECT_TRUE(waitUntil([&] { return server.server().connections() == 0; }))
            << server.server().connections() << " connections are left";
        EXPECT_EQ(server.topics().connections(), 0U);
    }
    EXPECT_EQ(openDescriptors(), before) << "descriptors are lost";
}

class FaultTrafficTest : public ::testing::TestWithParam<std::tuple<Mix, bool>> {
protected:
    FaultTrafficTest() {
        const bool isVerbose = std::getenv("TNET_FAULT_VERBOSE") != nullptr;
        logger().set_level(isVerbose ? spdlog::level::debug : spdlog::level::off);
    }
    ~FaultTrafficTest() override { logger().set_level(spdlog::level::info); }
};

TEST_P(FaultTrafficTest, NobodyGetsBytesOfOthersAndAllIsWellAfterwards) {
    const auto& [mix, tls] = GetParam();
    sufferTraffic(mix, tls, firstSeed());
}

INSTANTIATE_TEST_SUITE_P(Of, FaultTrafficTest,
                         ::testing::Combine(::testing::ValuesIn(kMixes), ::testing::Bool()),
                         [](const auto& param) {
                             return std::string(std::get<0>(param.param).name) +
                                    (std::get<1>(param.param) ? "OverTls" : "");
                         });

}  // namespace
}  // namespace tnet
