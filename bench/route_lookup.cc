// route_lookup: what finding a route costs, with few and with many routes in the tree.
//
//   routes   what   steps/lookup   ns/lookup (the best of several rounds)
//
// Steps are nodes visited and hash slots probed; they say whether the cost grows with the routes, whatever
// the machine. Each lookup takes another path, so with many routes the tree's memory is touched all over.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "http/route_tree.h"

namespace {

using namespace tnet;

constexpr size_t kRounds = 7;
constexpr size_t kLookupsPerRound = 500'000;

struct Shape {
    std::string_view name;
    std::string_view beforeNumber;
    std::string_view patternAfter;
    std::string_view pathAfter;
};
constexpr Shape kShapes[] = {
    {"/pageN", "/page", "", ""},
    {"/api/v1/resN/:id", "/api/v1/res", "/:id", "/4711"},
    {"/usersN/:id/posts/:post", "/users", "/:id/posts/:post", "/4711/posts/1"},
    {"... with an escape", "/users", "/:id/posts/:post", "/47%3111/posts/1"},
    {"/filesN/*rest", "/files", "/*rest", "/css/site/main.css"},
    {"none", "/none", "", ""},
};
constexpr size_t kMissing = std::size(kShapes) - 1;  // the shape that is in no tree

std::string numbered(std::string_view before, size_t number, std::string_view after) {
    return std::string(before) + std::to_string(number) + std::string(after);
}

RouteTree makeTree(size_t routes) {
    RouteTree tree;
    for (size_t i = 0; i < routes; ++i) {
        const Shape& shape = kShapes[i % kMissing];
        if (!tree.insert(numbered(shape.beforeNumber, i, shape.patternAfter)).ok()) return RouteTree();
    }
    return tree;
}

// Paths that match, or for the last shape do not, in an order that no prefetcher guesses.
std::vector<std::string> makePaths(size_t routes, size_t shape) {
    constexpr size_t kStride = 7919;  // prime to every number of routes
    std::vector<std::string> paths;
    for (size_t i = 0; i < routes; ++i) {
        const size_t number = i * kStride % routes;
        if (shape == kMissing || number % kMissing == shape) {
            paths.push_back(numbered(kShapes[shape].beforeNumber, number, kShapes[shape].pathAfter));
        }
    }
    return paths;
}

void measure(const RouteTree& tree, size_t routes, size_t shape) {
    using Clock = std::chrono::steady_clock;
    const std::vector<std::string> paths = makePaths(routes, shape);
    std::vector<PathParam> params;
    std::string scratch;
    size_t found = 0;
    size_t steps = 0;
    const auto accept = [](size_t) { return true; };
    for (const std::string& path : paths) {
        size_t stepsOfOne = 0;
        if (tree.match(path, params, scratch, accept, &stepsOfOne) == MatchResult::Matched) ++found;
        steps += stepsOfOne;
    }

    double best = 1e9;
    for (size_t round = 0; round < kRounds; ++round) {
        const Clock::time_point start = Clock::now();
        size_t at = 0;
        for (size_t i = 0; i < kLookupsPerRound; ++i) {
            if (tree.match(paths[at], params, scratch, accept) == MatchResult::Matched) ++found;
            if (++at == paths.size()) at = 0;
        }
        const std::chrono::duration<double, std::nano> spent = Clock::now() - start;
        best = std::min(best, spent.count() / static_cast<double>(kLookupsPerRound));
    }
    const size_t expected = shape == kMissing ? 0 : paths.size() + kRounds * kLookupsPerRound;
    std::printf("%8zu   %-26s %6.2f %10.1f%s\n", routes, std::string(kShapes[shape].name).c_str(),
                static_cast<double>(steps) / static_cast<double>(paths.size()), best,
                found == expected ? "" : "   WRONG: not what was expected to match");
}

}  // namespace

int main() {
    std::printf("  routes   what                        steps  ns/lookup\n");
    for (const size_t routes : {size_t{10}, size_t{10'000}}) {
        const RouteTree tree = makeTree(routes);
        for (size_t shape = 0; shape < std::size(kShapes); ++shape) measure(tree, routes, shape);
    }
    return 0;
}
