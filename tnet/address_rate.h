// AddressRate: a token bucket for each client address, shared by all loops without a lock.
//
// A bucket is one number: the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
// Taking a token moves it on by one interval; a token is there while it lies no more than a burst ahead. A bucket that
// is full says nothing, so forgetting it loses nothing: the table has a fixed size, and a new address takes the place
// of a full bucket, or, if there is none among the few places where it may lie, of the one that is full soonest.
// Too many busy addresses make it lenient, never unjust.
//
// Threads: any. Two that take a place at the same moment may spend a token of each other's bucket, or none.
// Lifetime: its server's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tnet/address_key.h"
#include "tnet/clock.h"

namespace tnet {

class AddressRate {
public:
    // perSecond: tokens that come; at least 1. burst: how many a full bucket holds; at least 1. slots: addresses that
    // are remembered, 16 bytes each; rounded up to a power of two.
    AddressRate(size_t perSecond, size_t burst, size_t slots = 65536);

    // Takes a token of addressKey `key`. Zero: it was there. Otherwise nothing is taken, and the result is how long it
    // takes until there is one. Key 0 always has one.
    Duration take(uint64_t key, TimePoint now);

private:
    static constexpr size_t kWays = 8;  // places for an address: 128 bytes

    struct Slot {
        std::atomic<uint64_t> key{0};
        std::atomic<int64_t> fullAt{0};  // nanoseconds of the clock
    };

    Slot& slotOf(uint64_t key, int64_t now);

    AddressHash m_hash;
    int64_t m_interval;  // nanoseconds per token
    int64_t m_burst;     // nanoseconds in which a bucket fills
    size_t m_sets;       // a power of two
    std::unique_ptr<Slot[]> m_slots;
};

}  // namespace tnet
