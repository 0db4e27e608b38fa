#include "http/headers.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/response.h"
#include "tests/http/allocation_counter.h"

namespace tnet {
namespace {

using namespace std::string_view_literals;

// Too long for the storage of a std::string itself.
constexpr std::string_view kLong = "a value that does not fit into the object of a std::string";

std::string wireOf(const HttpHeaders& headers) {
    std::string text(headers.wireSize(), '?');
    EXPECT_EQ(headers.writeTo(text.data()), text.data() + text.size());
    return text;
}

HttpHeaders make(std::initializer_list<HttpHeaders::Field> fields) {
    HttpHeaders headers;
    for (const auto& field : fields) headers.add(field.name, field.value);
    return headers;
}

// --- Finding and changing ---

TEST(HttpHeadersTest, EmptyHasNothing) {
    const HttpHeaders headers;
    EXPECT_TRUE(headers.empty());
    EXPECT_EQ(headers.size(), 0U);
    EXPECT_FALSE(headers.has("Host"));
    EXPECT_EQ(headers.find("Host"), std::nullopt);
    EXPECT_EQ(headers.get("Host"), "");
    EXPECT_EQ(wireOf(headers), "");
}

TEST(HttpHeadersTest, FindsTheFirstOfANameInAnyCase) {
    const HttpHeaders headers = make({{"X-A", "1"}, {"x-a", "2"}, {"X-B", ""}});
    for (const std::string_view name : {"X-A", "x-a", "X-a"}) EXPECT_EQ(headers.get(name), "1") << name;
    EXPECT_EQ(headers.find("x-b"), "");  // there, and empty
    EXPECT_FALSE(headers.has("X"));
    EXPECT_FALSE(headers.has("X-AA"));
    EXPECT_FALSE(headers.has(""));
}

TEST(HttpHeadersTest, AddKeepsOrderAndWriting) {
    const HttpHeaders headers = make({{"sEt-cOOkie", "a=1"}, {"X", "\ty z"}, {"Set-Cookie", "b=2"}});
    ASSERT_EQ(headers.size(), 3U);
    EXPECT_EQ(headers[0].name, "sEt-cOOkie");
    EXPECT_EQ(headers[1].value, "\ty z");
    EXPECT_EQ(headers[2].value, "b=2");
    EXPECT_EQ(wireOf(headers), "sEt-cOOkie: a=1\r\nX: \ty z\r\nSet-Cookie: b=2\r\n");
}

TEST(HttpHeadersTest, SetReplacesAllOfTheName) {
    HttpHeaders headers = make({{"A", "1"}, {"B", "2"}, {"a", "3"}});
    headers.set("A", "4");
    EXPECT_EQ(wireOf(headers), "B: 2\r\nA: 4\r\n");
    headers.set("C", "5");
    EXPECT_EQ(wireOf(headers), "B: 2\r\nA: 4\r\nC: 5\r\n");
}

TEST(HttpHeadersTest, RemoveTakesAllOfTheNameAndKeepsTheRest) {
    HttpHeaders headers = make({{"A", "1"}, {"Bb", "2"}, {"a", "3"}, {"C", "4"}});
    EXPECT_FALSE(headers.remove("D"));
    EXPECT_TRUE(headers.remove("A"));
    EXPECT_FALSE(headers.remove("A"));
    EXPECT_EQ(wireOf(headers), "Bb: 2\r\nC: 4\r\n");
    ASSERT_EQ(headers.size(), 2U);
    EXPECT_EQ(headers[1].value, "4");
    EXPECT_TRUE(headers.remove("bB"));
    EXPECT_TRUE(headers.remove("C"));
    EXPECT_TRUE(headers.empty());
    EXPECT_EQ(wireOf(headers), "");
    headers.add("E", "5");
    EXPECT_EQ(wireOf(headers), "E: 5\r\n");
    headers.clear();
    EXPECT_TRUE(headers.empty());
}

// A response's field made from another one of it: the value is a view of what is about to be changed.
// Growing the text for the name moved it away under the value.
TEST(HttpHeadersTest, AValueMayBeOneOfItsOwn) {
    HttpHeaders headers;
    headers.add("A", kLong);
    for (int i = 0; i < 20; ++i) headers.add("B", headers.get("A"));
    for (size_t i = 0; i < headers.size(); ++i) EXPECT_EQ(headers[i].value, kLong);

    headers = make({{"A", "first"}, {"B", kLong}});
    headers.set("A", headers.get("B"));
    EXPECT_EQ(wireOf(headers), "B: " + std::string(kLong) + "\r\nA: " + std::string(kLong) + "\r\n");
    headers.set("A", headers.get("A"));
    EXPECT_EQ(headers.get("A"), kLong);
    headers.set(headers[1].name, "x");
    EXPECT_EQ(wireOf(headers), "B: " + std::string(kLong) + "\r\nA: x\r\n");

    headers = make({{"A", "1"}, {"B", "2"}, {"A", "3"}});
    EXPECT_TRUE(headers.remove(headers[0].name));
    EXPECT_EQ(wireOf(headers), "B: 2\r\n");
}

// --- What may not get in ---

TEST(HttpHeadersTest, NamesAreTokens) {
    const std::string_view names[] = {"",       " ",      "a b",  "a:",    ":",    "a\r",      "a\n",
                                      "a\r\nb", "a\0b"sv, "\0"sv, "a\t",   "\x7F", "\xC3\xA4", "(a)",
                                      "a/b",    "a,b",    "a;b",  "\"a\"", "a@b",  "a[b]",     "{a}",
                                      "a?b",    "a=b",    "a\\b", "<a>"};
    for (const std::string_view name : names) {
        HttpHeaders headers = make({{"X", "1"}});
        EXPECT_THROW(headers.add(name, "v"), std::invalid_argument) << name;
        EXPECT_THROW(headers.set(name, "v"), std::invalid_argument) << name;
        EXPECT_EQ(wireOf(headers), "X: 1\r\n") << name;
    }
}

TEST(HttpHeadersTest, ValuesCannotSplitAResponse) {
    const std::string_view values[] = {"\r",
                                       "\n",
                                       "\r\n",
                                       "a\r\nSet-Cookie: evil=1",
                                       "a\r\n\r\n<html>",
                                       "a\rb",
                                       "a\nb",
                                       "\0"sv,
                                       "a\0b"sv,
                                       "\x01",
                                       "a\x0B",
                                       "\x1B[31m",
                                       "a\x7F"};
    for (const std::string_view value : values) {
        HttpHeaders headers = make({{"X", "1"}});
        EXPECT_THROW(headers.add("A", value), std::invalid_argument) << value;
        EXPECT_EQ(wireOf(headers), "X: 1\r\n") << value;
        EXPECT_THROW(headers.set("A", value), std::invalid_argument) << value;
        HttpResponse response(200);
        EXPECT_THROW(response.header("A", value), std::invalid_argument) << value;
        EXPECT_THROW(HttpResponse::redirect(value), std::invalid_argument) << value;
    }
}

// A handler that catches what set threw must not have lost the field.
TEST(HttpHeadersTest, ASetThatThrowsChangesNothing) {
    HttpHeaders headers = make({{"A", "1"}, {"B", "2"}});
    EXPECT_THROW(headers.set("A", "a\r\nb"), std::invalid_argument);
    EXPECT_EQ(wireOf(headers), "A: 1\r\nB: 2\r\n");
}

TEST(HttpHeadersTest, ValuesMayBeEmptyViewsOfNothing) {
    HttpHeaders headers;
    headers.add("A", std::string_view{});
    headers.set("B", std::string_view{});
    headers.set("A", headers.get("C"));
    EXPECT_EQ(wireOf(headers), "B: \r\nA: \r\n");
    EXPECT_THROW(headers.add(std::string_view{}, "x"), std::invalid_argument);
}

TEST(HttpHeadersTest, ValuesMayHaveAnythingElse) {
    for (const std::string_view value :
         {"", " ", "\t", " a ", "caf\xC3\xA9", "\x80\xFF", "a: b; \"c\", (d)"}) {
        const HttpHeaders headers = make({{"A", value}});
        EXPECT_EQ(headers.get("A"), value);
    }
}

TEST(IsTokenTest, KnowsEveryByte) {
    const std::string_view others = "!#$%&'*+-.^_`|~";
    for (int i = 0; i < 256; ++i) {
        const char c = static_cast<char>(i);
        const bool expected = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              others.find(c) != std::string_view::npos;
        EXPECT_EQ(isToken({&c, 1}), expected) << i;
        EXPECT_EQ(isToken(std::string("ab") + c), expected) << i;
        EXPECT_EQ(isToken(c + std::string("ab")), expected) << i;
    }
}

TEST(IsFieldValueTest, KnowsEveryByte) {
    EXPECT_TRUE(isFieldValue(""));
    for (int i = 0; i < 256; ++i) {
        const bool expected = i == '\t' || (i >= 0x20 && i != 0x7F);
        EXPECT_EQ(isFieldValue(std::string(1, static_cast<char>(i))), expected) << i;
        EXPECT_EQ(isFieldValue("ab" + std::string(1, static_cast<char>(i)) + "c"), expected) << i;
    }
}

// --- A value ---

TEST(HttpHeadersTest, CopiesAreIndependent) {
    HttpHeaders a = make({{"A", kLong}});
    HttpHeaders b(a);
    b.add("B", "2");
    a.set("A", "1");
    EXPECT_EQ(wireOf(a), "A: 1\r\n");
    EXPECT_EQ(b.get("A"), kLong);
    EXPECT_EQ(b.get("B"), "2");
    a = b;
    b.clear();
    EXPECT_EQ(a.size(), 2U);
    a = b;
    EXPECT_TRUE(a.empty());
    HttpHeaders& alias = a = make({{"C", "3"}});
    a = alias;
    EXPECT_EQ(wireOf(a), "C: 3\r\n");
}

TEST(HttpHeadersTest, MovingLeavesAnEmptyOneThatIsUsable) {
    HttpHeaders a = make({{"A", kLong}});
    HttpHeaders b(std::move(a));
    EXPECT_EQ(b.get("A"), kLong);
    a = {};
    a.add("C", "3");
    EXPECT_EQ(wireOf(a), "C: 3\r\n");
    b = std::move(a);
    EXPECT_EQ(wireOf(b), "C: 3\r\n");
}

// --- Storage ---

TEST(HttpHeadersTest, StorageIsUsedAgain) {
    const auto use = [] {
        HttpHeaders headers;
        for (int i = 0; i < 10; ++i) headers.add("X-Name", kLong);
        headers.set("X-Name", "1");
        const HttpHeaders copy = headers;
        EXPECT_EQ(copy.size(), 1U);
    };
    use();
    const AllocationCounter counter;
    for (int i = 0; i < 100; ++i) use();
    EXPECT_EQ(counter.count(), 0U);
}

TEST(HttpHeadersTest, RecycledStorageHasNothingOfTheOldOne) {
    {
        HttpHeaders half;
        half.beginRaw();
        half.appendRaw("Secret: of another client\r\n");
        half.addRaw(0, 6, 8, 17);
    }
    HttpHeaders next;
    EXPECT_TRUE(next.empty());
    next.add("A", "1");
    EXPECT_EQ(wireOf(next), "A: 1\r\n");
    HttpHeaders raw;
    raw.beginRaw();
    EXPECT_TRUE(raw.empty());
    EXPECT_EQ(raw.raw(), "");
}

TEST(HttpHeadersTest, MayDieOnAnotherThreadThanTheyWereMade) {
    std::vector<HttpHeaders> made;
    std::thread maker([&made] {
        for (int i = 0; i < 200; ++i) made.push_back(make({{"A", kLong}}));
    });
    maker.join();
    for (const HttpHeaders& headers : made) EXPECT_EQ(headers.get("A"), kLong);
    std::thread([dying = std::move(made)]() mutable { dying.clear(); }).join();
    EXPECT_EQ(wireOf(make({{"B", "1"}})), "B: 1\r\n");
}

// What a thread keeps in thread-local objects is destroyed after the pool, if it was made before.
TEST(HttpHeadersTest, MayOutliveTheirThreadsPool) {
    std::thread([] {
        struct Holder {
            std::unique_ptr<HttpHeaders> headers{};
        };
        thread_local Holder holder;
        holder.headers = nullptr;  // made now, before the pool
        holder.headers = std::make_unique<HttpHeaders>();
        holder.headers->add("A", kLong);
    }).join();
}

// --- For the parser ---

HttpHeaders makeRaw() {
    HttpHeaders headers;
    headers.beginRaw();
    headers.appendRaw("GET / HTTP/1.1\r\nHost:  a \r\nX-");
    headers.appendRaw("A:b\r\nEmpty:\r\nX-A: c\r\n\r\n");
    headers.addRaw(16, 4, 23, 1);
    headers.addRaw(27, 3, 31, 1);
    headers.addRaw(34, 5, 40, 0);
    headers.addRaw(42, 3, 47, 1);
    return headers;
}

TEST(HttpHeadersTest, FieldsMayBePartsOfAText) {
    const HttpHeaders headers = makeRaw();
    ASSERT_EQ(headers.size(), 4U);
    EXPECT_EQ(headers.get("host"), "a");
    EXPECT_EQ(headers.get("x-a"), "b");
    EXPECT_EQ(headers.find("Empty"), "");
    EXPECT_EQ(headers[3].value, "c");
    EXPECT_EQ(wireOf(headers), "Host: a\r\nX-A: b\r\nEmpty: \r\nX-A: c\r\n");
    EXPECT_EQ(headers.get("X-A").data(), headers.raw().data() + 31);
}

TEST(HttpHeadersTest, PartsOfATextChangeLikeAnyOther) {
    HttpHeaders headers = makeRaw();
    headers.add("Z", "1");
    EXPECT_EQ(wireOf(headers), "Host: a\r\nX-A: b\r\nEmpty: \r\nX-A: c\r\nZ: 1\r\n");
    headers = makeRaw();
    headers.set("x-a", headers.get("Host"));
    EXPECT_EQ(wireOf(headers), "Host: a\r\nEmpty: \r\nx-a: a\r\n");
    headers = makeRaw();
    EXPECT_TRUE(headers.remove("HOST"));
    EXPECT_EQ(wireOf(headers), "X-A: b\r\nEmpty: \r\nX-A: c\r\n");
    const HttpHeaders copy = makeRaw();
    headers = copy;
    EXPECT_EQ(wireOf(headers), wireOf(copy));
}

TEST(HttpHeadersTest, BeginRawEmpties) {
    HttpHeaders headers = makeRaw();
    headers.beginRaw();
    EXPECT_TRUE(headers.empty());
    EXPECT_EQ(headers.raw(), "");
    EXPECT_EQ(wireOf(headers), "");
}

}  // namespace
}  // namespace tnet
