// LargestAllocation: how many bytes the largest operator new asked for, in the whole process, since it was
// made. What grows without bound asks for more and more at once.
//
// Threads: sees those of all. A program that links it has its operator new and delete replaced.
#pragma once

#include <cstddef>

namespace tnet {

class LargestAllocation {
public:
    LargestAllocation();

    size_t size() const;
};

}  // namespace tnet
