// WsTopicTree: who subscribed to which topics.
//
//   subscribe("sport/+/score", ann)  ─▶        "sport" ── + ── "score" [ann]
//   subscribe("sport/#", bob)        ─▶           │  └── # [bob]
//   subscribe("sport/tennis", ann)   ─▶           └── "tennis" [ann]
//
//   beginMatch("sport/tennis/score")  ─▶  nextMatch: ann, bob
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

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tnet/turn.h"
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

// What subscribes derives from this, and is what nextMatch gives. In one tree at a time.
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
    uint64_t m_stamp = 0;  // of the last match that visited it, or that it came too late for
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

    // Begins a match: nextMatch() gives the subscribers with at least one filter that matches, each once however
    // many of its filters do, in no particular order; none if the topic is not isValidTopic. A match that is not
    // over is given up. Returns how many nodes it looked at. Allocates nothing.
    size_t beginMatch(std::string_view topic);

    // The next subscriber of the match; null if there is none left, or `turn` is over (isMatching() tells). Spends a
    // step for each subscription that it looks at.
    //
    // The tree may change between two calls, at any time: a subscriber whose subscription is there from beginMatch
    // on and stays is given exactly once, any other at most once.
    WsSubscriber* nextMatch(Turn& turn) {
        for (; m_matching != nullptr; m_matching->leaveMatch()) {
            Node& node = *m_matching;
            while (node.toVisit > 0) {
                if (turn.isOver()) return nullptr;
                turn.spend(0);
                WsSubscriber* const subscriber = node.subscribers[--node.toVisit];
                if (subscriber->m_stamp == m_stamp) continue;
                subscriber->m_stamp = m_stamp;
                return subscriber;
            }
        }
        return nullptr;
    }

    // nextMatch() has not said yet that none is left.
    bool isMatching() const { return m_matching != nullptr; }

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

        // The match that is under way. Its nodes are a list, so that one that goes can leave it. Subscribers are
        // visited from the last one on: those that come are beyond `toVisit`, and the last one, which takes the place
        // of one that goes, is either still to be visited or stamped.
        void leaveMatch();
        Node* nextMatching = nullptr;
        Node** matchingAt = nullptr;  // what points to this node; null: not in the list
        uint32_t toVisit = 0;         // subscribers, from the first one on
    };

    const Node* find(std::string_view filter) const;
    Node& childFor(Node& parent, const Level& level);
    static uint32_t linkIndexOf(const Node& node, const WsSubscriber& subscriber);
    void remove(WsSubscriber& subscriber, uint32_t linkIndex);
    void makeRoomFor(Node& node, WsSubscriber& subscriber);
    static void prune(Node* node);

    Node m_root;
    SipHashKey m_hashKey;
    size_t m_subscriptions = 0;
    uint64_t m_stamp = 0;  // of the last match
    Node* m_matching = nullptr;
};

}  // namespace tnet
