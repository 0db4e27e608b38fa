#include "websocket/topic_tree.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "websocket/utf8.h"

namespace tnet {
namespace {

constexpr uint32_t kNoLink = UINT32_MAX;

bool isWildcard(char c) { return c == '+' || c == '#'; }

// What topics and filters have in common.
bool isValidName(std::string_view name) {
    if (name.empty() || name.size() > kMaxTopicBytes) return false;
    if (std::count(name.begin(), name.end(), '/') >= static_cast<std::ptrdiff_t>(kMaxTopicLevels))
        return false;
    return name.find('\0') == std::string_view::npos && isValidUtf8(name);
}

// Whether the byte at `at` begins and ends its level.
bool isWholeLevel(std::string_view filter, size_t at) {
    const bool begins = at == 0 || filter[at - 1] == '/';
    const bool ends = at + 1 == filter.size() || filter[at + 1] == '/';
    return begins && ends;
}

template <class T>
void reserveOneMore(std::vector<T>& values) {
    if (values.size() == values.capacity()) values.reserve(std::max<size_t>(2 * values.size(), 1));
}

// Keeps the capacity in proportion to the size, at a cost that is paid for by the removals since.
template <class T>
void giveBackMemory(std::vector<T>& values) {
    if (values.size() <= values.capacity() / 4) values.shrink_to_fit();
}

// As that, it does without if there is no memory to do it with.
template <class Set>
void giveBackBuckets(Set& values) {
    if (values.size() > values.bucket_count() / 8) return;
    try {
        values.rehash(0);
    } catch (const std::bad_alloc&) {
        return;
    }
}

}  // namespace

bool isValidTopic(std::string_view topic) {
    return isValidName(topic) && std::none_of(topic.begin(), topic.end(), isWildcard);
}

bool isValidTopicFilter(std::string_view filter) {
    if (!isValidName(filter)) return false;
    for (size_t i = 0; i < filter.size(); ++i) {
        if (isWildcard(filter[i]) && !isWholeLevel(filter, i)) return false;
        if (filter[i] == '#' && i + 1 != filter.size()) return false;
    }
    return true;
}

// --- Levels ---

struct WsTopicTree::Level {
    std::string_view text() const { return {data, bytes}; }

    const char* data;
    size_t bytes;
    uint64_t hash;
};

// Of a valid topic or filter, which they view. All are hashed once, up front: a search that goes through many
// nodes of one depth asks for the same level again and again, and peers choose how long it is.
struct WsTopicTree::Levels {
    Levels(std::string_view name, SipHashKey key) {
        for (size_t start = 0; start <= name.size();) {
            assert(count < kMaxTopicLevels && "a valid name has no more levels");
            const size_t end = std::min(name.find('/', start), name.size());
            const std::string_view text = name.substr(start, end - start);
            levels[count++] = {text.data(), text.size(), sipHash(key, text)};
            start = end + 1;
        }
    }

    const Level* begin() const { return levels.data(); }
    const Level* end() const { return levels.data() + count; }

