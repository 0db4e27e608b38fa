#include "tnet/address.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

namespace tnet {
namespace {

using namespace std::string_literals;

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);

Address parsed(const std::string& text) {
    const Result<Address> result = Address::parse(text);
    EXPECT_TRUE(result.ok()) << text;
    return result.ok() ? *result : Address();
}

TEST(AddressTest, PrintsTheFormItParses) {
    const std::vector<std::string> texts = {
        "127.0.0.1:8080",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::1]:8080",
        "[::]:0",
        "[2001:db8::1]:443",
        "[::ffff:1.2.3.4]:80",
        "unix:/run/a.sock",
        "unix:relative.sock",
        "unix:/with space:and:colons",
        "unix:@name",
        "unix:@@",
        "unix:/" + std::string(106, 'p'),
        "unix:@" + std::string(107, 'a'),
    };
    for (const std::string& text : texts) EXPECT_EQ(parsed(text).toString(), text);
}

TEST(AddressTest, WritesIPv6InItsShortForm) {
    EXPECT_EQ(parsed("[0:0:0:0:0:0:0:1]:1").toString(), "[::1]:1");
    EXPECT_EQ(parsed("[2001:DB8::0A]:1").toString(), "[2001:db8::a]:1");
}

TEST(AddressTest, RejectsWhatIsNotExactlyAnAddress) {
    const std::vector<std::string> texts = {
        "",
        ":",
        ":80",
        "80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:99999999999999999999",
        "127.0.0.1:-1",
        "127.0.0.1:+80",
        "127.0.0.1:080",
        "127.0.0.1:00",
        "127.0.0.1: 80",
        "127.0.0.1:80 ",
        " 127.0.0.1:80",
        "127.0.0.1:0x50",
        "127.0.0.1:80a",
        "127.0.0:80",
        "127.1:80",
        "256.0.0.1:80",
        "127.0.0.01:80",
        "1.2.3.4.5:80",
        "::1:80",
        "::1",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[::1]]:80",
        "[[::1]]:80",
        "[]:80",
        "[127.0.0.1]:80",
        "[::1::]:80",
        "[:::1]:80",
        "[fe80::1%]:80",
        "[fe80::1%0]:80",
        "127.0.0.1\0:80"s,
        "[::1\0]:80"s,
        "127.0.0.1:8\0"s,
        "unix:",
        "unix:@",
        "unix:/a\0b"s,
        "unix:@a\0b"s,
        "unix:/" + std::string(107, 'p'),
        "unix:@" + std::string(108, 'a'),
        "UNIX:/a",
        "http://127.0.0.1:80",
        std::string(300, '1') + ":80",
    };
    for (const std::string& text : texts) {
        const Result<Address> result = Address::parse(text);
        ASSERT_FALSE(result.ok()) << text;
        EXPECT_TRUE(result.error().code) << text;
        EXPECT_NE(result.error().message.find('"' + text + '"'), std::string::npos) << result.error().message;
    }
}

// RFC 6761 §6.3: that name is loopback, whatever a resolver says. Others need a resolver, and are refused.
TEST(AddressTest, LocalhostIsLoopback) {
    for (const char* const text : {"localhost:80", "LocalHost:80"}) {
        const Result<Address> address = Address::parse(text);
        ASSERT_TRUE(address.ok()) << text;
        EXPECT_EQ(address->toString(), "127.0.0.1:80");
    }
    EXPECT_FALSE(Address::parse("localhost").ok());
    EXPECT_FALSE(Address::parse("localhos:80").ok());
}

TEST(AddressTest, ErrorsCarryACode) {
    EXPECT_EQ(Address::parse("127.0.0.1:x").error().code, std::errc::invalid_argument);
    EXPECT_EQ(Address::parse("[fe80::1%no-such-if]:80").error().code, std::errc::no_such_device);
    EXPECT_EQ(Address::parse("[fe80::1%lo\0]:80"s).error().code, std::errc::no_such_device);
}

