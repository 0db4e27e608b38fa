// releaseMemory: empties a string and gives its memory back. Assigning an empty one does not: a string keeps its buffer
// when it takes over one that needs none.
#pragma once

#include <string>

#include "tnet/cpp20.h"

namespace tnet {

inline void releaseMemory(std::string& text) { std::string().swap(text); }

}  // namespace tnet
