#include "http/route_tree.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "http/uri.h"

namespace tnet {
namespace {

constexpr uint32_t kRoot = 0;
constexpr uint32_t kNone = 0;
constexpr size_t kFirstSlots = 16;

bool isParam(std::string_view segment) { return !segment.empty() && segment[0] == ':'; }

bool isRest(std::string_view segment) { return !segment.empty() && segment[0] == '*'; }

bool isDotSegment(std::string_view segment) {
    const bool isShort = segment.size() == 1 || segment.size() == 2;
    return isShort && segment.front() == '.' && segment.back() == '.';
}

bool isNameByte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool isForbiddenInPattern(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F || c == '%' || c == '?' || c == '#';
}

// `pattern` begins with '/'.
std::vector<std::string_view> segmentsOf(std::string_view pattern) {
    std::vector<std::string_view> segments;
    size_t start = 1;
    for (size_t end = pattern.find('/', start); end != std::string_view::npos;
         end = pattern.find('/', start)) {
        segments.push_back(pattern.substr(start, end - start));
        start = end + 1;
    }
    segments.push_back(pattern.substr(start));
    return segments;
}

std::vector<std::string_view> namesOf(std::string_view pattern) {
    std::vector<std::string_view> names;
    for (const std::string_view segment : segmentsOf(pattern)) {
        if (isParam(segment) || isRest(segment)) names.push_back(segment.substr(1));
    }
    return names;
}

// What is wrong with a segment by itself; empty if nothing is.
std::string_view flawOfSegment(std::string_view segment, bool isLast) {
    if (segment.empty() && !isLast) return "empty segment";
    if (isDotSegment(segment)) return "dot segment";
    if (isRest(segment) && !isLast) return "'*' before the last segment";
    if (!isParam(segment) && !isRest(segment)) {
        return segment.find('*') == std::string_view::npos ? "" : "'*' inside a segment";
    }
    const std::string_view name = segment.substr(1);
    if (name.empty()) return "parameter without a name";
    if (!std::all_of(name.begin(), name.end(), isNameByte)) {
        return "a parameter's name has letters, digits and '_' only";
    }
    return "";
}

std::string_view flawOf(std::string_view pattern) {
    if (pattern.empty() || pattern[0] != '/') return "does not begin with '/'";
    if (std::any_of(pattern.begin(), pattern.end(), isForbiddenInPattern)) {
        return "'%', '?', '#' or a control byte (patterns are written decoded, without a query)";
    }
    const std::vector<std::string_view> segments = segmentsOf(pattern);
    if (segments.size() > RouteTree::kMaxSegments) return "too many segments";
    for (size_t i = 0; i < segments.size(); ++i) {
        const std::string_view flaw = flawOfSegment(segments[i], i + 1 == segments.size());
        if (!flaw.empty()) return flaw;
    }
    std::vector<std::string_view> names = namesOf(pattern);
    std::sort(names.begin(), names.end());
    if (std::adjacent_find(names.begin(), names.end()) != names.end()) return "parameter name used twice";
    return "";
}

std::string quoted(std::string_view pattern) { return "'" + std::string(pattern) + "'"; }

// FNV-1a, begun with the parent, the good bits moved down. Who fills the table is us, so nobody can aim at
// its collisions.
uint32_t hashOf(uint32_t parent, std::string_view segment) {
    constexpr uint64_t kOffset = 0xCBF29CE484222325;
    constexpr uint64_t kPrime = 0x100000001B3;
    constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;  // 2^64 / the golden ratio: Fibonacci hashing
    uint64_t hash = kOffset ^ (parent * kGolden);
    for (const char c : segment) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
    return static_cast<uint32_t>((hash * kGolden) >> 32);
}

}  // namespace

// A path cut into decoded segments.
struct RouteTree::Split {
    struct Segment {
        size_t start;  // in `text`
        size_t size;
    };

    // Matched: it can be searched for.
    MatchResult cut(std::string_view path, std::string& scratch);

    std::string_view segment(size_t index) const {
        return text.substr(segments[index].start, segments[index].size);
    }
    std::string_view textFrom(size_t index) const { return text.substr(segments[index].start); }

