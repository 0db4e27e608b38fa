#include "tnet/ssl/ssl_session_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

namespace tnet {
namespace {

SslSessionPtr_t makeSession(int version, unsigned char id) {
    SslSessionPtr_t session(SSL_SESSION_new());
    SSL_SESSION_set_protocol_version(session.get(), version);
    SSL_SESSION_set1_id(session.get(), &id, 1);  // without one nothing can be resumed
    SSL_SESSION_set_time(session.get(), std::time(nullptr));
    SSL_SESSION_set_timeout(session.get(), 100);
    return session;
}

unsigned int idOf(const SslSessionPtr_t& session) {
    unsigned int size = 0;
    return session ? *SSL_SESSION_get_id(session.get(), &size) : 0;
}

void put(SslSessionCache& cache, const std::string& host, unsigned char id, int version = TLS1_3_VERSION) {
    cache.put(host, makeSession(version, id).get());
}

TEST(SslSessionCacheTest, GivesTheNewestOfAHost) {
    SslSessionCache cache(10);
    put(cache, "a", 1);
    put(cache, "b", 2);
    put(cache, "a", 3);
    EXPECT_EQ(cache.size(), 2U);
    EXPECT_EQ(idOf(cache.take("a")), 3U);
    EXPECT_EQ(idOf(cache.take("b")), 2U);
    EXPECT_EQ(cache.take("c"), nullptr);
}

// RFC 8446 §C.4; before TLS 1.3 a session shows itself in the clear anyway.
TEST(SslSessionCacheTest, GivesATicketOfTls13JustOnce) {
    SslSessionCache cache(10);
    put(cache, "new", 1, TLS1_3_VERSION);
    put(cache, "old", 2, TLS1_2_VERSION);
    EXPECT_EQ(idOf(cache.take("new")), 1U);
    EXPECT_EQ(cache.take("new"), nullptr);
    EXPECT_EQ(idOf(cache.take("old")), 2U);
    EXPECT_EQ(idOf(cache.take("old")), 2U);
    EXPECT_EQ(cache.size(), 1U);
}

TEST(SslSessionCacheTest, ForgetsTheOldestBeyondItsSize) {
    SslSessionCache cache(2);
    put(cache, "a", 1);
    put(cache, "b", 2);
    put(cache, "a", 3);
    put(cache, "c", 4);
    EXPECT_EQ(cache.size(), 2U);
    EXPECT_EQ(cache.take("b"), nullptr);
    EXPECT_EQ(idOf(cache.take("a")), 3U);
    EXPECT_EQ(idOf(cache.take("c")), 4U);
}

TEST(SslSessionCacheTest, ForgetsWhatIsOver) {
    SslSessionCache cache(10);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const SslSessionPtr_t session = makeSession(version, 1);
        SSL_SESSION_set_time(session.get(), std::time(nullptr) - 100);
        cache.put("a", session.get());
        EXPECT_EQ(cache.take("a"), nullptr);
        EXPECT_EQ(cache.size(), 0U);
    }
}

TEST(SslSessionCacheTest, ThreadsShareIt) {
    SslSessionCache cache(3);
    std::vector<std::thread> threads;
    for (unsigned char i = 1; i <= 4; ++i) {
        threads.emplace_back([&cache, i] {
            const std::array<std::string, 4> hosts{"a", "b", "c", "d"};
            for (size_t round = 0; round < 200; ++round) {
                put(cache, hosts[(round + i) % hosts.size()], i,
                    i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
                cache.take(hosts[round % hosts.size()]);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(cache.size(), 3U);
}

}  // namespace
}  // namespace tnet
