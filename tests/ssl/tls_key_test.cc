#include "tnet/ssl/tls_key.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/hex.h"

namespace tnet {
namespace {

// RFC 8448 §3, a whole TLS 1.3 connection with TLS_AES_128_GCM_SHA256.
constexpr std::string_view kClientSecret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
constexpr std::string_view kServerSecret = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
constexpr std::string_view kClientRecord =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f"
    "5a"
    "6292a2977014bd1e3deae63aeebb21694915e4";

std::span<const uint8_t> bytesOf(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string textOf(std::span<const uint8_t> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string seal(TlsKey& key, RecordType type, std::string_view plain) {
    const iovec piece{const_cast<char*>(plain.data()), plain.size()};
    PlainPieces pieces(&piece, 1);
    ByteBuffer output;
    EXPECT_TRUE(key.seal(type, pieces, plain.size(), output));
    return std::string(output.view());
}

std::optional<std::string> open(TlsKey& key, std::string_view record) {
    std::string into(record.size(), '\0');
    const auto content = key.open(record, into.data());
    if (!content) return std::nullopt;
    return into.substr(0, content->bytes);
}

std::string fiftyBytes() {
    std::string bytes;
    for (char c = 0; c < 50; ++c) bytes.push_back(c);
    return bytes;
}

TEST(TlsKeyTest, DerivesTheKeysOfTheRfcsExample) {
    const TlsKey client(*TlsSuite::find(0x1301), bytesOf(fromHex(kClientSecret)), 0);
    EXPECT_EQ(toHex(textOf(client.key())), "17422dda596ed5d9acd890e3c63f5051");
    EXPECT_EQ(toHex(textOf(client.iv())), "5b78923dee08579033e523d9");
    const TlsKey server(*TlsSuite::find(0x1301), bytesOf(fromHex(kServerSecret)), 0);
    EXPECT_EQ(toHex(textOf(server.key())), "9f02283b6c9c07efc26bb9f2ac92e356");
    EXPECT_EQ(toHex(textOf(server.iv())), "cf782b88dd83549aadf1e984");
}

TEST(TlsKeyTest, SealsTheRecordOfTheRfcsExample) {
    TlsKey key(*TlsSuite::find(0x1301), bytesOf(fromHex(kClientSecret)), 0);
    EXPECT_EQ(toHex(seal(key, RecordType::ApplicationData, fiftyBytes())), kClientRecord);
}

TEST(TlsKeyTest, OpensTheRecordOfTheRfcsExample) {
    TlsKey key(*TlsSuite::find(0x1301), bytesOf(fromHex(kClientSecret)), 0);
    EXPECT_EQ(open(key, fromHex(kClientRecord)), fiftyBytes());
}

TEST(TlsKeyTest, RefusesARecordWithAnyBitChanged) {
    const std::string record = fromHex(kClientRecord);
    for (size_t i = 0; i < record.size(); ++i) {
        std::string changed = record;
        changed[i] = static_cast<char>(changed[i] ^ 0x20);
        TlsKey key(*TlsSuite::find(0x1301), bytesOf(fromHex(kClientSecret)), 0);
        EXPECT_FALSE(open(key, changed)) << "byte " << i;
    }
}

TEST(TlsKeyTest, RefusesARecordOutOfSequence) {
    TlsKey key(*TlsSuite::find(0x1301), bytesOf(fromHex(kClientSecret)), 1);
    EXPECT_FALSE(open(key, fromHex(kClientRecord)));
}

TEST(TlsKeyTest, ARecordOfNothingButPaddingHasNoType) {
    TlsKey write(*TlsSuite::find(0x1301), bytesOf(fromHex(kClientSecret)), 0);
    TlsKey read(*TlsSuite::find(0x1301), bytesOf(fromHex(kClientSecret)), 0);
    const std::string record = seal(write, static_cast<RecordType>(0), std::string(5, '\0'));
    std::string into(record.size(), '\0');
    const auto content = read.open(record, into.data());
    ASSERT_TRUE(content);
    EXPECT_EQ(content->type, static_cast<RecordType>(0));
    EXPECT_EQ(content->bytes, 0u);
    EXPECT_EQ(content->innerBytes, 6u);
}

class TlsSuiteTest : public testing::TestWithParam<uint16_t> {
protected:
    const TlsSuite& suite() { return *TlsSuite::find(GetParam()); }
    std::unique_ptr<TlsKey> makeKey(char fill = 's') {
        return std::make_unique<TlsKey>(suite(), bytesOf(std::string(suite().secretBytes, fill)), 0);
    }
};

TEST_P(TlsSuiteTest, WhatOneSealsTheOtherOpensInOrder) {
    const auto write = makeKey();
    const auto read = makeKey();
    for (const size_t size :
         {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{1000}, kMaxRecordPlainBytes}) {
        const std::string plain(size, 'x');
        const std::string record = seal(*write, RecordType::ApplicationData, plain);
        EXPECT_EQ(record.size(), size + 22);
        EXPECT_EQ(open(*read, record), plain);
    }
    EXPECT_EQ(read->sequence(), 6u);
}

TEST_P(TlsSuiteTest, PiecesAreOneRecord) {
    std::string a(7, 'a'), b, c(100, 'c'), d(33, 'd');
    const std::vector<iovec> pieces{
        {a.data(), a.size()}, {b.data(), b.size()}, {c.data(), c.size()}, {d.data(), d.size()}};
    PlainPieces plain(pieces.data(), static_cast<int>(pieces.size()));
    ByteBuffer output;
    ASSERT_TRUE(makeKey()->seal(RecordType::ApplicationData, plain, 120, output));
    EXPECT_EQ(plain.left(), 20u);
    EXPECT_EQ(open(*makeKey(), output.view()), a + c + std::string(13, 'd'));
}

TEST_P(TlsSuiteTest, AnUpdatedKeyOpensWhatAnUpdatedKeySealed) {
    const auto write = makeKey();
    const auto read = makeKey();
    const auto old = makeKey();
    seal(*write, RecordType::ApplicationData, "before");
    write->update();
    read->update();
    const std::string record = seal(*write, RecordType::ApplicationData, "behind");
    EXPECT_FALSE(open(*old, record));
    EXPECT_EQ(open(*read, record), "behind");
}

// The thread's contexts are fewer than the keys: each key finds its own again.
TEST_P(TlsSuiteTest, MoreKeysThanCachedContexts) {
    std::vector<std::unique_ptr<TlsKey>> writes;
    std::vector<std::unique_ptr<TlsKey>> reads;
    for (size_t i = 0; i < TlsKey::kCachedContexts + 10; ++i) {
        writes.push_back(makeKey(static_cast<char>(i)));
        reads.push_back(makeKey(static_cast<char>(i)));
    }
    for (int round = 0; round < 3; ++round) {
        for (size_t i = 0; i < writes.size(); ++i) {
            const std::string plain = std::to_string(i);
            EXPECT_EQ(open(*reads[i], seal(*writes[i], RecordType::ApplicationData, plain)), plain);
        }
        writes.erase(writes.begin() + 5);  // a place that becomes free
        reads.erase(reads.begin() + 5);
    }
}

// A loop's connections may be destroyed by the thread that ends it.
TEST_P(TlsSuiteTest, AKeyMayEndOnAnotherThread) {
    std::unique_ptr<TlsKey> key;
    std::thread([&] {
        const auto first = makeKey();
        seal(*first, RecordType::ApplicationData, "so that the other has not the first place");
        key = makeKey();
        seal(*key, RecordType::ApplicationData, "text");
    }).join();
    std::thread([&] { key.reset(); }).join();
    std::thread([&] {
        const auto own = makeKey();
        const std::string record = seal(*own, RecordType::ApplicationData, "text");
        EXPECT_EQ(open(*makeKey(), record), "text");
    }).join();
}

INSTANTIATE_TEST_SUITE_P(Suites, TlsSuiteTest, testing::Values(0x1301, 0x1302, 0x1303));

TEST(TlsSuiteTest, KnowsNoOthers) { EXPECT_EQ(TlsSuite::find(0x1304), nullptr); }

}  // namespace
}  // namespace tnet
