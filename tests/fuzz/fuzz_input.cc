#include "tests/fuzz/fuzz_input.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace tnet {
namespace {

class AbortOnFailure final : public ::testing::EmptyTestEventListener {
    void OnTestPartResult(const ::testing::TestPartResult& result) override {
        if (result.failed()) std::abort();
    }
};

bool abortOnFailure() {
    // Behind googletest's own, which prints the failure.
    ::testing::UnitTest::GetInstance()->listeners().Append(new AbortOnFailure);
    return true;
}

std::string_view take(std::string_view& from, std::string_view end) {
    const size_t at = std::min(from.find(end), from.size());
    const std::string_view taken = from.substr(0, at);
    from.remove_prefix(std::min(at + end.size(), from.size()));
    return taken;
}

}  // namespace

FuzzInput::FuzzInput(const uint8_t* data, size_t size) : m_rest(reinterpret_cast<const char*>(data), size) {
    static const bool once = abortOnFailure();
    static_cast<void>(once);
}

uint8_t FuzzInput::byte() {
    if (m_rest.empty()) return 0;
    const auto first = static_cast<uint8_t>(m_rest.front());
    m_rest.remove_prefix(1);
    return first;
}

std::string_view FuzzInput::line() { return take(m_rest, "\n"); }

std::string_view FuzzInput::command() { return take(m_rest, kMark); }

std::vector<std::string_view> cut(std::string_view bytes, std::string_view sizes) {
    std::vector<std::string_view> pieces;
    for (size_t i = 0; !bytes.empty(); ++i) {
        const auto size = sizes.empty() ? uint8_t{0} : static_cast<uint8_t>(sizes[i % sizes.size()]);
        pieces.push_back(bytes.substr(0, size == 0 ? bytes.size() : size));
        bytes.remove_prefix(pieces.back().size());
    }
    return pieces;
}

}  // namespace tnet
