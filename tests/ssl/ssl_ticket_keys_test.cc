#include "tnet/ssl/ssl_ticket_keys.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/manual_clock.h"

namespace tnet {
namespace {

using std::chrono::seconds;
using MacPtr_t = std::unique_ptr<EVP_MAC, SslDelete<EVP_MAC_free>>;
using MacCtxPtr_t = std::unique_ptr<EVP_MAC_CTX, SslDelete<EVP_MAC_CTX_free>>;

// What OpenSSL does with a ticket.
struct Ticket {
    std::array<unsigned char, SslTicketKeys::kNameBytes> name{};
    std::array<unsigned char, EVP_MAX_IV_LENGTH> iv{};
    std::string sealed{};
    std::string mac{};
};

class Contexts {
public:
    EVP_CIPHER_CTX* cipher() const { return m_cipher.get(); }
    EVP_MAC_CTX* mac() const { return m_mac.get(); }

    std::string macOf(const std::string& bytes) const {
        std::array<unsigned char, 64> mac;
        size_t size = 0;
        EVP_MAC_update(m_mac.get(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
        EVP_MAC_final(m_mac.get(), mac.data(), &size, mac.size());
        return {reinterpret_cast<const char*>(mac.data()), size};
    }

    std::string run(const std::string& bytes) const {
        std::string out(bytes.size() + EVP_MAX_BLOCK_LENGTH, '\0');
        int size = 0;
        int tail = 0;
        auto* const into = reinterpret_cast<unsigned char*>(out.data());
        EVP_CipherUpdate(m_cipher.get(), into, &size, reinterpret_cast<const unsigned char*>(bytes.data()),
                         static_cast<int>(bytes.size()));
        EVP_CipherFinal_ex(m_cipher.get(), into + size, &tail);
        out.resize(static_cast<size_t>(size + tail));
        return out;
    }

private:
    MacPtr_t m_hmac{EVP_MAC_fetch(nullptr, "HMAC", nullptr)};
    CipherCtxPtr_t m_cipher{EVP_CIPHER_CTX_new()};
    MacCtxPtr_t m_mac{EVP_MAC_CTX_new(m_hmac.get())};
};

Ticket seal(SslTicketKeys& keys, const std::string& session) {
    const Contexts contexts;
    Ticket ticket;
    EXPECT_EQ(keys.encrypt(ticket.name.data(), ticket.iv.data(), contexts.cipher(), contexts.mac()),
              SslTicketKeys::kGood);
    ticket.sealed = contexts.run(session);
    ticket.mac = contexts.macOf(ticket.sealed);
    return ticket;
}

struct Opened {
    int outcome;
    std::string session{};
};

Opened open(SslTicketKeys& keys, const Ticket& ticket) {
    const Contexts contexts;
    Opened opened{keys.decrypt(ticket.name.data(), ticket.iv.data(), contexts.cipher(), contexts.mac())};
    if (opened.outcome <= 0) return opened;
    EXPECT_EQ(contexts.macOf(ticket.sealed), ticket.mac);
    opened.session = contexts.run(ticket.sealed);
    return opened;
}

class SslTicketKeysTest : public testing::Test {
protected:
    static constexpr seconds kLifetime{100};

    std::shared_ptr<SslTicketKeys> makeKeys() const { return *SslTicketKeys::create(kLifetime, m_clock); }

    ManualClock m_clock;
    const std::shared_ptr<SslTicketKeys> m_keys = makeKeys();
};

TEST_F(SslTicketKeysTest, OpensWhatTheyHaveSealed) {
    const Ticket ticket = seal(*m_keys, "a session");
    EXPECT_EQ(ticket.sealed.find("a session"), std::string::npos);
    EXPECT_EQ(ticket.mac.size(), 32U);
    const Opened opened = open(*m_keys, ticket);
    EXPECT_EQ(opened.outcome, SslTicketKeys::kGood);
    EXPECT_EQ(opened.session, "a session");
}

TEST_F(SslTicketKeysTest, NoTwoTicketsAreTheSame) {
    const Ticket one = seal(*m_keys, "a session");
    const Ticket other = seal(*m_keys, "a session");
    EXPECT_EQ(one.name, other.name);
    EXPECT_NE(one.iv, other.iv);
    EXPECT_NE(one.sealed, other.sealed);
}

TEST_F(SslTicketKeysTest, DoNotKnowThoseOfOthers) {
    EXPECT_EQ(open(*makeKeys(), seal(*m_keys, "a session")).outcome, SslTicketKeys::kUnknown);
}

TEST_F(SslTicketKeysTest, LastForTwoLifetimes) {
    const Ticket ticket = seal(*m_keys, "a session");
    m_clock.advance(kLifetime - seconds(1));
    EXPECT_EQ(open(*m_keys, ticket).outcome, SslTicketKeys::kGood);
    m_clock.advance(seconds(1));
    EXPECT_EQ(open(*m_keys, ticket).outcome, SslTicketKeys::kRenew);
    EXPECT_EQ(open(*m_keys, ticket).session, "a session");
    EXPECT_NE(seal(*m_keys, "another").name, ticket.name);
    m_clock.advance(kLifetime - seconds(1));
    EXPECT_EQ(open(*m_keys, ticket).outcome, SslTicketKeys::kRenew);
    m_clock.advance(seconds(1));
    EXPECT_EQ(open(*m_keys, ticket).outcome, SslTicketKeys::kUnknown);
}

// Keys change when they are asked for: after a quiet time the old one must not get a lifetime more.
TEST_F(SslTicketKeysTest, AQuietTimeProlongsNothing) {
    const Ticket ticket = seal(*m_keys, "a session");
    m_clock.advance(kLifetime + seconds(50));
    EXPECT_EQ(open(*m_keys, ticket).outcome, SslTicketKeys::kRenew);
    m_clock.advance(seconds(50));
    EXPECT_EQ(open(*m_keys, ticket).outcome, SslTicketKeys::kUnknown);

    const Ticket next = seal(*m_keys, "a session");
    m_clock.advance(2 * kLifetime);
    EXPECT_EQ(open(*m_keys, next).outcome, SslTicketKeys::kUnknown);
}

class AtomicClock final : public Clock {
public:
    TimePoint now() const override { return TimePoint(Duration(m_now.load())); }
    std::chrono::system_clock::time_point wallNow() const override { return {}; }
    void advance(Duration step) { m_now += step.count(); }

private:
    std::atomic<Duration::rep> m_now{1};
};

TEST_F(SslTicketKeysTest, AreSharedByThreads) {
    AtomicClock clock;
    const auto keys = *SslTicketKeys::create(kLifetime, clock);
    std::atomic<int> lost{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < 200; ++round) {
                const Ticket ticket = seal(*keys, "a session");
                if (round % 10 == 0) clock.advance(kLifetime / 8);
                if (open(*keys, ticket).session != "a session") ++lost;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    // Some other thread's steps may have used up a ticket's time, but not often.
    EXPECT_LT(lost, 400);
}

}  // namespace
}  // namespace tnet
