// AddressKey, AddressCounter and AddressRate: what is counted for each client address.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tnet/address.h"
#include "tnet/address_counter.h"
#include "tnet/address_key.h"
#include "tnet/address_rate.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

uint64_t keyOf(const std::string& text) {
    const Address address = *Address::parse(text);
    return addressKey(PeerAddress(address.data(), address.size()));
}

TEST(AddressKeyTest, CountsIpv4WholeAndIpv6ByItsNetwork) {
    EXPECT_EQ(keyOf("192.0.2.1:1"), keyOf("192.0.2.1:2"));
    EXPECT_NE(keyOf("192.0.2.1:1"), keyOf("192.0.2.2:1"));
    EXPECT_EQ(keyOf("[2001:db8:1:2::1]:1"), keyOf("[2001:db8:1:2:ffff::9]:7"));
    EXPECT_NE(keyOf("[2001:db8:1:2::1]:1"), keyOf("[2001:db8:1:3::1]:1"));
    EXPECT_EQ(keyOf("[::ffff:192.0.2.1]:1"), keyOf("192.0.2.1:1"));
    EXPECT_NE(keyOf("[::1]:1"), 0U);
    EXPECT_EQ(addressKey(PeerAddress()), 0U);
}

// --- AddressCounter ---

TEST(AddressCounterTest, CountsUpAndDown) {
    AddressCounter counter(100);
    EXPECT_EQ(counter.add(7), 1U);
    EXPECT_EQ(counter.add(7), 2U);
    EXPECT_EQ(counter.add(8), 1U);
    counter.remove(7);
    EXPECT_EQ(counter.count(7), 1U);
    counter.remove(7);
    counter.remove(7);  // not counted: nothing happens
    EXPECT_EQ(counter.count(7), 0U);
    EXPECT_EQ(counter.count(8), 1U);
    EXPECT_EQ(counter.add(0), 0U);
}

// Removing leaves gaps, which those behind them must not be lost by.
TEST(AddressCounterTest, AgreesWithAMapOverARandomLife) {
    AddressCounter counter(3000);
    std::map<uint64_t, size_t> model;
    std::mt19937_64 random(1);
    std::vector<uint64_t> open;
    for (int i = 0; i < 200'000; ++i) {
        if (open.size() < 3000 && random() % 2 == 0) {
            const uint64_t key = 1 + random() % 4000;
            open.push_back(key);
            ASSERT_EQ(counter.add(key), ++model[key]);
        } else if (!open.empty()) {
            std::swap(open[random() % open.size()], open.back());
            --model[open.back()];
            counter.remove(open.back());
            open.pop_back();
        }
    }
    for (const auto& [key, count] : model) ASSERT_EQ(counter.count(key), count) << key;
}

TEST(AddressCounterTest, WithoutRoomItCountsNothing) {
    AddressCounter counter(1);  // 64 slots in each of 64 regions
    size_t counted = 0;
    for (uint64_t key = 1; key <= 20'000; ++key) counted += counter.add(key);
    EXPECT_EQ(counted, 64U * 64U);
    for (uint64_t key = 1; key <= 20'000; ++key) counter.remove(key);
    for (uint64_t key = 1; key <= 20'000; ++key) ASSERT_EQ(counter.count(key), 0U);
}

TEST(AddressCounterTest, ThreadsCountTogether) {
    AddressCounter counter(100);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 10'000; ++i) {
                counter.add(1 + static_cast<uint64_t>(i % 50));
                if (i % 10 != 0) counter.remove(1 + static_cast<uint64_t>(i % 50));
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    size_t sum = 0;
    for (uint64_t key = 1; key <= 50; ++key) sum += counter.count(key);
    EXPECT_EQ(sum, 4000U);
}

// --- AddressRate ---

constexpr TimePoint kBegin{std::chrono::hours(5)};

TEST(AddressRateTest, GivesABurstAndThenTheRate) {
    AddressRate rate(10, 5);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(rate.take(7, kBegin), Duration::zero()) << i;
    EXPECT_EQ(rate.take(7, kBegin), milliseconds(100));
    EXPECT_EQ(rate.take(7, kBegin + milliseconds(40)), milliseconds(60));
    EXPECT_EQ(rate.take(8, kBegin), Duration::zero()) << "another address";
    // What is refused costs nothing.
    for (int i = 0; i < 100; ++i) rate.take(7, kBegin);
    EXPECT_EQ(rate.take(7, kBegin + milliseconds(100)), Duration::zero());
    EXPECT_GT(rate.take(7, kBegin + milliseconds(100)), Duration::zero());
    // Full again, and not more than full.
    for (int i = 0; i < 5; ++i) EXPECT_EQ(rate.take(7, kBegin + seconds(100)), Duration::zero()) << i;
    EXPECT_GT(rate.take(7, kBegin + seconds(100)), Duration::zero());
}

TEST(AddressRateTest, NoAddressIsNotLimited) {
    AddressRate rate(1, 1);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(rate.take(0, kBegin), Duration::zero());
}

// A flood of addresses pushes out those that are nearly full; who has spent much stays limited.
TEST(AddressRateTest, WhoSpentMostIsRememberedLongest) {
    AddressRate rate(1, 10, 64);
    for (int i = 0; i < 10; ++i) rate.take(99'999, kBegin);
    for (uint64_t key = 1; key < 10'000; ++key)
        EXPECT_EQ(rate.take(key, kBegin), Duration::zero()) << "nobody is limited for others";
    EXPECT_GT(rate.take(99'999, kBegin), Duration::zero());
}

TEST(AddressRateTest, ThreadsShareABucketExactly) {
    AddressRate rate(1, 1000);
    std::atomic<int> taken{0};
    std::vector<std::thread> threads;
    rate.take(7, kBegin);
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 1000; ++i) taken += rate.take(7, kBegin) == Duration::zero() ? 1 : 0;
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(taken.load(), 999);
}

}  // namespace
}  // namespace tnet