TEST(AddressTest, ReadsAScopeByNameOrNumber) {
    const uint32_t loopback = if_nametoindex("lo");
    if (loopback == 0) GTEST_SKIP() << "no interface named lo";
    const Address byName = parsed("[fe80::1%lo]:80");
    const Address byNumber = parsed("[fe80::1%" + std::to_string(loopback) + "]:80");
    EXPECT_EQ(reinterpret_cast<const sockaddr_in6*>(byName.data())->sin6_scope_id, loopback);
    EXPECT_EQ(byName, byNumber);
    EXPECT_EQ(byNumber.toString(), "[fe80::1%lo]:80");
    EXPECT_EQ(byName.host(), "fe80::1%lo");
    EXPECT_NE(byName, parsed("[fe80::1]:80"));
}

TEST(AddressTest, PrintsTheNumberOfAnInterfaceThatIsGone) {
    EXPECT_EQ(parsed("[fe80::1%4000000000]:80").toString(), "[fe80::1%4000000000]:80");
}

TEST(AddressTest, FillsInTheSockaddrOfEachFamily) {
    const Address v4 = parsed("1.2.3.4:258");
    ASSERT_EQ(v4.size(), sizeof(sockaddr_in));
    const auto* in = reinterpret_cast<const sockaddr_in*>(v4.data());
    EXPECT_EQ(in->sin_family, AF_INET);
    EXPECT_EQ(in->sin_port, htons(258));
    EXPECT_EQ(in->sin_addr.s_addr, htonl(0x01020304));

    const Address v6 = parsed("[::1]:258");
    ASSERT_EQ(v6.size(), sizeof(sockaddr_in6));
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(v6.data());
    EXPECT_EQ(in6->sin6_family, AF_INET6);
    EXPECT_EQ(in6->sin6_port, htons(258));
    EXPECT_EQ(std::memcmp(&in6->sin6_addr, &in6addr_loopback, sizeof(in6_addr)), 0);

    const Address path = parsed("unix:/a");
    ASSERT_EQ(path.size(), kPathOffset + 3);
    EXPECT_EQ(std::memcmp(reinterpret_cast<const sockaddr_un*>(path.data())->sun_path, "/a\0", 3), 0);

    const Address name = parsed("unix:@a");
    ASSERT_EQ(name.size(), kPathOffset + 2);
    EXPECT_EQ(std::memcmp(reinterpret_cast<const sockaddr_un*>(name.data())->sun_path, "\0a", 2), 0);
}

TEST(AddressTest, ObserversAgreeWithTheForm) {
    EXPECT_EQ(parsed("127.0.0.1:8080").port(), 8080);
    EXPECT_EQ(parsed("[::1]:8081").port(), 8081);
    EXPECT_EQ(parsed("unix:/a").port(), 0);
    EXPECT_EQ(parsed("127.0.0.1:8080").host(), "127.0.0.1");
    EXPECT_EQ(parsed("[::1]:8080").host(), "::1");
    EXPECT_EQ(parsed("unix:/a").host(), "unix:/a");
    EXPECT_TRUE(parsed("unix:/a").isUnix());
    EXPECT_FALSE(parsed("unix:/a").isAbstract());
    EXPECT_TRUE(parsed("unix:@a").isAbstract());
    EXPECT_FALSE(parsed("127.0.0.1:1").isUnix());
    EXPECT_FALSE(parsed("127.0.0.1:1").isAbstract());
}

TEST(AddressTest, LoopbackAndAny) {
    EXPECT_EQ(Address::loopback(80).toString(), "127.0.0.1:80");
    EXPECT_EQ(Address::any(81).toString(), "0.0.0.0:81");
}

TEST(AddressTest, WithPortChangesThePortAlone) {
    EXPECT_EQ(parsed("1.2.3.4:1").withPort(65535).toString(), "1.2.3.4:65535");
    EXPECT_EQ(parsed("[::1]:1").withPort(2).toString(), "[::1]:2");
    EXPECT_EQ(parsed("unix:/a").withPort(2), parsed("unix:/a"));
}

