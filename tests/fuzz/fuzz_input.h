// FuzzInput: takes a fuzzer's bytes apart. Seeds are to be written by hand, so it favours what can be read:
//
//     "\x03a\nGET / HTTP/1.1\r\n..."       cuts, a line with one byte per fragment size; then the text
//     "fGET /\xFE\xFEt\x10\xFE\xFEe"       commands, each a letter and its argument, between marks
//
// The first FuzzInput of a process makes googletest's failures abort it, so that targets can say what has to
// hold with EXPECT_*, and use the fixtures of other tests.
//
// Threads: one. Lifetime: views into the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tnet {

class FuzzInput {
public:
    static constexpr std::string_view kMark = "\xFE\xFE";

    FuzzInput(const uint8_t* data, size_t size);

    bool empty() const { return m_rest.empty(); }
    uint8_t byte();              // 0 if there is none
    std::string_view line();     // up to LF or the end
    std::string_view command();  // up to kMark or the end
    std::string_view rest() const { return m_rest; }

private:
    std::string_view m_rest;
};

// Cuts `bytes`: fragment i has sizes[i % sizes.size()] bytes; 0, and no sizes at all, is all that is left.
std::vector<std::string_view> cut(std::string_view bytes, std::string_view sizes);

}  // namespace tnet
