// AddressCounter: how many connections each client address has, for all loops of a server.
//
// A table of fixed size with room for as many addresses as there may be connections. It is cut into regions with a
// lock each, which is held for some instructions when a connection comes or goes.
//
// Threads: any. Lifetime: its server's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "tnet/address_key.h"

namespace tnet {

class AddressCounter {
public:
    // 32 to 64 bytes for each of `maxAddresses`. Should more come, or very many meet in one region, those for whom
    // there is no room are not counted.
    explicit AddressCounter(size_t maxAddresses);

    // One more of addressKey `key`. Returns how many there are now; of key 0, or without room, 0.
    size_t add(uint64_t key);
    void remove(uint64_t key);

    size_t count(uint64_t key) const;

private:
    static constexpr size_t kRegions = 64;

    struct Slot {
        uint64_t key = 0;  // 0: free
        uint64_t count = 0;
    };
    struct Region {
        mutable std::mutex mutex{};
        std::vector<Slot> slots{};  // with mutex
    };

    Region& regionOf(uint64_t hash) const { return m_regions[hash % kRegions]; }
    size_t homeOf(uint64_t hash) const { return hash / kRegions & m_mask; }
    size_t find(const Region& region, uint64_t key, uint64_t hash) const;
    void free(Region& region, size_t at);

    AddressHash m_hash;
    size_t m_mask;  // slots of a region, less one
    std::unique_ptr<Region[]> m_regions;
};

}  // namespace tnet