TEST(AddressTest, ComparesFamilyAddressAndPort) {
    EXPECT_EQ(parsed("127.0.0.1:80"), Address::loopback(80));
    EXPECT_NE(parsed("127.0.0.1:80"), Address::loopback(81));
    EXPECT_NE(parsed("127.0.0.2:80"), Address::loopback(80));
    EXPECT_NE(parsed("[::1]:80"), Address::loopback(80));
    EXPECT_NE(parsed("[::1]:80"), parsed("[::2]:80"));
    EXPECT_NE(parsed("[::1]:80"), parsed("[::1]:81"));
    EXPECT_NE(parsed("unix:/a"), parsed("unix:/b"));
    EXPECT_NE(parsed("unix:/a"), parsed("unix:/ab"));
    EXPECT_NE(parsed("unix:/a"), parsed("unix:@a"));
    EXPECT_NE(parsed("unix:@a"), parsed("unix:@ab"));
    EXPECT_EQ(Address(), Address());
    EXPECT_NE(Address(), Address::any(0));
}

TEST(AddressTest, DefaultIsNoAddress) {
    EXPECT_EQ(Address().family(), AF_UNSPEC);
    EXPECT_EQ(Address().toString(), "unspecified");
    EXPECT_EQ(Address().port(), 0);
    EXPECT_EQ(Address().size(), sizeof(sa_family_t));
}

TEST(AddressTest, FromSockaddrIsACopy) {
    for (const std::string text : {"1.2.3.4:5", "[2001:db8::1]:6", "unix:/run/a.sock", "unix:@name"}) {
        const Address original = parsed(text);
        EXPECT_EQ(Address::fromSockaddr(original.data(), original.size()), original) << text;
    }
}

TEST(AddressTest, FromSockaddrRefusesWhatIsTooShortOrUnknown) {
    const Address v4 = Address::loopback(80);
    EXPECT_EQ(Address::fromSockaddr(v4.data(), sizeof(sockaddr_in) - 1), Address());
    EXPECT_EQ(Address::fromSockaddr(v4.data(), 1), Address());
    EXPECT_EQ(Address::fromSockaddr(v4.data(), 0), Address());
    EXPECT_EQ(Address::fromSockaddr(nullptr, 16), Address());
    const Address path = parsed("unix:/a");
    EXPECT_EQ(Address::fromSockaddr(path.data(), 1), Address());
    const Address v6 = parsed("[::1]:80");
    EXPECT_EQ(Address::fromSockaddr(v6.data(), sizeof(sockaddr_in)), Address());
    sockaddr_storage other{};
    other.ss_family = AF_PACKET;
    EXPECT_EQ(Address::fromSockaddr(reinterpret_cast<sockaddr*>(&other), sizeof(other)), Address());
}

TEST(AddressTest, FromSockaddrReadsEveryLengthOfAUnixPath) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    const auto* base = reinterpret_cast<const sockaddr*>(&local);

    EXPECT_EQ(Address::fromSockaddr(base, sizeof(sa_family_t)).toString(), "unix:");  // unnamed
    EXPECT_FALSE(Address::fromSockaddr(base, sizeof(sa_family_t)).isAbstract());

    std::memcpy(local.sun_path, "/abcdef", 7);
    const Address path = parsed("unix:/abcdef");
    EXPECT_EQ(Address::fromSockaddr(base, kPathOffset + 7), path);  // the NUL not counted
    EXPECT_EQ(Address::fromSockaddr(base, kPathOffset + 8), path);
    EXPECT_EQ(Address::fromSockaddr(base, sizeof(local)), path);  // what lies behind it counted

    // A path that fills sun_path has no NUL (unix(7)); nothing behind it may be read.
    std::memset(local.sun_path, 'p', sizeof(local.sun_path));
    EXPECT_EQ(Address::fromSockaddr(base, sizeof(local)).toString(), "unix:" + std::string(108, 'p'));
    EXPECT_EQ(Address::fromSockaddr(base, sizeof(local)).size(), sizeof(local));

    // Bytes after the NUL of a path do not count.
    std::memcpy(local.sun_path, "/abcdef", 8);
    EXPECT_EQ(Address::fromSockaddr(base, sizeof(local)), path);
}

}  // namespace
}  // namespace tnet
