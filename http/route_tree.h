// RouteTree: which patterns match a path, the most specific first.
//
//   insert("/users/:id/posts")  ─▶ index          "users" ── :id ── "posts" ●
//   insert("/users/me")         ─▶ index                 └── "me" ●
//   insert("/files/*rest")      ─▶ index          "files" ── *rest ●
//
// A pattern is made of segments between slashes. A plain segment matches itself, ':name' one whole
// segment that is not empty, '*name' (last only) all that remains, even if that is nothing: "/files/*rest"
// matches "/files/" with rest == "", but not "/files". A slash at the end counts: "/a" and "/a/" differ.
// Patterns are written decoded ("/café", "/a b"); paths are matched as they came, percent-encoded.
//
// Two patterns that match a path are ranked segment by segment from the left: plain before :param before
// *rest. What a match costs depends on the path's segments and on the patterns that agree with it from
// the left (each node of theirs is visited at most once), not on how many others there are.
//
// Threads: insert first; match is const and may then run on any thread.
// Lifetime: the tree owns the names of parameters; see PathParam.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tnet/result.h"

namespace tnet {

struct PathParam {
    std::string_view name;  // valid as long as the tree, also after it was moved
    // Decoded, valid as long as the `path` and the unchanged `scratch` that match was given.
    // A ':param' is never empty, "." or "..", but it may hold a slash that came as %2F: look at it before
    // it becomes part of a file's name. A '*rest' is safe to append to a directory: match sees to that.
    std::string_view value;
};

enum class MatchResult {
    Matched,    // the visitor accepted
    NotFound,   // no pattern matches, or the visitor declined all that do
    Malformed,  // the path is not one that can be matched safely: see match
};

class RouteTree {
public:
    // Of a pattern and of a path, so that no peer decides how deep the search goes.
    static constexpr size_t kMaxSegments = 64;

    RouteTree();
    RouteTree(RouteTree&&) = default;
    RouteTree& operator=(RouteTree&&) = default;

    // The pattern's index: 0, 1, 2, ... in the order of insertion; the same one for the same text again.
    // Errors, after which the tree is unchanged: invalid_argument for a malformed pattern (it does not
    // begin with '/', or has an empty segment before its end, a dot segment, a name that is empty, used
    // twice or not of letters, digits and '_', a '*' that does not begin the last segment, a '%', '?',
    // '#' or control byte, or too many segments); file_exists if a pattern that differs only in the
    // names of its parameters is there: the message has both.
    Result<size_t> insert(std::string_view pattern);

    // Calls visit(index), most specific first, for the patterns that match until it returns true; params
    // are those of the visited pattern, left to right, and stay if it is accepted, else they end empty.
    // So a visitor that looks for a method finds the most specific route that has it, and one that
    // declines all has seen every pattern that matches, as Allow wants them (RFC 9110 §15.5.6).
    //
    // `path`: raw, without the query, as parseTarget gives it. Segments are split at raw slashes and then
    // decoded once. Malformed, before any visit: a malformed escape, %00, or a segment that is "." or
    // ".." once decoded, because whoever stands before us may have taken the path for the one it resolves
    // to (RFC 3986 §5.2.4). Malformed, when a '*rest' is reached: a remainder with an encoded slash, which
    // decoded would be mistaken for a real one, or with a slash at its front, which a file path's join
    // takes for the root. NotFound: a path that does not begin with '/' or has more than kMaxSegments.
    //
    // `params` and `scratch` are the caller's to keep from call to call: with their capacity grown,
    // matching allocates nothing. `path` must not view `scratch`. `steps`, if given, is set to the number
    // of nodes visited and hash slots probed. What visit throws passes through.
    template <class Visitor>
    MatchResult match(std::string_view path, std::vector<PathParam>& params, std::string& scratch,
                      Visitor&& visit, size_t* steps = nullptr) const {
        using Visited = std::remove_reference_t<Visitor>;
        const VisitRef ref{
            const_cast<void*>(static_cast<const void*>(std::addressof(visit))),
            [](void* visitor, size_t index) -> bool { return (*static_cast<Visited*>(visitor))(index); }};
        return matchPath(path, params, scratch, ref, steps);
    }

private:
    // A reference to the caller's visitor: a std::function could allocate.
    struct VisitRef {
        void* visitor;
        bool (*call)(void* visitor, size_t index);
    };
    static constexpr uint32_t kNoPattern = UINT32_MAX;
    // Nodes name each other by index. The root is 0 and nobody's child, so that 0 also says "none".
    struct Node {
        uint32_t parent = 0;
        uint32_t paramChild = 0;
        uint32_t restChild = 0;
        uint32_t pattern = kNoPattern;  // that ends here
        uint32_t firstName = 0;         // } its parameters'
        uint16_t nameCount = 0;         // } names in m_names
        bool hasStaticChildren = false;
        std::string segment;  // of a static child; empty for the others
    };
    // A static child of any node, found by parent and segment; open addressing, linear probing.
    struct Slot {
        uint32_t hash = 0;
        uint32_t child = 0;  // 0: free
    };
    struct Split;
    class Search;

    MatchResult matchPath(std::string_view path, std::vector<PathParam>& params, std::string& scratch,
                          VisitRef visit, size_t* steps) const;
    uint32_t findStatic(uint32_t parent, std::string_view segment, size_t& steps) const;
    uint32_t childFor(uint32_t parent, std::string_view segment);
    uint32_t addNode(uint32_t parent, std::string_view segment);
    void addSlot(Slot slot);

    std::vector<Node> m_nodes;
    std::vector<Slot> m_slots;  // a power of two of them, at most half used
    size_t m_usedSlots = 0;
    size_t m_longestSegment = 0;            // of the static ones: a peer's longer one is not even hashed
    std::deque<std::string> m_patterns;     // a deque, for growing it does not move the texts...
    std::vector<std::string_view> m_names;  // ...that these view
};

}  // namespace tnet
