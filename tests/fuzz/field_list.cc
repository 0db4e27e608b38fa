// Lists of header fields: members and parameters against a plain reader, byte by byte.
//
//     input: lines, each one line of the field
#include "http/field_list.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"
#include "http/types.h"
#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

std::string withoutBlanks(std::string text) {
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.pop_back();
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.erase(0, 1);
    return text;
}

// At separators outside of quotes.
std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts(1);
    bool inQuotes = false;
    bool isEscaped = false;
    for (const char c : text) {
        if (c == separator && !inQuotes) {
            parts.emplace_back();
            continue;
        }
        parts.back() += c;
        if (c == '"' && !isEscaped) inQuotes = !inQuotes;
        isEscaped = inQuotes && c == '\\' && !isEscaped;
    }
    for (std::string& part : parts) part = withoutBlanks(part);
    return parts;
}

// True if `text` is name, or name=value as a parameter is written; what it says, rewritten, has to say the same.
bool isParameter(const std::string& text, const FieldParameter& parameter) {
    const std::string_view name = parameter.name;
    if (!parameter.value) return text == name;
    if (withoutBlanks(text.substr(0, text.find('='))) != name) return false;
    const std::string value = withoutBlanks(text.substr(text.find('=') + 1));
    if (!value.starts_with('"')) return value == *parameter.value;
    std::string rewritten = "x;y=\"";
    for (const char c : *parameter.value) rewritten.append(c == '"' || c == '\\' ? "\\" : "").append(1, c);
    rewritten += '"';
    FieldMember member(rewritten);
    FieldParameter again;
    return member.next(again) && again.value == parameter.value;
}

void checkMember(std::string_view member) {
    const std::vector<std::string> parts = split(member, ';');
    FieldMember reader(member);
    EXPECT_EQ(reader.name(), parts[0]);
    size_t count = 0;
    for (FieldParameter parameter; reader.next(parameter);) {
        ASSERT_LT(++count, parts.size());
        EXPECT_TRUE(parameter.name.empty() ? !parameter.value : isToken(parameter.name));
        EXPECT_TRUE(isParameter(parts[count], parameter)) << parts[count];
    }
    EXPECT_TRUE(reader.isMalformed() || count + 1 == parts.size());
}

void run(FuzzInput input) {
    HttpHeaders headers;
    std::vector<std::string> expected;
    while (!input.empty()) {
        const std::string_view line = input.line();
        try {
            headers.add(headers.size() % 2 == 0 ? "X-List" : "x-list", line);
        } catch (const std::invalid_argument&) {
            continue;  // no value of a field: the parser lets none of these through
        }
        for (std::string& member : split(line, ',')) {
            if (!member.empty()) expected.push_back(std::move(member));
        }
    }
    std::vector<std::string> members;
    FieldList list(headers, "X-List");
    while (const auto member = list.next()) members.emplace_back(*member);
    EXPECT_EQ(members, expected);
    for (const std::string& member : members) {
        EXPECT_TRUE(listContains(headers, "x-LIST", member));
        checkMember(member);
    }
    EXPECT_FALSE(listContains(headers, "X-List", ""));
}

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::run(tnet::FuzzInput(data, size));
    return 0;
}
