#include "tnet/ssl/ssl_name_table.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tnet {
namespace {

constexpr std::array<const char*, 8> kNames{
    "example.org",            // 0
    "*.example.org",          // 1
    "www.example.org",        // 2
    "*.deep.example.org",     // 3
    "Upper.Example.NET.",     // 4
    "xn--bcher-kva.example",  // 5
    "w*.partial.test",        // 6: nothing matches it
    "*.*.double.test",        // 7: the same
};

constexpr size_t kNone = SIZE_MAX;

struct Case {
    std::string asked;
    size_t found;
};

TEST(SslNameTableTest, FindsExactBeforeWildcard) {
    SslNameTable table;
    for (size_t i = 0; i < kNames.size(); ++i) table.add(kNames[i], i);
    const std::array cases{
        Case{"example.org", 0},
        Case{"EXAMPLE.org", 0},
        Case{"example.org.", 0},
        Case{"a.example.org", 1},
        Case{"A.Example.Org.", 1},
        Case{"www.example.org", 2},
        Case{"wwww.example.org", 1},
        Case{"a.b.example.org", kNone},
        Case{".example.org", kNone},
        Case{"deep.example.org", 1},
        Case{"a.deep.example.org", 3},
        Case{"upper.example.net", 4},
        Case{"XN--bcher-kva.example", 5},
        Case{"www.partial.test", kNone},
        Case{"w*.partial.test", kNone},
        Case{"a.b.double.test", kNone},
        Case{"example.com", kNone},
        Case{"org", kNone},
        Case{"", kNone},
        Case{".", kNone},
        Case{"..", kNone},
        Case{std::string("example.org\0", 12), kNone},
        Case{std::string(253, 'a') + ".example.org", kNone},
        Case{std::string(100'000, '.'), kNone},
        Case{"*.example.org", 1},  // asked for literally, it is as good a label as any
    };
    for (const Case& each : cases)
        EXPECT_EQ(table.find(each.asked).value_or(kNone), each.found) << "\"" << each.asked << "\"";
}

TEST(SslNameTableTest, TheFirstOfANameStays) {
    SslNameTable table;
    table.add("example.org", 1);
    table.add("EXAMPLE.ORG", 2);
    table.add("*.example.org", 3);
    table.add("*.example.org", 4);
    EXPECT_EQ(table.find("example.org"), 1U);
    EXPECT_EQ(table.find("a.example.org"), 3U);
}

TEST(SslNameTableTest, KeepsNothingThatIsNoName) {
    SslNameTable table;
    for (const std::string& name :
         {std::string(), std::string("*"), std::string("*."), std::string("."), std::string(300, 'a')})
        table.add(name, 0);
    for (const char* const asked : {"", "a", "a.", "*", "*.", "."}) EXPECT_FALSE(table.find(asked)) << asked;
}

}  // namespace
}  // namespace tnet