    std::string_view text;  // decoded: `path` itself if it has no '%', else `scratch`
    size_t count = 0;
    size_t encodedSlashes = 0;  // how many segments it takes from the left to have all that hold one
    std::array<Segment, kMaxSegments> segments;  // not set beyond count: a search must not pay for all

private:
    MatchResult cutEscaped(std::string_view path, std::string& scratch);
    bool addDecoded(std::string_view raw, std::string& scratch);
};

MatchResult RouteTree::Split::cut(std::string_view path, std::string& scratch) {
    if (path.empty() || path[0] != '/') return MatchResult::NotFound;
    for (size_t start = 1; start <= path.size();) {
        if (count == kMaxSegments) return MatchResult::NotFound;
        size_t end = start;
        while (end < path.size() && path[end] != '/' && path[end] != '%') ++end;
        if (end < path.size() && path[end] == '%') return cutEscaped(path, scratch);
        if (isDotSegment(path.substr(start, end - start))) return MatchResult::Malformed;
        segments[count++] = {start, end - start};
        start = end + 1;
    }
    text = path;
    return MatchResult::Matched;
}

MatchResult RouteTree::Split::cutEscaped(std::string_view path, std::string& scratch) {
    count = 0;
    scratch.clear();
    scratch.reserve(path.size());  // decoding never lengthens
    for (size_t start = 1; start <= path.size();) {
        if (count == kMaxSegments) return MatchResult::NotFound;
        const size_t end = std::min(path.find('/', start), path.size());
        if (!addDecoded(path.substr(start, end - start), scratch)) return MatchResult::Malformed;
        start = end + 1;
    }
    text = scratch;
    return MatchResult::Matched;
}

// Appends '/' and the segment to what is decoded already. False if it is malformed.
bool RouteTree::Split::addDecoded(std::string_view raw, std::string& scratch) {
    scratch.push_back('/');
    const size_t start = scratch.size();
    if (!percentDecode(raw, scratch, PlusRule::Keep)) return false;
    const std::string_view decoded = std::string_view(scratch).substr(start);
    segments[count++] = {start, decoded.size()};
    if (decoded.find('/') != std::string_view::npos) encodedSlashes = count;
    return !isDotSegment(decoded);
}

// One search, depth first, the more specific child first.
class RouteTree::Search {
public:
    Search(const RouteTree& tree, const Split& split, std::vector<PathParam>& params, VisitRef visit)
        : m_tree(tree), m_split(split), m_params(params), m_visit(visit) {}

    // What the nodes at and below `index` come to, which the first `depth` segments have led to. Recursion
    // ends at kMaxSegments.
    MatchResult descend(uint32_t index, size_t depth) {
        ++m_steps;
        const Node& node = m_tree.m_nodes[index];
        if (depth == m_split.count) return visit(node);
        MatchResult result = descendStatic(index, node, depth);
        if (result == MatchResult::NotFound) result = descendParam(node, depth);
        if (result == MatchResult::NotFound) result = visitRest(node, depth);
        return result;
    }

    size_t steps() const { return m_steps; }

private:
    MatchResult descendStatic(uint32_t index, const Node& node, size_t depth) {
        if (!node.hasStaticChildren) return MatchResult::NotFound;
        const uint32_t child = m_tree.findStatic(index, m_split.segment(depth), m_steps);
        return child == kNone ? MatchResult::NotFound : descend(child, depth + 1);
    }

    MatchResult descendParam(const Node& node, size_t depth) {
        const std::string_view value = m_split.segment(depth);
        if (node.paramChild == kNone || value.empty()) return MatchResult::NotFound;
        m_params.push_back({{}, value});
        const MatchResult result = descend(node.paramChild, depth + 1);
        if (result == MatchResult::NotFound) m_params.pop_back();
        return result;
    }

    MatchResult visitRest(const Node& node, size_t depth) {
        if (node.restChild == kNone) return MatchResult::NotFound;
        ++m_steps;
        const std::string_view rest = m_split.textFrom(depth);
        const bool hasEncodedSlash = m_split.encodedSlashes > depth;
        if (hasEncodedSlash || (!rest.empty() && rest[0] == '/')) return MatchResult::Malformed;
        m_params.push_back({{}, rest});
        const MatchResult result = visit(m_tree.m_nodes[node.restChild]);
        if (result == MatchResult::NotFound) m_params.pop_back();
        return result;
    }

