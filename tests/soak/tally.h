// Tally: what became of the lives of a load.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tnet {

struct Tally {
    struct Ends {
        uint64_t count = 0;
        std::chrono::milliseconds latest{0};  // behind the moment at which the server was to end it, at most
    };

    uint64_t connects = 0;  // that succeeded
    uint64_t uses = 0;      // that were answered
    uint64_t ticks = 0;     // publications that came
    uint64_t living = 0;    // begun and not over
    uint64_t ready = 0;     // of these, connected and used at least once
    uint64_t mistakes = 0;
    std::vector<std::string> examples{};  // of mistakes, the first few
    std::map<std::string, Ends, std::less<>> ends{};

    void addMistake(std::string what) {
        constexpr size_t kExamples = 10;
        ++mistakes;
        if (examples.size() < kExamples) examples.push_back(std::move(what));
    }

    void addEnd(std::string_view death, std::chrono::milliseconds late) {
        Ends& end = ends.try_emplace(std::string(death)).first->second;
        ++end.count;
        end.latest = std::max(end.latest, late);
    }
};

}  // namespace tnet
