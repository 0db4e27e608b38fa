#include "http/route_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "http/uri.h"

namespace {
std::atomic<size_t> g_allocations = 0;
// Called through a pointer, or g++ inlines delete alone and takes new and free for a mismatched pair.
void (*volatile g_free)(void*) = std::free;
}  // namespace

void* operator new(size_t size) {
    ++g_allocations;
    if (void* const memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { g_free(memory); }
void operator delete(void* memory, size_t) noexcept { g_free(memory); }

namespace tnet {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

using Params = std::vector<std::pair<std::string, std::string>>;

// A tree that remembers its patterns, and what a match left behind, in words.
class Routes {
public:
    Routes(std::initializer_list<std::string_view> patterns) {
        for (const std::string_view pattern : patterns) add(pattern);
    }

    void add(std::string_view pattern) {
        const Result<size_t> index = m_tree.insert(pattern);
        ASSERT_TRUE(index.ok()) << index.error().message;
        if (*index == m_patterns.size()) m_patterns.emplace_back(pattern);
        ASSERT_EQ(m_patterns.at(*index), pattern);
    }

    // The pattern that matches; "-" if none does, "!" if the path is malformed.
    std::string find(std::string_view path) {
        return findIf(path, [](const std::string&) { return true; });
    }

    // The most specific that matches and is in `accepted`.
    std::string findOf(std::string_view path, const std::set<std::string>& accepted) {
        return findIf(path, [&](const std::string& pattern) { return accepted.count(pattern) > 0; });
    }

    // All that match, most specific first.
    std::vector<std::string> findAll(std::string_view path) {
        std::vector<std::string> found;
        findIf(path, [&](const std::string& pattern) {
            found.push_back(pattern);
            return false;
        });
        EXPECT_TRUE(m_params.empty());
        return found;
    }

    Params params() const {
        Params copies;
        for (const PathParam& param : m_params) copies.emplace_back(param.name, param.value);
        return copies;
    }

    Params paramsOf(std::string_view path) {
        EXPECT_NE(find(path), "-") << path;
        return params();
    }

    size_t steps() const { return m_steps; }
    RouteTree& tree() { return m_tree; }

private:
    template <class Accept>
    std::string findIf(std::string_view path, Accept accept) {
        std::string accepted = "?";
        const auto visit = [&](size_t index) {
            accepted = m_patterns.at(index);
            return accept(accepted);
        };
        const MatchResult result = m_tree.match(path, m_params, m_scratch, visit, &m_steps);
        EXPECT_TRUE(result == MatchResult::Matched || m_params.empty()) << path;
        if (result == MatchResult::Malformed) return "!";
        return result == MatchResult::Matched ? accepted : "-";
    }

    RouteTree m_tree;
    std::vector<std::string> m_patterns;
    std::vector<PathParam> m_params;
    std::string m_scratch;
    size_t m_steps = 0;
};

std::string repeated(std::string_view piece, size_t times) {
    std::string text;
    for (size_t i = 0; i < times; ++i) text += piece;
    return text;
}

// --- insert ---

TEST(RouteTreeTest, NumbersPatternsInOrder) {
    RouteTree tree;
    EXPECT_EQ(tree.insert("/").value(), 0U);
    EXPECT_EQ(tree.insert("/a").value(), 1U);
    EXPECT_EQ(tree.insert("/a/:x").value(), 2U);
    EXPECT_EQ(tree.insert("/a").value(), 1U);
    EXPECT_EQ(tree.insert("/a/:x").value(), 2U);
    EXPECT_EQ(tree.insert("/a/*x").value(), 3U);
    EXPECT_EQ(tree.insert("/").value(), 0U);
}

TEST(RouteTreeTest, RefusesMalformedPatterns) {
    const std::vector<std::string> patterns = {
        "",
        "a",
        "a/b",
        ":id",
        "*",
        "//",
        "//a",
        "/a//b",
        "/a//",
        "/:",
        "/a/:/b",
        "/*",
        "/a/*",
        "/*rest/",
        "/*rest/b",
        "/*a/*b",
        "/:a/:a",
        "/:a/b/:a",
        "/:a/:b/:a",
        "/:a/*a",
        "/a*b",
        "/a*",
        "/*.txt",
        "/:id.json",
        "/:a-:b",
        "/:a:b",
        "/: a",
        "/:caf\xC3\xA9",
        "/.",
        "/..",
        "/a/./b",
        "/../a",
        "/a?b",
        "/a?",
        "/a#b",
        "/%41",
        "/100%",
        "/a\0b"s,
        "/a\nb",
        "/a\x7F",
        "/a\tb",
        "/**rest",
        repeated("/a", RouteTree::kMaxSegments + 1),
    };
    RouteTree tree;
    for (const std::string& pattern : patterns) {
        const Result<size_t> index = tree.insert(pattern);
        ASSERT_FALSE(index.ok()) << pattern;
        EXPECT_EQ(index.error().code, std::errc::invalid_argument);
        EXPECT_NE(index.error().message.find("'" + pattern + "'"), std::string::npos)
            << index.error().message;
    }
    EXPECT_EQ(tree.insert("/fine").value(), 0U) << "what was refused left nothing behind";
}

TEST(RouteTreeTest, TakesUnusualPatterns) {
    Routes routes{"/a:b",           "/:id/", "/v1/items:batch", "/caf\xC3\xA9", "/a b",
                  "/.well-known/x", "/...",  "/:A_9z"};
    EXPECT_EQ(routes.find("/a:b"), "/a:b");
    EXPECT_EQ(routes.find("/v1/items:batch"), "/v1/items:batch");
    EXPECT_EQ(routes.find("/v1/items%3Abatch"), "/v1/items:batch");
    EXPECT_EQ(routes.find("/caf%C3%A9"), "/caf\xC3\xA9");
    EXPECT_EQ(routes.find("/a%20b"), "/a b");
    EXPECT_EQ(routes.find("/a+b"), "/:A_9z");
    EXPECT_EQ(routes.find("/.well-known/x"), "/.well-known/x");
    EXPECT_EQ(routes.find("/..."), "/...");
    routes.add(repeated("/a", RouteTree::kMaxSegments));
    EXPECT_EQ(routes.find(repeated("/a", RouteTree::kMaxSegments)), repeated("/a", RouteTree::kMaxSegments));
}

TEST(RouteTreeTest, NamesBothPatternsOfAConflict) {
    const std::vector<std::pair<std::string, std::string>> conflicts = {
        {"/users/:id", "/users/:name"},
        {"/users/:id/posts", "/users/:uid/posts"},
        {"/files/*rest", "/files/*path"},
        {"/:a/:b", "/:b/:a"},
    };
    for (const auto& [first, second] : conflicts) {
        RouteTree tree;
        ASSERT_TRUE(tree.insert(first).ok());
        const Result<size_t> index = tree.insert(second);
        ASSERT_FALSE(index.ok());
        EXPECT_EQ(index.error().code, std::errc::file_exists);
        EXPECT_NE(index.error().message.find("'" + first + "'"), std::string::npos) << index.error().message;
        EXPECT_NE(index.error().message.find("'" + second + "'"), std::string::npos) << index.error().message;
        EXPECT_EQ(tree.insert(first).value(), 0U);
        EXPECT_EQ(tree.insert("/other").value(), 1U);
    }
}

TEST(RouteTreeTest, PatternsThatShareANodeNameItsParameterAsTheyLike) {
    Routes routes{"/users/:id", "/users/:uid/posts", "/users/:u/posts/:p"};
    EXPECT_EQ(routes.paramsOf("/users/7"), (Params{{"id", "7"}}));
    EXPECT_EQ(routes.paramsOf("/users/7/posts"), (Params{{"uid", "7"}}));
    EXPECT_EQ(routes.paramsOf("/users/7/posts/9"), (Params{{"u", "7"}, {"p", "9"}}));
}

// --- match ---

TEST(RouteTreeTest, AnEmptyTreeMatchesNothing) {
    Routes routes{};
    EXPECT_EQ(routes.find("/"), "-");
    EXPECT_EQ(routes.find("/a"), "-");
}

TEST(RouteTreeTest, MatchesSegmentsWhole) {
    Routes routes{"/", "/a", "/a/", "/a/b", "/users/:id/posts", "/files/*rest"};
    const std::vector<std::pair<std::string_view, std::string_view>> cases = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a/b", "/a/b"},
        {"/A", "-"},
        {"/ab", "-"},
        {"/a/b/", "-"},
        {"/a/b/c", "-"},
        {"//", "-"},
        {"//a", "-"},
        {"/a//b", "-"},
        {"/a//", "-"},
        {"", "-"},
        {"*", "-"},
        {"a", "-"},
        {"%2Fa", "-"},
        {"/users", "-"},
        {"/users/", "-"},
        {"/users/1", "-"},
        {"/users/1/posts", "/users/:id/posts"},
        {"/users//posts", "-"},
        {"/users/1/posts/", "-"},
        {"/files", "-"},
        {"/files/", "/files/*rest"},
        {"/files/a", "/files/*rest"},
        {"/files/a/b/", "/files/*rest"},
        {"/%61", "/a"},
        {"/a%2Fb", "-"},
        {"/%2F", "-"},
    };
    for (const auto& [path, expected] : cases) EXPECT_EQ(routes.find(path), expected) << path;
}

TEST(RouteTreeTest, GivesParametersInOrder) {
    Routes routes{"/:a/:b/*c", "/static"};
    EXPECT_EQ(routes.paramsOf("/1/2/"), (Params{{"a", "1"}, {"b", "2"}, {"c", ""}}));
    EXPECT_EQ(routes.paramsOf("/1/2/3"), (Params{{"a", "1"}, {"b", "2"}, {"c", "3"}}));
    EXPECT_EQ(routes.paramsOf("/1/2/3/4//5/"), (Params{{"a", "1"}, {"b", "2"}, {"c", "3/4//5/"}}));
    EXPECT_EQ(routes.paramsOf("/static"), Params{});
}

TEST(RouteTreeTest, ARestMayBeEverything) {
    Routes routes{"/*all"};
    EXPECT_EQ(routes.paramsOf("/"), (Params{{"all", ""}}));
    EXPECT_EQ(routes.paramsOf("/a"), (Params{{"all", "a"}}));
    EXPECT_EQ(routes.paramsOf("/a/b"), (Params{{"all", "a/b"}}));
}

TEST(RouteTreeTest, RanksFromTheLeft) {
    Routes routes{"/*all", "/:x", "/a", "/:x/b", "/a/*rest", "/a/:y", "/a/b"};
    EXPECT_EQ(routes.findAll("/a"), (std::vector<std::string>{"/a", "/:x", "/*all"}));
    EXPECT_EQ(routes.findAll("/a/b"),
              (std::vector<std::string>{"/a/b", "/a/:y", "/a/*rest", "/:x/b", "/*all"}));
    EXPECT_EQ(routes.findAll("/c/b"), (std::vector<std::string>{"/:x/b", "/*all"}));
    EXPECT_EQ(routes.findAll("/a/"), (std::vector<std::string>{"/a/*rest", "/*all"}));
    EXPECT_EQ(routes.findAll("/"), (std::vector<std::string>{"/*all"}));
}

TEST(RouteTreeTest, TurnsBackFromADeadEnd) {
    Routes routes{"/a/:x/c", "/a/b/d", "/:p/b/:q/e", "/a/*rest"};
    EXPECT_EQ(routes.paramsOf("/a/b/c"), (Params{{"x", "b"}}));
    EXPECT_EQ(routes.find("/a/b/d"), "/a/b/d");
    EXPECT_EQ(routes.paramsOf("/a/b/x/e"), (Params{{"rest", "b/x/e"}}));
    EXPECT_EQ(routes.paramsOf("/z/b/x/e"), (Params{{"p", "z"}, {"q", "x"}}));
}

// GET /users/:id and POST /users/me: a GET of /users/me is not a 405.
TEST(RouteTreeTest, GoesOnToLessSpecificPatternsUntilOneIsAccepted) {
    Routes routes{"/users/:id", "/users/me", "/users/*rest", "/:any/me"};
    EXPECT_EQ(routes.findOf("/users/me", {"/users/:id"}), "/users/:id");
    EXPECT_EQ(routes.params(), (Params{{"id", "me"}}));
    EXPECT_EQ(routes.findOf("/users/me", {"/users/*rest", "/:any/me"}), "/users/*rest");
    EXPECT_EQ(routes.params(), (Params{{"rest", "me"}}));
    EXPECT_EQ(routes.findOf("/users/me", {"/:any/me"}), "/:any/me");
    EXPECT_EQ(routes.params(), (Params{{"any", "users"}}));
    EXPECT_EQ(routes.findOf("/users/me", {}), "-");
    EXPECT_EQ(routes.findAll("/users/me"),
              (std::vector<std::string>{"/users/me", "/users/:id", "/users/*rest", "/:any/me"}));
}

TEST(RouteTreeTest, TheVisitorSeesTheParametersOfThePatternItVisits) {
    RouteTree tree;
    for (const std::string_view pattern : {"/:a/x", "/:b/:c", "/*d"}) ASSERT_TRUE(tree.insert(pattern).ok());
    std::vector<PathParam> params;
    std::string scratch;
    std::vector<std::string> seen;
    const auto visit = [&](size_t index) {
        std::string text = std::to_string(index);
        for (const PathParam& param : params)
            text += " " + std::string(param.name) + "=" + std::string(param.value);
        seen.push_back(text);
        return false;
    };
    EXPECT_EQ(tree.match("/1/x", params, scratch, visit), MatchResult::NotFound);
    EXPECT_EQ(seen, (std::vector<std::string>{"0 a=1", "1 b=1 c=x", "2 d=1/x"}));
}

TEST(RouteTreeTest, TakesAnyVisitor) {
    RouteTree tree;
    ASSERT_TRUE(tree.insert("/a").ok());
    std::vector<PathParam> params;
    std::string scratch;
    struct Counter {
        size_t calls = 0;
        bool operator()(size_t) { return ++calls > 0; }
    } counter;
    EXPECT_EQ(tree.match("/a", params, scratch, counter), MatchResult::Matched);
    EXPECT_EQ(counter.calls, 1U) << "by reference, not a copy";
    const auto constant = [](size_t) { return true; };
    EXPECT_EQ(tree.match("/a", params, scratch, constant), MatchResult::Matched);
    const auto throwing = [](size_t) -> bool { throw std::runtime_error("visit"); };
    EXPECT_THROW(tree.match("/a", params, scratch, throwing), std::runtime_error);
    EXPECT_EQ(tree.match("/a", params, scratch, constant), MatchResult::Matched);
}

// --- Escapes ---

TEST(RouteTreeTest, DecodesEachSegmentOnceAfterSplitting) {
    Routes routes{"/users/:id", "/users/:id/posts", "/x/:a/:b"};
    EXPECT_EQ(routes.paramsOf("/users/a%2Fb"), (Params{{"id", "a/b"}}));
    EXPECT_EQ(routes.paramsOf("/users/a%2Fposts"), (Params{{"id", "a/posts"}}));
    EXPECT_EQ(routes.paramsOf("/users/%2541"), (Params{{"id", "%41"}}));
    EXPECT_EQ(routes.paramsOf("/users/a+b"), (Params{{"id", "a+b"}}));
    EXPECT_EQ(routes.paramsOf("/users/a+%41"), (Params{{"id", "a+A"}}));
    EXPECT_EQ(routes.paramsOf("/%75sers/%C3%A9/posts"), (Params{{"id", "\xC3\xA9"}}));
    EXPECT_EQ(routes.paramsOf("/x/plain/%41"), (Params{{"a", "plain"}, {"b", "A"}}));
    EXPECT_EQ(routes.paramsOf("/x/%41/plain"), (Params{{"a", "A"}, {"b", "plain"}}));
    EXPECT_EQ(routes.find("/users%2F7"), "-");
}

TEST(RouteTreeTest, RefusesMalformedPathsWhateverTheRoutes) {
    Routes none{};
    Routes all{"/*rest", "/:x", "/:x/:y", "/a"};
    for (const std::string_view path :
         {"/%"sv, "/%4"sv, "/%zz"sv, "/a/%zz"sv, "/a%"sv, "/%00"sv, "/a/b%00"sv, "/%41/%"sv, "/."sv, "/.."sv,
          "/a/."sv, "/a/.."sv, "/../a"sv, "/%2e"sv, "/%2e%2E/a"sv, "/a/.%2e"sv, "/./"sv, "/a/../b"sv}) {
        EXPECT_EQ(none.find(path), "!") << path;
        EXPECT_EQ(all.find(path), "!") << path;
        EXPECT_TRUE(all.findAll(path).empty()) << "nothing is visited: " << path;
    }
    EXPECT_EQ(all.find("/..."), "/:x");
    EXPECT_EQ(all.find("/%2e%2e%2e"), "/:x");
    EXPECT_EQ(all.find("/.a"), "/:x");
}

TEST(RouteTreeTest, DecodesARest) {
    Routes routes{"/files/*rest"};
    EXPECT_EQ(routes.paramsOf("/files/a%20b/c"), (Params{{"rest", "a b/c"}}));
    EXPECT_EQ(routes.paramsOf("/files/a/%41/"), (Params{{"rest", "a/A/"}}));
    EXPECT_EQ(routes.paramsOf("/%66iles/a/b"), (Params{{"rest", "a/b"}}));
    EXPECT_EQ(routes.paramsOf("/files/%2541"), (Params{{"rest", "%41"}}));
}

// What a rest becomes is a file's name below a directory: nothing in it may lead elsewhere.
TEST(RouteTreeTest, RefusesARestThatCouldLeaveItsDirectory) {
    Routes routes{"/files/*rest"};
    for (const std::string_view path :
         {"/files/a%2Fb"sv, "/files/..%2Fetc"sv, "/files/%2Fetc"sv, "/files/a/b%2f"sv, "/files//etc"sv,
          "/files//"sv, "/files/../etc"sv, "/files/%2e%2e/etc"sv, "/files/a/.."sv, "/files/a%2F..%2F..%2Fb"sv,
          "/files/%2e%2e%2fetc"sv, "/files/a/b%00"sv}) {
        EXPECT_EQ(routes.find(path), "!") << path;
    }
    EXPECT_EQ(routes.paramsOf("/files/a//b"), (Params{{"rest", "a//b"}}));
    EXPECT_EQ(routes.paramsOf("/files/a%5Cb"), (Params{{"rest", "a\\b"}}));
}

TEST(RouteTreeTest, OnlyARestThatIsReachedIsRefused) {
    Routes routes{"/*all", "/files/:name", "/:dir/sub/*rest"};
    EXPECT_EQ(routes.paramsOf("/files/a%2Fb"), (Params{{"name", "a/b"}}));
    EXPECT_EQ(routes.findOf("/files/a%2Fb", {"/*all"}), "!");
    EXPECT_EQ(routes.paramsOf("/a%2Fb/sub/x"), (Params{{"dir", "a/b"}, {"rest", "x"}}))
        << "the slash is before the rest";
    EXPECT_EQ(routes.find("/a%2Fb/other"), "!");
}

TEST(RouteTreeTest, ValuesPointIntoThePathOrTheScratch) {
    RouteTree tree;
    ASSERT_TRUE(tree.insert("/:a/:b/*rest").ok());
    std::vector<PathParam> params;
    std::string scratch;
    const auto accept = [](size_t) { return true; };
    const auto isWithin = [](std::string_view part, std::string_view whole) {
        return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
    };
    const std::string plain = "/one/two/three/four";
    ASSERT_EQ(tree.match(plain, params, scratch, accept), MatchResult::Matched);
    for (const PathParam& param : params) EXPECT_TRUE(isWithin(param.value, plain));

    // The scratch begins without capacity: had it grown while views pointed into it, they would dangle.
    const std::string escaped = "/" + repeated("%41", 300) + "/two/" + repeated("x%42/", 60);
    std::string fresh;
    ASSERT_EQ(tree.match(escaped, params, fresh, accept), MatchResult::Matched);
    for (const PathParam& param : params) EXPECT_TRUE(isWithin(param.value, fresh));
    EXPECT_EQ(params[0].value, std::string(300, 'A'));
    EXPECT_EQ(params[1].value, "two");
    EXPECT_EQ(params[2].value, repeated("xB/", 60));
}

TEST(RouteTreeTest, NamesOutliveGrowthAndMoves) {
    RouteTree tree;
    ASSERT_TRUE(tree.insert("/first/:id").ok());
    std::vector<PathParam> params;
    std::string scratch;
    const auto accept = [](size_t) { return true; };
    ASSERT_EQ(tree.match("/first/1", params, scratch, accept), MatchResult::Matched);
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(tree.insert("/r" + std::to_string(i) + "/:id").ok());
    EXPECT_EQ(params[0].name, "id");
    const RouteTree moved = std::move(tree);
    EXPECT_EQ(params[0].name, "id");
    ASSERT_EQ(moved.match("/r999/1", params, scratch, accept), MatchResult::Matched);
    EXPECT_EQ(params[0].name, "id");
}

// --- Limits and cost ---

TEST(RouteTreeTest, PathsBeyondTheSegmentLimitAreNotFound) {
    Routes routes{"/*rest"};
    EXPECT_EQ(routes.find(repeated("/a", RouteTree::kMaxSegments)), "/*rest");
    EXPECT_EQ(routes.find(repeated("/a", RouteTree::kMaxSegments + 1)), "-");
    EXPECT_EQ(routes.find(repeated("/", RouteTree::kMaxSegments + 1)), "-");
    EXPECT_EQ(routes.find(repeated("/%41", RouteTree::kMaxSegments + 1)), "-");
    EXPECT_EQ(routes.find(repeated("/a", 100'000)), "-");
    EXPECT_EQ(routes.find("/a" + repeated("/", 100'000)), "-");
}

TEST(RouteTreeTest, AMatchAllocatesNothing) {
    RouteTree tree;
    for (const std::string_view pattern : {"/users/:id/posts/:post", "/users/me", "/files/*rest"}) {
        ASSERT_TRUE(tree.insert(pattern).ok());
    }
    std::vector<PathParam> params;
    std::string scratch;
    size_t visits = 0;
    const auto run = [&] {
        size_t matched = 0;
        for (const std::string_view path :
             {"/users/a-rather-long-identifier-here/posts/another-rather-long-one"sv, "/users/me"sv,
              "/none"sv, "/files/a%20name/that%20is/longer%20than/a%20small%20string"sv,
              "/users/%41%41/posts/%zz"sv,
              "/users/%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41/posts/%C3%A9"sv,
              "/files/a%2fb"sv}) {
            const auto visit = [&](size_t) { return ++visits > 0; };
            if (tree.match(path, params, scratch, visit) == MatchResult::Matched) ++matched;
        }
        return matched;
    };
    EXPECT_EQ(run(), 4U);
    const size_t before = g_allocations;
    EXPECT_EQ(run(), 4U);
    EXPECT_EQ(g_allocations, before);
    EXPECT_EQ(visits, 8U);
}

// `count` patterns in three shapes, and the steps that finding each of them takes.
std::vector<size_t> stepsWithPatterns(size_t count) {
    Routes routes{"/api/v1/:kind/:id"};
    for (size_t i = 1; i < count; ++i) {
        const std::string number = std::to_string(i);
        const std::vector<std::string> shapes = {"/page" + number, "/api/v1/res" + number + "/:id",
                                                 "/dir" + number + "/*rest"};
        routes.add(shapes[i % shapes.size()]);
    }
    std::vector<size_t> steps;
    for (size_t i = 1; i < count; ++i) {
        const std::string number = std::to_string(i);
        const std::vector<std::string> paths = {"/page" + number, "/api/v1/res" + number + "/7",
                                                "/dir" + number + "/a/b/c"};
        EXPECT_NE(routes.find(paths[i % paths.size()]), "-");
        steps.push_back(routes.steps());
        EXPECT_EQ(routes.find("/none" + number), "-");
        steps.push_back(routes.steps());
    }
    return steps;
}

double mean(const std::vector<size_t>& values) {
    double sum = 0;
    for (const size_t value : values) sum += static_cast<double>(value);
    return sum / static_cast<double>(values.size());
}

// Steps, not time. They differ with the number of patterns by the luck of the hash only: a miss or a hit
// in a table that is at most half full takes 1.5 to 2.5 probes on average (Knuth, TAOCP 6.4).
TEST(RouteTreeTest, TheCostOfAMatchDoesNotGrowWithThePatterns) {
    const std::vector<size_t> few = stepsWithPatterns(10);
    const std::vector<size_t> many = stepsWithPatterns(10'000);
    EXPECT_LE(mean(many), mean(few) + 2.0);
    EXPECT_LE(mean(many), 8.0);
    EXPECT_LE(*std::max_element(many.begin(), many.end()), 60U);
}

// The same with one path, whose nodes are the same whatever else is in the tree.
TEST(RouteTreeTest, OtherPatternsDoNotAddNodesToASearch) {
    Routes few{"/:a/:b/*c"};
    Routes many{"/:a/:b/*c"};
    for (size_t i = 0; i < 10'000; ++i) many.add("/x/:b/r" + std::to_string(i));
    ASSERT_EQ(few.find("/1/2/3"), "/:a/:b/*c");
    ASSERT_EQ(many.find("/1/2/3"), "/:a/:b/*c");
    EXPECT_EQ(few.steps(), 4U) << "root, :a, :b, *c";
    EXPECT_GE(many.steps(), few.steps() + 1) << "the probe that finds no static child of the root";
    EXPECT_LE(many.steps(), few.steps() + 20);
}

// 32 bits of hash are not an identity. With this many nodes some share them (the square of their number is
// several times 2^32), and then a path must not be taken to another node's child.
TEST(RouteTreeTest, EqualHashesAreNotTakenForEqualPaths) {
    RouteTree tree;
    constexpr size_t kNodes = 300'000;
    for (size_t i = 0; i < kNodes; ++i) {
        ASSERT_TRUE(tree.insert("/" + std::to_string(i) + (i % 2 == 0 ? "/even" : "/odd")).ok());
    }
    std::vector<PathParam> params;
    std::string scratch;
    const auto accept = [](size_t) { return true; };
    for (size_t i = 0; i < kNodes; ++i) {
        const std::string path = "/" + std::to_string(i) + (i % 2 == 0 ? "/odd" : "/even");
        ASSERT_EQ(tree.match(path, params, scratch, accept), MatchResult::NotFound) << path;
    }
}

// All patterns of {a, :x} in six places: a path of a's visits every node once, and no more.
TEST(RouteTreeTest, TurningBackVisitsEachNodeAtMostOnce) {
    constexpr size_t kPlaces = 6;
    Routes routes{};
    for (size_t bits = 0; bits < (1U << kPlaces); ++bits) {
        std::string pattern;
        for (size_t place = 0; place < kPlaces; ++place) {
            pattern += (bits >> place & 1) != 0 ? "/:p" + std::to_string(place) : "/a";
        }
        routes.add(pattern);
    }
    const auto found = routes.findAll(repeated("/a", kPlaces));
    EXPECT_EQ(found.size(), 1U << kPlaces);
    EXPECT_EQ(found.front(), "/a/a/a/a/a/a");
    EXPECT_EQ(found.back(), "/:p0/:p1/:p2/:p3/:p4/:p5");
    const size_t nodes = (2U << kPlaces) - 1;
    EXPECT_GE(routes.steps(), nodes);
    EXPECT_LE(routes.steps(), nodes * 4);
    EXPECT_TRUE(routes.findAll(repeated("/a", kPlaces) + "/b").empty());
    EXPECT_LE(routes.steps(), nodes * 4);
}

// --- Against a matcher that is too simple to be wrong ---

class Reference {
public:
    void add(const std::string& pattern) { m_patterns.push_back(pattern); }

    std::vector<std::string> findAll(const std::string& path) const {
        std::map<std::string, std::string> byRank;  // a rank per segment: '0' static, '1' param, '2' rest
        for (const std::string& pattern : m_patterns) {
            std::string rank;
            if (matches(cut(pattern), cut(path), rank)) byRank[rank] = pattern;
        }
        std::vector<std::string> found;
        for (const auto& [rank, pattern] : byRank) found.push_back(pattern);
        return found;
    }

private:
    static std::vector<std::string> cut(const std::string& text) {
        std::vector<std::string> segments(1);
        for (const char c : text.substr(1)) {
            if (c == '/')
                segments.emplace_back();
            else
                segments.back() += c;
        }
        return segments;
    }

    static bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path,
                        std::string& rank) {
        for (size_t i = 0; i < pattern.size(); ++i) {
            if (i == path.size()) return false;
            const bool isRest = pattern[i][0] == '*';
            const bool isParam = pattern[i][0] == ':';
            rank += isRest ? '2' : isParam ? '1' : '0';
            if (isRest) return true;
            if (isParam ? path[i].empty() : pattern[i] != path[i]) return false;
        }
        return pattern.size() == path.size();
    }

    std::vector<std::string> m_patterns;
};

TEST(RouteTreeTest, AgreesWithTheReferenceOnRandomTrees) {
    std::mt19937 random(20240229);
    const auto pick = [&](const std::vector<std::string>& choices) {
        return choices[random() % choices.size()];
    };
    size_t matches = 0;
    for (int round = 0; round < 400; ++round) {
        Routes routes{};
        Reference reference;
        for (size_t i = 0; i < 1 + random() % 20; ++i) {
            std::string pattern;
            const size_t length = 1 + random() % 4;
            for (size_t place = 0; place < length; ++place) {
                pattern += "/" + pick({"a", "b", "c", ":p" + std::to_string(place)});
            }
            if (random() % 4 == 0) pattern += "/*rest";
            if (random() % 8 == 0 && pattern.find('*') == std::string::npos) pattern += "/";
            routes.add(pattern);
            reference.add(pattern);
        }
        for (int i = 0; i < 50; ++i) {
            std::string path;
            const size_t length = 1 + random() % 5;
            for (size_t place = 0; place < length; ++place) path += "/" + pick({"a", "b", "c", "d"});
            if (random() % 6 == 0) path += "/";
            const std::vector<std::string> expected = reference.findAll(path);
            EXPECT_EQ(routes.findAll(path), expected) << path;
            EXPECT_EQ(routes.find(path), expected.empty() ? "-" : expected.front()) << path;
            matches += expected.size();
        }
    }
    EXPECT_GT(matches, 5'000U);
}

// Bytes from outside, in any order: no sanitizer complaint, and a rest that is safe whenever there is one.
TEST(RouteTreeTest, SurvivesArbitraryPaths) {
    Routes routes{"/", "/a/:x", "/a/b", "/a/*rest", "/:p/:q/c", "/f/*rest", "/:p/f/*rest"};
    std::mt19937 random(7);
    const std::string_view alphabet = "/////aabbcf..%%2eEfF0Z";
    size_t rests = 0;
    for (int round = 0; round < 100'000; ++round) {
        std::string path = "/";
        const size_t length = random() % 24;
        for (size_t i = 0; i < length; ++i) path += alphabet[random() % alphabet.size()];
        const std::string found = routes.find(path);
        if (found.size() < 2) continue;
        for (const auto& [name, value] : routes.params()) {
            EXPECT_TRUE(value != "." && value != "..") << path;
            EXPECT_TRUE(name == "rest" || !value.empty()) << path;
            if (name != "rest") continue;
            ++rests;
            EXPECT_FALSE(hasDotSegments(percentEncode(value))) << path;
            EXPECT_NE(value.substr(0, 1), "/") << path;
        }
    }
    EXPECT_GT(rests, 1'000U);
}

}  // namespace
}  // namespace tnet
