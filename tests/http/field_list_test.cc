// Lists of header fields, in tables.
#include "http/field_list.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"

namespace tnet {
namespace {

// "<member><member>", and "..." in front if an empty one was passed over.
std::string written(FieldList list) {
    std::string out;
    while (const auto member = list.next()) out.append("<").append(*member).append(">");
    EXPECT_FALSE(list.next().has_value());  // and it stays at its end
    return (list.hadEmpty() ? "..." : "") + out;
}

TEST(FieldListTest, HasMembers) {
    struct Row {
        std::string_view value;
        std::string_view members;
    };
    constexpr Row kRows[] = {
        {"", "..."},
        {" \t", "..."},
        {",", "..."},
        {",,, \t,", "..."},
        {"a", "<a>"},
        {" \ta\t ", "<a>"},
        {"a b", "<a b>"},
        {"a,b", "<a><b>"},
        {"a , b\t,\tc", "<a><b><c>"},
        {"a,,b", "...<a><b>"},
        {",a", "...<a>"},
        {"a,", "...<a>"},
        {"a, ,b, ", "...<a><b>"},
        {"a;b=c, d", "<a;b=c><d>"},
        // RFC 9110 §5.6.4: what is in quotes separates nothing, and neither does what a backslash stands before.
        {R"("a,b",c)", R"(<"a,b"><c>)"},
        {R"(a="b,c" , d)", R"(<a="b,c"><d>)"},
        {R"("",a)", R"(<""><a>)"},
        {R"("a\",b",c)", R"(<"a\",b"><c>)"},
        {R"("a\\",b)", R"(<"a\\"><b>)"},
        {R"("," ",")", R"(<"," ",">)"},
        {R"(a\,b)", R"(<a\><b>)"},  // outside of quotes a backslash is a byte like others
        // Without an end they go on to that of the line.
        {R"(a,"b,c)", R"(<a><"b,c>)"},
        {R"(a,"b\",c)", R"(<a><"b\",c>)"},
        {R"(a,"b\)", R"(<a><"b\>)"},
        {R"(a,")", R"(<a><">)"},
        {"a\xFF\x80,b", "<a\xFF\x80><b>"},
    };
    for (const Row& row : kRows) EXPECT_EQ(written(FieldList(row.value)), row.members) << row.value;
}

TEST(FieldListTest, LinesOfOneNameAreOneList) {
    HttpHeaders headers;
    for (const std::string_view value : {"a, b", "", R"(c,"d)", R"(e",f)", ",g"}) {
        headers.add("X-List", value);
        headers.add("X-Lisp", "no");
        headers.add("x-LIST", "x");
    }
    // A quoted string does not go on in the next line: each line has to be a list by itself (RFC 9110 §5.3).
    EXPECT_EQ(written(FieldList(headers, "X-LIST")), R"(...<a><b><x><x><c><"d><x><e",f><x><g><x>)");
    EXPECT_EQ(written(FieldList(headers, "X-Lis")), "");
    EXPECT_EQ(written(FieldList(headers, "X-None")), "");
    EXPECT_EQ(written(FieldList(HttpHeaders(), "X-List")), "");
}

// "name", then "|name" or "|name=value" for each parameter, and "!" at one that is malformed.
std::string written(std::string_view member) {
    FieldMember parts(member);
    std::string out(parts.name());
    for (FieldParameter parameter; parts.next(parameter);) {
        out.append("|").append(parameter.name);
        if (parameter.value) out.append("=").append(*parameter.value);
    }
    FieldParameter none;
    EXPECT_FALSE(parts.next(none));
    return out + (parts.isMalformed() ? "!" : "");
}

TEST(FieldMemberTest, HasParameters) {
    struct Row {
        std::string_view member;
        std::string_view parts;
    };
    constexpr Row kRows[] = {
        {"", ""},
        {"a", "a"},
        {"a b", "a b"},
        {R"("a;b")", R"("a;b")"},
        {"a;b", "a|b"},
        {"a;b=c", "a|b=c"},
        {" a ; b ; c = d ", "a|b|c=d"},
        {"a;q=0.5;b", "a|q=0.5|b"},
        {R"(a;b="c")", "a|b=c"},
        {R"(a;b="")", "a|b="},
        {R"(a;b="c;d=e";f)", "a|b=c;d=e|f"},
        {R"(a;b="c\"d\\e\f")", R"(a|b=c"d\ef)"},
        {R"(a; b = "c" )", "a|b=c"},
        {R"(a;b="=")", "a|b=="},
        {"a;", "a|"},
        {"a;;b; ;", "a||b||"},
        {";a", "|a"},
        {"a;=b", "a!"},
        {"a;b=", "a!"},
        {"a;b=c d", "a!"},
        {"a;b c", "a!"},
        {"a;b==c", "a!"},
        {"a;b=c;d=;e", "a|b=c!"},
        {R"(a;"b"=c)", "a!"},
        {R"(a;b="c)", "a!"},
        {R"(a;b="c\")", "a!"},
        {R"(a;b="c\)", "a!"},
        {R"(a;b=")", "a!"},
        {R"(a;b="c"d)", "a!"},
        {R"(a;b="c""d")", "a!"},
        {R"(a;b=c"d")", "a!"},
        {"a;b\xC3=c", "a!"},
    };
    for (const Row& row : kRows) EXPECT_EQ(written(row.member), row.parts) << row.member;
}

TEST(ListContainsTest, ComparesWholeTokens) {
    struct Row {
        std::string_view list;
        bool has;
    };
    constexpr Row kRows[] = {{"close", true},
                             {"CLOSE", true},
                             {"foo, close", true},
                             {"close,foo", true},
                             {" \tclose\t ", true},
                             {"foo ,\tclose ,bar", true},
                             {",,close,,", true},
                             {"", false},
                             {",", false},
                             {"closed", false},
                             {"unclose", false},
                             {"clo se", false},
                             {"close;x", false},
                             {"\"close\"", false},
                             {"keep-alive", false},
                             {"\"a, close", false},
                             {"\"a, close, b\"", false},
                             {"\"a\", close", true}};
    for (const Row& row : kRows) {
        EXPECT_EQ(listContains(row.list, "close"), row.has) << row.list;
        HttpHeaders headers;
        headers.add("Connection", "x");
        headers.add("connection", row.list);
        headers.add("Connections", "close");
        EXPECT_EQ(listContains(headers, "Connection", "close"), row.has) << row.list;
    }
}

}  // namespace
}  // namespace tnet
