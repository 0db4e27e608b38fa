#include "http/types.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

namespace tnet {
namespace {

TEST(HttpMethodTest, EveryNameIsItsOwn) {
    std::set<std::string_view> names;
    for (size_t i = 0; i < kHttpMethodCount; ++i) {
        const auto method = static_cast<HttpMethod>(i);
        const std::string_view name = methodName(method);
        EXPECT_FALSE(name.empty());
        EXPECT_TRUE(names.insert(name).second) << name;
        EXPECT_EQ(methodFromName(name), method) << name;
    }
    EXPECT_EQ(methodName(HttpMethod::Get), "GET");
    EXPECT_EQ(methodName(HttpMethod::MSearch), "M-SEARCH");
    EXPECT_EQ(methodName(HttpMethod::Source), "SOURCE");
}

TEST(HttpMethodTest, NamesAreCaseSensitiveAndWhole) {
    for (const std::string_view name : {"", "get", "Get", "GETS", "GE", " GET", "GET ", "DESCRIBE", "PRI"}) {
        EXPECT_FALSE(methodFromName(name)) << name;
    }
}

TEST(ReasonPhraseTest, KnowsTheRegisteredCodesAlone) {
    struct Row {
        int status;
        std::string_view phrase;
    };
    constexpr Row kRows[] = {{100, "Continue"},
                             {101, "Switching Protocols"},
                             {200, "OK"},
                             {204, "No Content"},
                             {304, "Not Modified"},
                             {400, "Bad Request"},
                             {404, "Not Found"},
                             {405, "Method Not Allowed"},
                             {408, "Request Timeout"},
                             {413, "Content Too Large"},
                             {414, "URI Too Long"},
                             {417, "Expectation Failed"},
                             {426, "Upgrade Required"},
                             {431, "Request Header Fields Too Large"},
                             {500, "Internal Server Error"},
                             {501, "Not Implemented"},
                             {503, "Service Unavailable"},
                             {505, "HTTP Version Not Supported"},
                             {599, ""},
                             {299, ""},
                             {0, ""},
                             {-1, ""}};
    for (const Row& row : kRows) EXPECT_EQ(reasonPhrase(row.status), row.phrase) << row.status;
}

TEST(EqualsIgnoreCaseTest, FoldsLettersOfAsciiAlone) {
    struct Row {
        std::string_view a;
        std::string_view b;
        bool equal;
    };
    constexpr Row kRows[] = {
        {"", "", true},    {"Host", "hOST", true},  {"Host", "Hosts", false},
        {"a", "", false},  {"[", "{", false},  // a bit apart, as letters of the two cases are
        {"@", "`", false}, {"\xC4", "\xE4", false}, {"x-1_~", "X-1_~", true}};
    for (const Row& row : kRows)
        EXPECT_EQ(equalsIgnoreCase(row.a, row.b), row.equal) << row.a << " " << row.b;
}

}  // namespace
}  // namespace tnet
