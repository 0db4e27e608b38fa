#include "tests/faults/injector.h"

#include <atomic>
#include <cerrno>
#include <random>

#include "tests/faults/strike.h"

namespace tnet {
namespace {

constexpr double kScale = 4294967296.0;

struct State {
    std::array<std::atomic<uint64_t>, kFaultCount> threshold{};  // of 2^32
    std::array<std::atomic<uint64_t>, kFaultCount> counts{};
    std::atomic<uint64_t> seed{0};
    std::atomic<uint64_t> generation{0};
    std::atomic<int> error{0};
    std::atomic<uint64_t> memoryAt{0};
    std::atomic<uint64_t> allocations{0};
    std::atomic<uint64_t> waits{0};
};

State g_state;

struct Thread {
    bool suffers = false;
    uint64_t index = 0;
    uint64_t generation = 0;
    uint64_t random = 0;
};

thread_local Thread t_thread;

// SplitMix64 (public domain algorithm): allocates nothing and has no state beyond a word.
uint64_t nextRandom(uint64_t& state) {
    uint64_t z = (state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
}

uint64_t threadRandom() {
    Thread& thread = t_thread;
    const uint64_t generation = g_state.generation.load(std::memory_order_relaxed);
    if (thread.generation != generation) {
        thread.generation = generation;
        thread.random = g_state.seed.load(std::memory_order_relaxed) * 0x2545f4914f6cdd1dU + thread.index;
    }
    return nextRandom(thread.random);
}

}  // namespace

const char* faultName(Fault fault) {
    constexpr std::array kNames{"ShortRead",    "ShortWrite", "EarlyWait",     "LostPeer",
                                "ReadFails",    "WriteFails", "AcceptFails",   "WatchFails",
                                "ConnectFails", "OpenFails",  "ShutDownFails", "Memory"};
    return kNames[static_cast<size_t>(fault)];
}

FaultInjection::FaultInjection(const Plan& plan) {
    for (auto& count : g_state.counts) count.store(0);
    g_state.seed.store(plan.seed);
    g_state.error.store(plan.error);
    g_state.allocations.store(0);
    g_state.memoryAt.store(plan.memoryAt);
    g_state.generation.fetch_add(1);
    for (const auto& [fault, chance] : plan.chance)
        g_state.threshold[static_cast<size_t>(fault)].store(static_cast<uint64_t>(chance * kScale));
}

FaultInjection::~FaultInjection() {
    for (auto& threshold : g_state.threshold) threshold.store(0);
    g_state.memoryAt.store(0);
}

uint64_t FaultInjection::allocations() { return g_state.allocations.load(); }

uint64_t FaultInjection::count(Fault fault) { return g_state.counts[static_cast<size_t>(fault)].load(); }

std::string FaultInjection::counts() {
    std::string text;
    for (size_t i = 0; i < kFaultCount; ++i) {
        const auto fault = static_cast<Fault>(i);
        if (count(fault) > 0)
            text += std::string(" ") + faultName(fault) + " " + std::to_string(count(fault));
    }
    return text;
}

void sufferFaults(uint64_t index) {
    t_thread.index = index;
    t_thread.generation = 0;
    t_thread.suffers = true;
}

void sufferNoFaults() { t_thread.suffers = false; }

FaultPause::FaultPause() : m_before(t_thread.suffers) { t_thread.suffers = false; }

FaultPause::~FaultPause() { t_thread.suffers = m_before; }

uint64_t waitsOfSufferingThreads() { return g_state.waits.load(std::memory_order_relaxed); }

// --- For the interposed calls ---

bool strikes(Fault fault) {
    if (!t_thread.suffers) return false;
    const auto index = static_cast<size_t>(fault);
    if (fault == Fault::Memory) {
        const uint64_t number = g_state.allocations.fetch_add(1, std::memory_order_relaxed) + 1;
        if (number == g_state.memoryAt.load(std::memory_order_relaxed)) {
            g_state.counts[index].fetch_add(1, std::memory_order_relaxed);
            return true;
        }
    }
    const uint64_t threshold = g_state.threshold[index].load(std::memory_order_relaxed);
    if (threshold == 0 || (threadRandom() & 0xffffffffU) >= threshold) return false;
    g_state.counts[index].fetch_add(1, std::memory_order_relaxed);
    return true;
}

void countWait() {
    if (t_thread.suffers) g_state.waits.fetch_add(1, std::memory_order_relaxed);
}

size_t chosen(size_t most) { return static_cast<size_t>(threadRandom() >> 32U) % (most + 1); }

int failWith(std::initializer_list<int> errors) {
    const int given = g_state.error.load(std::memory_order_relaxed);
    errno = given != 0 ? given : *(errors.begin() + chosen(errors.size() - 1));
    return -1;
}

}  // namespace tnet