    MatchResult visit(const Node& node) {
        if (node.pattern == kNoPattern) return MatchResult::NotFound;
        // Patterns that share a node may name its parameter differently, so the names are known only now.
        for (size_t i = 0; i < node.nameCount; ++i) m_params[i].name = m_tree.m_names[node.firstName + i];
        return m_visit.call(m_visit.visitor, node.pattern) ? MatchResult::Matched : MatchResult::NotFound;
    }

    const RouteTree& m_tree;
    const Split& m_split;
    std::vector<PathParam>& m_params;
    const VisitRef m_visit;
    size_t m_steps = 0;
};

RouteTree::RouteTree() : m_nodes(1), m_slots(kFirstSlots) {}

Result<size_t> RouteTree::insert(std::string_view pattern) {
    const std::string_view flaw = flawOf(pattern);
    if (!flaw.empty()) {
        return makeError(std::errc::invalid_argument, "route " + quoted(pattern) + ": " + std::string(flaw));
    }
    uint32_t at = kRoot;
    for (const std::string_view segment : segmentsOf(pattern)) at = childFor(at, segment);

    Node& node = m_nodes[at];
    if (node.pattern != kNoPattern) {
        const std::string& present = m_patterns[node.pattern];
        if (present == pattern) return size_t{node.pattern};
        return makeError(std::errc::file_exists, "route " + quoted(pattern) + " differs from " +
                                                     quoted(present) + " only in its names");
    }
    const std::vector<std::string_view> names = namesOf(m_patterns.emplace_back(pattern));
    node.pattern = static_cast<uint32_t>(m_patterns.size() - 1);
    node.firstName = static_cast<uint32_t>(m_names.size());
    node.nameCount = static_cast<uint16_t>(names.size());
    m_names.insert(m_names.end(), names.begin(), names.end());
    return size_t{node.pattern};
}

// The child that a pattern's segment leads to, made if it is not there.
uint32_t RouteTree::childFor(uint32_t parent, std::string_view segment) {
    if (isParam(segment) || isRest(segment)) {
        const auto child = isParam(segment) ? &Node::paramChild : &Node::restChild;
        if (m_nodes[parent].*child == kNone) {
            const uint32_t added = addNode(parent, {});
            m_nodes[parent].*child = added;
        }
        return m_nodes[parent].*child;
    }
    size_t ignoredSteps = 0;
    const uint32_t present = findStatic(parent, segment, ignoredSteps);
    if (present != kNone) return present;
    const uint32_t added = addNode(parent, segment);
    m_nodes[parent].hasStaticChildren = true;
    m_longestSegment = std::max(m_longestSegment, segment.size());
    addSlot({hashOf(parent, segment), added});
    return added;
}

uint32_t RouteTree::addNode(uint32_t parent, std::string_view segment) {
    Node& node = m_nodes.emplace_back();
    node.parent = parent;
    node.segment = segment;
    return static_cast<uint32_t>(m_nodes.size() - 1);
}

uint32_t RouteTree::findStatic(uint32_t parent, std::string_view segment, size_t& steps) const {
    if (segment.size() > m_longestSegment) return kNone;
    const uint32_t hash = hashOf(parent, segment);
    const size_t mask = m_slots.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        ++steps;
        const Slot slot = m_slots[i];
        if (slot.child == kNone) return kNone;
        if (slot.hash != hash) continue;
        const Node& node = m_nodes[slot.child];
        if (node.parent == parent && node.segment == segment) return slot.child;
    }
}

void RouteTree::addSlot(Slot slot) {
    if ((m_usedSlots + 1) * 2 > m_slots.size()) {
        std::vector<Slot> old(m_slots.size() * 2);
        old.swap(m_slots);
        m_usedSlots = 0;
        for (const Slot& moved : old) {
            if (moved.child != kNone) addSlot(moved);
        }
    }
    const size_t mask = m_slots.size() - 1;
    size_t i = slot.hash & mask;
    while (m_slots[i].child != kNone) i = (i + 1) & mask;
    m_slots[i] = slot;
    ++m_usedSlots;
}

MatchResult RouteTree::matchPath(std::string_view path, std::vector<PathParam>& params, std::string& scratch,
                                 VisitRef visit, size_t* steps) const {
    params.clear();
    Split split;
    Search search(*this, split, params, visit);
    MatchResult result = split.cut(path, scratch);
    if (result == MatchResult::Matched) result = search.descend(kRoot, 0);
    if (result != MatchResult::Matched) params.clear();
    if (steps != nullptr) *steps = search.steps();
    return result;
}

}  // namespace tnet
