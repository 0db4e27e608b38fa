// strike: what the interposed calls of the injector ask.
//
// Allocates nothing. Threads: any.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "tests/faults/injector.h"

namespace tnet {

// True: this call is to suffer.
bool strikes(Fault fault);

void countWait();

// 0 to `most`, by chance.
size_t chosen(size_t most);

// Sets errno to one of them, or to the plan's; -1.
int failWith(std::initializer_list<int> errors);

}  // namespace tnet