    size_t count = 0;
    std::array<Level, kMaxTopicLevels> levels;  // not set beyond count: a search must not pay for all
};

size_t WsTopicTree::HashLevel::operator()(const Level& level) const {
    return static_cast<size_t>(level.hash);
}

size_t WsTopicTree::HashLevel::operator()(const std::unique_ptr<Node>& node) const {
    return static_cast<size_t>(node->textHash);
}

bool WsTopicTree::SameLevel::operator()(const Level& level, const std::unique_ptr<Node>& node) const {
    return level.text() == node->text;
}

bool WsTopicTree::SameLevel::operator()(const std::unique_ptr<Node>& one,
                                        const std::unique_ptr<Node>& other) const {
    return one->text == other->text;
}

// --- Subscribers ---

struct WsSubscriber::Link {
    WsTopicTree::Node* node;
    uint32_t index;  // in the node's subscribers
};

WsSubscriber::WsSubscriber() = default;

WsSubscriber::~WsSubscriber() { assert(!m_links && "a subscriber is unsubscribed before it is destroyed"); }

// --- The tree ---

WsTopicTree::WsTopicTree() : m_hashKey(SipHashKey::random()) {}

WsTopicTree::~WsTopicTree() {
    assert(m_subscriptions == 0 && "subscribers are unsubscribed before their tree is destroyed");
}

WsTopicTree::Subscribed WsTopicTree::subscribe(std::string_view filter, WsSubscriber& subscriber) {
    if (!isValidTopicFilter(filter)) return Subscribed::Invalid;
    Node* node = &m_root;
    try {
        for (const Level& level : Levels(filter, m_hashKey)) node = &childFor(*node, level);
        if (linkIndexOf(*node, subscriber) != kNoLink) return Subscribed::AlreadyThere;
        makeRoomFor(*node, subscriber);
    } catch (const std::bad_alloc&) {
        prune(node);
        throw;
    }
    node->linkIndexes.push_back(static_cast<uint32_t>(subscriber.m_links->size()));
    subscriber.m_links->push_back({node, static_cast<uint32_t>(node->subscribers.size())});
    node->subscribers.push_back(&subscriber);
    ++m_subscriptions;
    return Subscribed::Added;
}

// Throws, or nothing that follows does.
void WsTopicTree::makeRoomFor(Node& node, WsSubscriber& subscriber) {
    reserveOneMore(node.linkIndexes);
    reserveOneMore(node.subscribers);
    if (subscriber.m_links) return reserveOneMore(*subscriber.m_links);
    auto links = std::make_unique<std::vector<WsSubscriber::Link>>();
    links->reserve(1);
    subscriber.m_links = std::move(links);
    subscriber.m_stamp = m_stamp;  // it comes after the match that is under way
}

bool WsTopicTree::unsubscribe(std::string_view filter, WsSubscriber& subscriber) {
    const Node* const node = find(filter);
    if (node == nullptr) return false;
    const uint32_t linkIndex = linkIndexOf(*node, subscriber);
    if (linkIndex == kNoLink) return false;
    remove(subscriber, linkIndex);
    return true;
}

void WsTopicTree::unsubscribeAll(WsSubscriber& subscriber) {
    while (subscriber.m_links) remove(subscriber, static_cast<uint32_t>(subscriber.m_links->size() - 1));
}

size_t WsTopicTree::subscribers(std::string_view filter) const {
    const Node* const node = find(filter);
    return node == nullptr ? 0 : node->subscribers.size();
}

size_t WsTopicTree::subscriptions(const WsSubscriber& subscriber) const {
    return subscriber.m_links ? subscriber.m_links->size() : 0;
}

std::vector<std::string> WsTopicTree::filters(const WsSubscriber& subscriber) const {
    std::vector<std::string> filters;
    if (!subscriber.m_links) return filters;
    for (const WsSubscriber::Link& link : *subscriber.m_links) {
        std::string& filter = filters.emplace_back(link.node->text);
        for (const Node* node = link.node->parent; node->parent != nullptr; node = node->parent) {
            filter.insert(0, node->text + "/");
        }
    }
    return filters;
}

const WsTopicTree::Node* WsTopicTree::find(std::string_view filter) const {
    if (!isValidTopicFilter(filter)) return nullptr;
    const Node* node = &m_root;
    for (const Level& level : Levels(filter, m_hashKey)) {
        if (level.text() == "+") {
            node = node->plus.get();
        } else if (level.text() == "#") {
            node = node->hash.get();
        } else {
            const auto child = node->literals.find(level);
            node = child == node->literals.end() ? nullptr : child->get();
        }
        if (node == nullptr) return nullptr;
    }
    return node;
}

// Made if it is not there.
WsTopicTree::Node& WsTopicTree::childFor(Node& parent, const Level& level) {
    const auto make = [&parent, &level] {
        auto node = std::make_unique<Node>();
        node->parent = &parent;
        node->text = level.text();
        node->textHash = level.hash;
        return node;
    };
    if (level.text() == "+" || level.text() == "#") {
        std::unique_ptr<Node>& child = level.text() == "+" ? parent.plus : parent.hash;
        if (!child) child = make();
        return *child;
    }
    const auto present = parent.literals.find(level);
    return present != parent.literals.end() ? **present : **parent.literals.insert(make()).first;
}

// Of the subscriber's link to the node, kNoLink if there is none: the shorter list tells.
uint32_t WsTopicTree::linkIndexOf(const Node& node, const WsSubscriber& subscriber) {
    if (!subscriber.m_links) return kNoLink;
    if (node.subscribers.size() < subscriber.m_links->size()) {
        const auto found = std::find(node.subscribers.begin(), node.subscribers.end(), &subscriber);
        if (found == node.subscribers.end()) return kNoLink;
        return node.linkIndexes[static_cast<size_t>(found - node.subscribers.begin())];
    }
    const auto leadsThere = [&node](const WsSubscriber::Link& link) { return link.node == &node; };
    const auto found = std::find_if(subscriber.m_links->begin(), subscriber.m_links->end(), leadsThere);
    if (found == subscriber.m_links->end()) return kNoLink;
    return static_cast<uint32_t>(found - subscriber.m_links->begin());
}

// In both lists, the last one takes the place of the one that goes, and its counterpart learns of it.
void WsTopicTree::remove(WsSubscriber& subscriber, uint32_t linkIndex) {
    std::vector<WsSubscriber::Link>& links = *subscriber.m_links;
    const WsSubscriber::Link gone = links[linkIndex];
    Node& node = *gone.node;

    WsSubscriber* const lastSubscriber = node.subscribers.back();
    const uint32_t itsLinkIndex = node.linkIndexes.back();
    node.subscribers[gone.index] = lastSubscriber;
    node.linkIndexes[gone.index] = itsLinkIndex;
    (*lastSubscriber->m_links)[itsLinkIndex].index = gone.index;
    node.subscribers.pop_back();
    node.linkIndexes.pop_back();
    node.toVisit = std::min(node.toVisit, static_cast<uint32_t>(node.subscribers.size()));
    giveBackMemory(node.subscribers);
    giveBackMemory(node.linkIndexes);

    if (linkIndex + 1 != links.size()) {
        links[linkIndex] = links.back();
        links[linkIndex].node->linkIndexes[links[linkIndex].index] = linkIndex;
    }
    links.pop_back();
    giveBackMemory(links);
    if (links.empty()) subscriber.m_links.reset();

    --m_subscriptions;
    prune(&node);
}

// Removes the node if it is empty, and then its parents as far as they have become so.
void WsTopicTree::prune(Node* node) {
    while (node->parent != nullptr && node->isEmpty()) {
        Node& parent = *node->parent;
        node->leaveMatch();
        if (node == parent.plus.get()) {
            parent.plus.reset();
        } else if (node == parent.hash.get()) {
            parent.hash.reset();
        } else {
            const Level level{node->text.data(), node->text.size(), node->textHash};
            parent.literals.erase(parent.literals.find(level));
            giveBackBuckets(parent.literals);
        }
        node = &parent;
    }
}

// --- Matching ---

void WsTopicTree::Node::leaveMatch() {
    if (matchingAt == nullptr) return;
    *matchingAt = nextMatching;
    if (nextMatching != nullptr) nextMatching->matchingAt = matchingAt;
    matchingAt = nullptr;
    toVisit = 0;
}

// One search for the filters that match a topic. Nodes are reached by one way only, so each is visited at most
// once.
class WsTopicTree::Search {
public:
    Search(std::string_view topic, const Levels& levels, Node** list)
        : m_levels(levels), m_beginsWithDollar(topic.front() == '$'), m_list(list) {}

