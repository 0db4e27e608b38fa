// out_of_memory: the end of the process where memory has run out and nothing else is left to do.
//
// Memory that runs out while one connection is accepted or served costs that connection (docs/lifetimes.md). In a
// few places there is no connection to charge, and going on would lose an event: the loop's own lists.
//
// Threads: any.
#pragma once

#include "tnet/cpp20.h"

namespace tnet {

// Says on stderr what could not grow, without allocating, and aborts.
[[noreturn]] void endOutOfMemory(const char* what) noexcept;

// values.push_back(value), where failing is no option; `what` names the list.
template <class Vector, class Value>
void pushBackOrEnd(Vector& values, Value&& value, const char* what) noexcept {
    try {
        values.push_back(static_cast<Value&&>(value));
    } catch (...) {
        endOutOfMemory(what);
    }
}

}  // namespace tnet
