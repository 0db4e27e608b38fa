// Address: what it prints it parses back, whether it came from a text or from the system.
//
//     input: the text, which is also taken for a sockaddr
#include "tnet/address.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

void checkText(std::string_view text) {
    const auto address = Address::parse(text);
    if (!address) {
        EXPECT_TRUE(address.error().code);
        EXPECT_FALSE(address.error().message.empty());
        return;
    }
    const auto again = Address::parse(address->toString());
    ASSERT_TRUE(again) << address->toString();
    EXPECT_TRUE(*again == *address) << address->toString();
    EXPECT_EQ(again->toString(), address->toString());
    EXPECT_TRUE(Address::fromSockaddr(address->data(), address->size()) == *address);
    EXPECT_TRUE(address->isUnix() || address->withPort(7).port() == 7);
}

void checkSystem(std::string_view bytes) {
    sockaddr_storage storage{};
    const size_t size = std::min(bytes.size(), sizeof(storage));
    std::memcpy(&storage, bytes.data(), size);
    const auto address =
        Address::fromSockaddr(reinterpret_cast<const sockaddr*>(&storage), static_cast<socklen_t>(size));
    const std::string text = address.toString();
    EXPECT_FALSE(text.empty());
    if (address.family() != AF_INET && address.family() != AF_INET6) return;
    const auto again = Address::parse(text);
    ASSERT_TRUE(again) << text;
    EXPECT_TRUE(*again == address) << text;
}

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text = tnet::FuzzInput(data, size).rest();
    tnet::checkText(text);
    if (!text.empty()) tnet::checkSystem(text);
    return 0;
}
