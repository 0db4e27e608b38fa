// Turn: how much one connection, stream, file, inbox or list of timers may do before the others have their turn.
//
//     Turn turn(kReadTurn);
//     while (!turn.isOver() && somethingIsLeft()) turn.spend(bytesOf(doOne()));
//     if (somethingIsLeft()) goOnInTheNextRound();
//
// A peer that reads fast pushes back on nobody, so back-pressure does not bound work; this does. Every loop over
// something that a peer, a handler or another thread can make long has a budget, in steps and in bytes; whatever is
// left when it is spent waits for the next round of the IOLoop. docs/operations.md lists all budgets.
//
// Pure. Threads: one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tnet/cpp20.h"

namespace tnet {

struct TurnBudget {
    uint32_t steps;
    size_t bytes;
};

class Turn {
public:
    explicit constexpr Turn(TurnBudget budget)
        : m_steps(budget.steps), m_bytes(static_cast<int64_t>(std::min<size_t>(budget.bytes, INT64_MAX))) {}

    // Pays for what was done. The last step may cost more than is left.
    constexpr void spend(size_t bytes, uint32_t steps = 1) {
        m_steps -= steps;
        m_bytes -= static_cast<int64_t>(bytes);
    }

    // Nothing more may be done: go on in the next round.
    constexpr bool isOver() const { return m_steps <= 0 || m_bytes <= 0; }

    // What may still be done; for calls that take a maximum.
    constexpr size_t bytesLeft() const { return m_bytes > 0 ? static_cast<size_t>(m_bytes) : 0; }
    constexpr uint32_t stepsLeft() const { return m_steps > 0 ? static_cast<uint32_t>(m_steps) : 0; }

private:
    int64_t m_steps;  // } left; signed, so that paying is a subtraction
    int64_t m_bytes;  // } and nothing else: this is in the hottest paths
};

}  // namespace tnet
