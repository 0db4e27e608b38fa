// WsTopicTree: who subscribed to which topics.
//
//   subscribe("sport/+/score", ann)  ─▶        "sport" ── + ── "score" [ann]
//   subscribe("sport/#", bob)        ─▶           │  └── # [bob]
//   subscribe("sport/tennis", ann)   ─▶           └── "tennis" [ann]
//
//   match("sport/tennis/score")      ─▶  visit(ann), visit(bob)
//
// Topics and filters are those of MQTT 5 §4.7: levels between slashes, which may be empty ("/a" has two).
// In a filter, '+' stands for exactly one level and '#' for its parent and all that is below: "sport/#"
// matches "sport", "sport/" and "sport/tennis/score". A filter that begins with one of them matches no topic
// that begins with '$' (MQTT-4.7.2-1). Letters are compared as bytes. "$share/" has no special meaning.
//
// What a match costs: each node that agrees with the topic from the left is visited once, so filters full of
// '+' cost no more than there are of them; then one step per subscription that matches, along arrays of
// pointers. Nodes go with their last subscription, and memory goes down with what is left. Peers choose the
// names, so the tables' hashes are keyed.
//
// Threads: one, that of the loop whose subscribers these are.
// Lifetime: the tree keeps pointers to subscribers; whoever subscribed has to be unsubscribed before either
// of the two is destroyed.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "websocket/sip_hash.h"

namespace tnet {

// Of topics and of filters. MQTT has 65535 bytes and no limit on levels.
constexpr size_t kMaxTopicBytes = 1024;
constexpr size_t kMaxTopicLevels = 32;

// Whether it can be published to: 1 to kMaxTopicBytes bytes of UTF-8 with neither NUL, '+' nor '#', and at
// most kMaxTopicLevels levels (MQTT 5 §4.7.1, §4.7.3).
bool isValidTopic(std::string_view topic);

// The same for what can be subscribed to: '+' and '#' are allowed as whole levels, '#' as the last one only.
bool isValidTopicFilter(std::string_view filter);

// What subscribes derives from this, and comes back out of match. In one tree at a time.
class WsSubscriber {
public:
    WsSubscriber(const WsSubscriber&) = delete;
    WsSubscriber& operator=(const WsSubscriber&) = delete;

protected:
    WsSubscriber();
    ~WsSubscriber();  // not while it is subscribed

private:
    friend class WsTopicTree;
    struct Link;

    std::unique_ptr<std::vector<Link>> m_links;  // its subscriptions; null: none
    uint64_t m_stamp = 0;                        // of the last match with several filters that visited it
};

class WsTopicTree {
public:
    enum class Subscribed : uint8_t { Added, AlreadyThere, Invalid };

    WsTopicTree();
    WsTopicTree(const WsTopicTree&) = delete;
    WsTopicTree& operator=(const WsTopicTree&) = delete;
    ~WsTopicTree();  // not while somebody is subscribed

    // Invalid: not isValidTopicFilter. Unless it is Added, nothing changed. Apart from the levels, this and
    // unsubscribe take one step per subscription of the filter or of the subscriber, whichever has fewer: how
    // many one peer may have is the caller's to limit.
    Subscribed subscribe(std::string_view filter, WsSubscriber& subscriber);

    // False: it was not subscribed to exactly this filter.
    bool unsubscribe(std::string_view filter, WsSubscriber& subscriber);

    // Does nothing if it is not subscribed.
    void unsubscribeAll(WsSubscriber& subscriber);

    // Calls visit(WsSubscriber&) once for every subscriber with at least one filter that matches, however many
    // of its filters do, in no particular order; for none if the topic is not isValidTopic. Allocates nothing.
    // `visit` must not call back into the tree except to observe. What it throws passes through.
    template <class Visit>
    void match(std::string_view topic, Visit visit) {
        const Node* node = findMatching(topic);
        if (node == nullptr) return;
        const Matching matching(*this);
        if (node->nextMatching == nullptr) {  // the usual case: nobody can come twice
            for (WsSubscriber* const subscriber : node->subscribers) visit(*subscriber);
            return;
        }
        const uint64_t stamp = ++m_stamp;
        for (; node != nullptr; node = node->nextMatching) {
            for (WsSubscriber* const subscriber : node->subscribers) {
                if (subscriber->m_stamp == stamp) continue;
                subscriber->m_stamp = stamp;
                visit(*subscriber);
            }
        }
    }

    // To exactly this filter.
    size_t subscribers(std::string_view filter) const;

    // Of all subscribers, or of one.
    size_t subscriptions() const { return m_subscriptions; }
    size_t subscriptions(const WsSubscriber& subscriber) const;

    // What it is subscribed to, in no particular order.
    std::vector<std::string> filters(const WsSubscriber& subscriber) const;

private:
    friend class WsSubscriber;  // its Link names Node
    struct Level;
    struct Levels;
    struct Node;
    class Search;

    struct HashLevel {
        using is_transparent = void;
        size_t operator()(const Level& level) const;
        size_t operator()(const std::unique_ptr<Node>& node) const;
    };
    struct SameLevel {
        using is_transparent = void;
        bool operator()(const Level& level, const std::unique_ptr<Node>& node) const;
        bool operator()(const std::unique_ptr<Node>& one, const std::unique_ptr<Node>& other) const;
    };

    // A level of a filter, below those before it.
    struct Node {
        bool isEmpty() const { return subscribers.empty() && literals.empty() && !plus && !hash; }

        Node* parent = nullptr;  // null: the root, which is no level
        std::string text{};
        uint64_t textHash = 0;
        std::unordered_set<std::unique_ptr<Node>, HashLevel, SameLevel> literals{};  // } what goes on
        std::unique_ptr<Node> plus{};                                                // } below it
        std::unique_ptr<Node> hash{};                                                // }
        std::vector<WsSubscriber*> subscribers{};  // of the filter that ends here
        std::vector<uint32_t> linkIndexes{};       // where, in each one's links, the link to here is
        Node* nextMatching = nullptr;              // set by findMatching, for the match that called it
    };

    // While it lives, visit is running.
    class Matching {
    public:
        explicit Matching(WsTopicTree& tree) : m_tree(tree) { m_tree.m_isMatching = true; }
        Matching(const Matching&) = delete;
        Matching& operator=(const Matching&) = delete;
        ~Matching() { m_tree.m_isMatching = false; }

    private:
        WsTopicTree& m_tree;
    };

    // The filters that match and have subscribers, chained by nextMatching; null: none.
    Node* findMatching(std::string_view topic);
    const Node* find(std::string_view filter) const;
    Node& childFor(Node& parent, const Level& level);
    static uint32_t linkIndexOf(const Node& node, const WsSubscriber& subscriber);
    void remove(WsSubscriber& subscriber, uint32_t linkIndex);
    static void makeRoomFor(Node& node, WsSubscriber& subscriber);
    static void prune(Node* node);

    Node m_root;
    SipHashKey m_hashKey;
    size_t m_subscriptions = 0;
    uint64_t m_stamp = 0;
    bool m_isMatching = false;
};

}  // namespace tnet
