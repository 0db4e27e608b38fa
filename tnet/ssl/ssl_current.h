// SslCurrent: the state that new connections are made of, which a reload exchanges while other threads use it.
//
// Internal to //tnet/ssl. Threads: any. Lifetime: whoever got a state keeps it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "tnet/result.h"

namespace tnet {

template <class State>
class SslCurrent {
public:
    using StatePtr_t = std::shared_ptr<const State>;

    explicit SslCurrent(StatePtr_t state) : m_state(std::move(state)) {}

    StatePtr_t get() const {
        const std::lock_guard lock(m_mutex);
        return m_state;
    }

    // `load` returns a Result<StatePtr_t>. If that is an error, everything stays as it is.
    template <class Load>
    Status reload(Load load) {
        // The reload that begins first ends first: no older files replace newer ones.
        const std::lock_guard reloading(m_reloading);
        Result<StatePtr_t> state = load();
        if (!state) return state.error();
        const std::lock_guard lock(m_mutex);
        m_state.swap(*state);
        return Done{};
    }

private:
    std::mutex m_reloading;
    mutable std::mutex m_mutex;
    StatePtr_t m_state;  // guarded by m_mutex
};

}  // namespace tnet
