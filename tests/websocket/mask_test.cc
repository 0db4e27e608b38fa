#include "websocket/mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/hex.h"

namespace tnet {
namespace {

constexpr size_t kWhole = SIZE_MAX;
constexpr size_t kFragments[] = {kWhole, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31};
constexpr std::array<uint8_t, 4> kKey = {0x37, 0xFA, 0x21, 0x3D};
constexpr size_t kSizes[] = {200, 255, 256, 257, 1000, 1023, 4096, 5001};
constexpr size_t kEverySizeUpTo = 140;

std::vector<size_t> sizes() {
    std::vector<size_t> all(std::begin(kSizes), std::end(kSizes));
    for (size_t size = 0; size <= kEverySizeUpTo; ++size) all.push_back(size);
    return all;
}

// As RFC 6455 §5.3 writes it down.
std::string masked(std::string_view bytes, std::array<uint8_t, 4> key, uint64_t offset) {
    std::string result(bytes);
    for (size_t i = 0; i < result.size(); ++i) {
        result[i] = static_cast<char>(result[i] ^ key[(i + offset) % 4]);
    }
    return result;
}

std::string someBytes(size_t size) {
    std::minstd_rand random(static_cast<unsigned>(size + 1));
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random() >> 8);
    return bytes;
}

std::string someAscii(size_t size) {
    std::string bytes = someBytes(size);
    for (char& c : bytes) c = static_cast<char>(c & 0x7F);
    return bytes;
}

// Bytes on the heap that end where the allocation does and begin `misaligned` behind an aligned address; what
// lies before them must not change, and a sanitizer looks after what lies behind.
class Piece {
public:
    Piece(std::string_view bytes, size_t misaligned)
        : m_all(new char[misaligned + bytes.size()]), m_misaligned(misaligned), m_size(bytes.size()) {
        std::fill_n(m_all.get(), misaligned, '#');
        std::copy(bytes.begin(), bytes.end(), data());
    }

    char* data() { return m_all.get() + m_misaligned; }
    size_t size() const { return m_size; }
    std::string bytes() const { return {m_all.get() + m_misaligned, m_size}; }
    bool isIntact() const {
        return std::count(m_all.get(), m_all.get() + m_misaligned, '#') == static_cast<long>(m_misaligned);
    }

private:
    std::unique_ptr<char[]> m_all;
    size_t m_misaligned;
    size_t m_size;
};

// RFC 6455 §5.7.
TEST(MaskTest, TheExampleOfTheRfc) {
    for (const size_t fragment : kFragments) {
        std::string bytes = fromHex("7f9f4d5158");
        for (size_t at = 0; at < bytes.size(); at += std::min(fragment, bytes.size() - at)) {
            applyMask(bytes.data() + at, std::min(fragment, bytes.size() - at), kKey, at);
        }
        EXPECT_EQ(bytes, "Hello") << fragment;
    }
}

TEST(MaskTest, EverySizeAtEveryOffsetAndAlignment) {
    for (const size_t size : sizes()) {
        const std::string plain = someBytes(size);
        const bool isAscii = std::none_of(plain.begin(), plain.end(), [](char c) { return (c & 0x80) != 0; });
        for (uint64_t offset = 0; offset < 5; ++offset) {
            const std::string wire = masked(plain, kKey, offset);
            for (size_t misaligned = 0; misaligned < 9; ++misaligned) {
                SCOPED_TRACE(::testing::Message() << size << " bytes at " << offset << ", " << misaligned
                                                  << " behind an aligned address");
                Piece one(plain, misaligned);
                applyMask(one.data(), one.size(), kKey, offset);
                ASSERT_EQ(toHex(one.bytes()), toHex(wire));
                ASSERT_TRUE(one.isIntact());
                Piece other(wire, misaligned);
                ASSERT_EQ(unmaskAndCheckAscii(other.data(), other.size(), kKey, offset), isAscii);
                ASSERT_EQ(toHex(other.bytes()), toHex(plain));
                ASSERT_TRUE(other.isIntact());
            }
        }
    }
}

// A frame of more than 4 GiB, nearly at its end.
TEST(MaskTest, OffsetsBeyond32Bits) {
    const std::string plain = someBytes(50);
    for (uint64_t offset = (uint64_t{1} << 32) - 3; offset < (uint64_t{1} << 32) + 4; ++offset) {
        std::string bytes = plain;
        applyMask(bytes.data(), bytes.size(), kKey, offset);
        EXPECT_EQ(toHex(bytes), toHex(masked(plain, kKey, offset))) << offset;
    }
}

TEST(MaskTest, PiecesOfAnySizeAreTheWhole) {
    const std::string plain = someBytes(300);
    const std::string wire = masked(plain, kKey, 0);
    for (const size_t fragment : kFragments) {
        std::string unmasked;
        for (size_t at = 0; at < wire.size(); at += std::min(fragment, wire.size() - at)) {
            std::string piece = wire.substr(at, fragment);
            unmaskAndCheckAscii(piece.data(), piece.size(), kKey, at);
            unmasked += piece;
        }
        EXPECT_EQ(toHex(unmasked), toHex(plain)) << fragment;
    }
}

TEST(MaskTest, AsciiIsSeenBehindEveryKey) {
    constexpr std::array<uint8_t, 4> kKeys[] = {
        {0, 0, 0, 0}, {0xFF, 0xFF, 0xFF, 0xFF}, {0x80, 0, 0x80, 0}, {1, 0x80, 0x7F, 0xFE}};
    for (const size_t size : sizes()) {
        const std::string plain = someAscii(size);
        for (const auto& key : kKeys) {
            std::string wire = masked(plain, key, 0);
            ASSERT_TRUE(unmaskAndCheckAscii(wire.data(), wire.size(), key, 0)) << size;
            ASSERT_EQ(toHex(wire), toHex(plain)) << size;
        }
    }
}

TEST(MaskTest, OneByteBeyondAsciiIsFoundWhereverItIs) {
    for (const size_t size : sizes()) {
        const std::string plain = someAscii(size);
        for (size_t at = 0; at < size; at += 1 + size / 250) {  // of the long ones, not every byte
            for (const char beyond : {'\x80', '\xC3', '\xFF'}) {
                std::string bytes = plain;
                bytes[at] = beyond;
                bytes = masked(bytes, kKey, 0);
                ASSERT_FALSE(unmaskAndCheckAscii(bytes.data(), bytes.size(), kKey, 0))
                    << size << " bytes, at " << at;
            }
        }
    }
}

}  // namespace
}  // namespace tnet
