#include "websocket/sip_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace tnet {
namespace {

// Bytes 00, 01, 02, ... as in appendix A of the paper.
std::string counting(size_t size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i));
    return bytes;
}

// The vectors of the authors' reference implementation; the one of 15 bytes is also in the paper.
TEST(SipHashTest, HashesAsTheReferenceDoes) {
    constexpr SipHashKey kKey{0x0706050403020100, 0x0F0E0D0C0B0A0908};
    EXPECT_EQ(sipHash(kKey, counting(0)), 0x726FDB47DD0E0E31U);
    EXPECT_EQ(sipHash(kKey, counting(1)), 0x74F839C593DC67FDU);
    EXPECT_EQ(sipHash(kKey, counting(8)), 0x93F5F5799A932462U);
    EXPECT_EQ(sipHash(kKey, counting(15)), 0xA129CA6149BE45E5U);
}

TEST(SipHashTest, BytesAreUnsigned) {
    constexpr SipHashKey kKey{1, 2};
    EXPECT_NE(sipHash(kKey, "\xFF"), sipHash(kKey, "\xFF\xFF"));
    EXPECT_NE(sipHash(kKey, "\x80zzzzzz"), sipHash(kKey, "\x80zzzzzy"));
}

TEST(SipHashTest, RandomKeysDiffer) {
    const SipHashKey one = SipHashKey::random();
    const SipHashKey other = SipHashKey::random();
    EXPECT_NE(one.low, other.low);
    EXPECT_NE(one.high, other.high);
    EXPECT_NE(one.low, one.high);
}

}  // namespace
}  // namespace tnet