    // What the first `depth` levels have led to. Recursion ends at kMaxTopicLevels.
    void descend(Node& node, size_t depth) {
        ++m_nodes;
        const bool takesWildcards = depth > 0 || !m_beginsWithDollar;  // MQTT-4.7.2-1
        if (node.hash && takesWildcards) add(*node.hash);
        if (depth == m_levels.count) {
            add(node);
            return;
        }
        if (!node.literals.empty()) {
            const auto child = node.literals.find(m_levels.levels[depth]);
            if (child != node.literals.end()) descend(**child, depth + 1);
        }
        if (node.plus && takesWildcards) descend(*node.plus, depth + 1);
    }

    size_t nodes() const { return m_nodes; }

private:
    void add(Node& node) {
        if (node.subscribers.empty()) return;
        node.nextMatching = *m_list;
        if (node.nextMatching != nullptr) node.nextMatching->matchingAt = &node.nextMatching;
        node.matchingAt = m_list;
        node.toVisit = static_cast<uint32_t>(node.subscribers.size());
        *m_list = &node;
    }

    const Levels& m_levels;
    const bool m_beginsWithDollar;
    Node** const m_list;
    size_t m_nodes = 0;
};

size_t WsTopicTree::beginMatch(std::string_view topic) {
    while (m_matching != nullptr) m_matching->leaveMatch();
    ++m_stamp;
    if (!isValidTopic(topic)) return 0;
    const Levels levels(topic, m_hashKey);
    Search search(topic, levels, &m_matching);
    search.descend(m_root, 0);
    return search.nodes();
}

}  // namespace tnet
