#include "websocket/mask.h"

#include <bit>
#include <cstring>

namespace tnet {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080;
constexpr size_t kWordBytes = sizeof(uint64_t);

template <class Word>
Word load(const char* from) {
    Word word;
    std::memcpy(&word, from, sizeof(word));
    return word;
}

template <class Word>
void store(char* to, Word word) {
    std::memcpy(to, &word, sizeof(word));
}

// The key as it lies over eight bytes of which the first is number `offset` of the payload. The halves are
// equal, so the lower one is the key over four bytes, whatever the byte order.
uint64_t keyAt(std::array<uint8_t, 4> key, uint64_t offset) {
    const auto word = std::bit_cast<uint32_t>(key);
    const int bits = static_cast<int>(offset % 4) * 8;
    const uint32_t turned =
        std::endian::native == std::endian::little ? std::rotr(word, bits) : std::rotl(word, bits);
    return uint64_t{turned} << 32 | turned;
}

// The following mask, and return all bytes that came out, or-ed together. A size that is no multiple of the
// word is covered by words that overlap: all of them are loaded before the first is stored.

uint64_t maskUpTo3(char* bytes, size_t size, uint64_t key) {
    std::array<char, 4> four{};
    const auto mask = std::bit_cast<std::array<char, 8>>(key);
    uint8_t gathered = 0;
    for (size_t i = 0; i < size; ++i) {
        four[i] = static_cast<char>(bytes[i] ^ mask[i]);
        bytes[i] = four[i];
        gathered = static_cast<uint8_t>(gathered | static_cast<uint8_t>(four[i]));
    }
    return gathered;
}

template <class Word>
uint64_t maskTwoWords(char* bytes, size_t size, uint64_t key, uint64_t lastKey) {
    char* const last = bytes + size - sizeof(Word);
    const auto first = static_cast<Word>(load<Word>(bytes) ^ static_cast<Word>(key));
    const auto second = static_cast<Word>(load<Word>(last) ^ static_cast<Word>(lastKey));
    store(bytes, first);
    store(last, second);
    return first | second;
}

uint64_t maskFourWords(char* bytes, size_t size, uint64_t key, uint64_t lastKey) {
    char* const last = bytes + size - 2 * kWordBytes;
    const uint64_t words[] = {load<uint64_t>(bytes) ^ key, load<uint64_t>(bytes + kWordBytes) ^ key,
                              load<uint64_t>(last) ^ lastKey, load<uint64_t>(last + kWordBytes) ^ lastKey};
    store(bytes, words[0]);
    store(bytes + kWordBytes, words[1]);
    store(last, words[2]);
    store(last + kWordBytes, words[3]);
    return words[0] | words[1] | words[2] | words[3];
}

uint64_t maskMany(char* bytes, size_t size, uint64_t key, uint64_t lastKey) {
    char* const last = bytes + size - kWordBytes;
    const uint64_t lastWord = load<uint64_t>(last) ^ lastKey;
    const size_t words = size / kWordBytes;
    uint64_t gathered = lastWord;
    for (size_t i = 0; i < words; ++i) {
        const uint64_t word = load<uint64_t>(bytes + i * kWordBytes) ^ key;
        store(bytes + i * kWordBytes, word);
        gathered |= word;
    }
    store(last, lastWord);
    return gathered;
}

uint64_t mask(char* bytes, size_t size, std::array<uint8_t, 4> maskKey, uint64_t offset) {
    const uint64_t key = keyAt(maskKey, offset);
    const uint64_t lastKey = keyAt(maskKey, offset + size);  // words end with the payload, and are whole keys
    if (size > 4 * kWordBytes) return maskMany(bytes, size, key, lastKey);
    if (size >= 2 * kWordBytes) return maskFourWords(bytes, size, key, lastKey);
    if (size >= kWordBytes) return maskTwoWords<uint64_t>(bytes, size, key, lastKey);
    if (size >= 4) return maskTwoWords<uint32_t>(bytes, size, key, lastKey);
    return maskUpTo3(bytes, size, key);
}

}  // namespace

void applyMask(char* bytes, size_t size, std::array<uint8_t, 4> key, uint64_t offset) {
    mask(bytes, size, key, offset);
}

bool unmaskAndCheckAscii(char* bytes, size_t size, std::array<uint8_t, 4> key, uint64_t offset) {
    return (mask(bytes, size, key, offset) & kHighBits) == 0;
}

}  // namespace tnet
