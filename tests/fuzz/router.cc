// RouteTree against a matcher that tries each pattern by itself.
//
//     input: lines, the last of which is the path, the others patterns
#include "http/route_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/uri.h"
#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

std::vector<std::string> segmentsOf(std::string_view path) {
    std::vector<std::string> segments;
    for (path.remove_prefix(1);;) {
        const size_t slash = path.find('/');
        segments.emplace_back(path.substr(0, slash));
        if (slash == std::string_view::npos) return segments;
        path.remove_prefix(slash + 1);
    }
}

struct Outcome {
    MatchResult result = MatchResult::NotFound;
    std::vector<std::string> visits{};  // the pattern and the values of its parameters

    bool operator==(const Outcome&) const = default;
};

// A pattern that matches, and how it ranks: segment by segment, plain before :param before *rest.
struct Candidate {
    std::string rank{};
    std::string visit{};
    bool isMalformed = false;

    bool operator<(const Candidate& other) const { return rank < other.rank; }
};

std::optional<Candidate> tryPattern(const std::string& pattern, const std::vector<std::string>& path) {
    Candidate candidate;
    candidate.visit = pattern;
    const std::vector<std::string> segments = segmentsOf(pattern);
    for (size_t i = 0; i < segments.size(); ++i) {
        if (i == path.size()) return std::nullopt;
        if (segments[i].starts_with('*')) {
            std::string rest = path[i];
            candidate.isMalformed =
                (rest.empty() && i + 1 < path.size()) || rest.find('/') != std::string::npos;
            for (size_t k = i + 1; k < path.size(); ++k) {
                candidate.isMalformed = candidate.isMalformed || path[k].find('/') != std::string::npos;
                rest += "/" + path[k];
            }
            candidate.rank += '2';
            candidate.visit += " " + rest;
            return candidate;
        }
        const bool isParam = segments[i].starts_with(':');
        if (isParam ? path[i].empty() : segments[i] != path[i]) return std::nullopt;
        candidate.rank += isParam ? '1' : '0';
        if (isParam) candidate.visit += " " + path[i];
    }
    if (segments.size() != path.size()) return std::nullopt;
    return candidate;
}

Outcome plainMatch(const std::vector<std::string>& patterns, std::string_view path) {
    if (!path.starts_with('/')) return {};
    std::vector<std::string> segments;
    for (const std::string& raw : segmentsOf(path)) {
        if (segments.size() == RouteTree::kMaxSegments) return {};
        std::string decoded;
        const bool isGood = percentDecode(raw, decoded, PlusRule::Keep);
        if (!isGood || decoded == "." || decoded == "..") return {MatchResult::Malformed, {}};
        segments.push_back(decoded);
    }
    std::vector<Candidate> candidates;
    for (const std::string& pattern : patterns) {
        if (auto candidate = tryPattern(pattern, segments)) candidates.push_back(*candidate);
    }
    std::sort(candidates.begin(), candidates.end());
    Outcome outcome;
    for (const Candidate& candidate : candidates) {
        if (candidate.isMalformed) {
            outcome.result = MatchResult::Malformed;
            return outcome;
        }
        outcome.visits.push_back(candidate.visit);
    }
    return outcome;
}

Outcome treeMatch(const RouteTree& tree, const std::vector<std::string>& patterns, std::string_view path) {
    Outcome outcome;
    std::vector<PathParam> params;
    std::string scratch;
    outcome.result = tree.match(path, params, scratch, [&](size_t index) {
        std::string visit = patterns.at(index);
        for (const PathParam& param : params) visit.append(" ").append(param.value);
        outcome.visits.push_back(visit);
        return false;
    });
    return outcome;
}

void run(FuzzInput input) {
    RouteTree tree;
    std::vector<std::string> patterns;
    std::string_view line = input.line();
    while (!input.empty()) {
        if (const auto index = tree.insert(line)) {
            EXPECT_LE(*index, patterns.size());
            if (*index == patterns.size()) patterns.emplace_back(line);
        }
        line = input.line();
    }
    // No parser lets one through.
    if (line.find('\0') != std::string_view::npos) return;
    const Outcome expected = plainMatch(patterns, line);
    const Outcome found = treeMatch(tree, patterns, line);
    EXPECT_EQ(found.result, expected.result) << line;
    EXPECT_EQ(found.visits, expected.visits) << line;
}

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::run(tnet::FuzzInput(data, size));
    return 0;
}
