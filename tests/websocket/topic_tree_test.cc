#include "websocket/topic_tree.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tnet/turn.h"

namespace {
size_t g_allocations = 0;
size_t g_liveBytes = 0;
// Called through a pointer, or g++ inlines delete alone and takes new and free for a mismatched pair.
void (*volatile g_free)(void*) = std::free;
}  // namespace

void* operator new(size_t size) {
    void* const memory = std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    ++g_allocations;
    g_liveBytes += malloc_usable_size(memory);
    return memory;
}
void operator delete(void* memory) noexcept {
    g_liveBytes -= malloc_usable_size(memory);
    g_free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace tnet {
namespace {

using namespace std::string_literals;

using Subscribed = WsTopicTree::Subscribed;

static_assert(sizeof(WsSubscriber) <= 16);

class Subscriber : public WsSubscriber {
public:
    explicit Subscriber(std::string name = "") : m_name(std::move(name)) {}

    const std::string& name() const { return m_name; }

private:
    std::string m_name;
};

Subscriber* nextOf(WsTopicTree& tree) {
    Turn turn({UINT32_MAX, SIZE_MAX});
    return static_cast<Subscriber*>(tree.nextMatch(turn));
}

// "ann bob", sorted; whoever is visited twice is there twice.
std::string visited(WsTopicTree& tree, std::string_view topic) {
    std::multiset<std::string> names;
    tree.beginMatch(topic);
    while (const Subscriber* const subscriber = nextOf(tree)) names.insert(subscriber->name());
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : " ") + name;
    return all;
}

size_t visits(WsTopicTree& tree, std::string_view topic) {
    size_t count = 0;
    tree.beginMatch(topic);
    while (nextOf(tree) != nullptr) ++count;
    return count;
}

std::set<std::string> filtersOf(const WsTopicTree& tree, const WsSubscriber& subscriber) {
    const std::vector<std::string> filters = tree.filters(subscriber);
    const std::set<std::string> unique(filters.begin(), filters.end());
    EXPECT_EQ(unique.size(), filters.size());
    return unique;
}

// "a/a/a": as many levels as asked for.
std::string levels(size_t count, std::string_view level = "a") {
    std::string name(level);
    for (size_t i = 1; i < count; ++i) name.append("/").append(level);
    return name;
}

// --- The reference: one filter against one topic, level by level ---

std::vector<std::string> split(const std::string& name) {
    std::vector<std::string> parts(1);
    for (const char c : name) {
        if (c == '/') {
            parts.emplace_back();
        } else {
            parts.back().push_back(c);
        }
    }
    return parts;
}

bool matches(const std::string& filter, const std::string& topic) {
    const std::vector<std::string> wanted = split(filter);
    const std::vector<std::string> given = split(topic);
    if (topic[0] == '$' && (wanted[0] == "+" || wanted[0] == "#")) return false;
    for (size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i] == "#") return given.size() >= i;
        if (i == given.size() || (wanted[i] != "+" && wanted[i] != given[i])) return false;
    }
    return wanted.size() == given.size();
}

// --- Names ---

struct NameRow {
    std::string name;
    bool isTopic;
    bool isFilter;
};

const std::vector<NameRow>& names() {
    static const std::vector<NameRow> all = {
        {"a", true, true},
        {"/", true, true},
        {"//", true, true},
        {"/finance", true, true},
        {"sport/tennis/player1", true, true},
        {"Accounts payable", true, true},
        {"$SYS/monitor", true, true},
        {"caf\xC3\xA9/\xF0\x9F\x8E\xBE", true, true},
        {"a\tb", true, true},
        // Wildcards: MQTT 5 §4.7.1.
        {"#", false, true},
        {"+", false, true},
        {"+/+", false, true},
        {"/+", false, true},
        {"+/", false, true},
        {"/#", false, true},
        {"+/#", false, true},
        {"sport/#", false, true},
        {"sport/+/player1", false, true},
        {"+/tennis/#", false, true},
        {"sport/tennis#", false, false},
        {"sport/#/ranking", false, false},
        {"#/", false, false},
        {"##", false, false},
        {"#/#", false, false},
        {"sport/#+", false, false},
        {"sport+", false, false},
        {"+sport", false, false},
        {"a/b+/c", false, false},
        {"a/+b/c", false, false},
        {"++", false, false},
        {"a/++", false, false},
        {"+#", false, false},
        // MQTT-4.7.3-1, MQTT-4.7.3-2 and UTF-8: MQTT 5 §1.5.4.
        {"", false, false},
        {"a\0b"s, false, false},
        {"\0"s, false, false},
        {"a/\xC3", false, false},
        {"\xFF", false, false},
        {"a/\xED\xA0\x80", false, false},
        {"\xC0\xAF", false, false},
        // Limits.
        {std::string(kMaxTopicBytes, 'a'), true, true},
        {std::string(kMaxTopicBytes + 1, 'a'), false, false},
        {levels(kMaxTopicLevels), true, true},
        {levels(kMaxTopicLevels + 1), false, false},
        {levels(kMaxTopicLevels, ""), true, true},
        {levels(kMaxTopicLevels + 1, ""), false, false},
        {levels(kMaxTopicLevels, "+"), false, true},
        {levels(kMaxTopicLevels + 1, "+"), false, false},
        {levels(kMaxTopicLevels - 1) + "/#", false, true},
        {levels(kMaxTopicLevels) + "/#", false, false},
    };
    return all;
}

TEST(WsTopicTest, NamesAreCheckedAsTopicsAndAsFilters) {
    for (const NameRow& row : names()) {
        EXPECT_EQ(isValidTopic(row.name), row.isTopic) << testing::PrintToString(row.name);
        EXPECT_EQ(isValidTopicFilter(row.name), row.isFilter) << testing::PrintToString(row.name);
    }
}

TEST(WsTopicTreeTest, TakesWhatIsAFilterAndNothingElse) {
    WsTopicTree tree;
    Subscriber ann("ann");
    for (const NameRow& row : names()) {
        SCOPED_TRACE(testing::PrintToString(row.name));
        EXPECT_EQ(tree.subscribe(row.name, ann), row.isFilter ? Subscribed::Added : Subscribed::Invalid);
        EXPECT_EQ(tree.subscribers(row.name), row.isFilter ? 1U : 0U);
        EXPECT_EQ(tree.subscriptions(), row.isFilter ? 1U : 0U);
        EXPECT_EQ(tree.unsubscribe(row.name, ann), row.isFilter);
    }
}

TEST(WsTopicTreeTest, WhatIsNoTopicIsMatchedByNobody) {
    WsTopicTree tree;
    Subscriber ann("ann");
    tree.subscribe("#", ann);
    tree.subscribe("+", ann);
    for (const NameRow& row : names()) {
        const bool isMatched = row.isTopic && row.name[0] != '$';
        EXPECT_EQ(visited(tree, row.name), isMatched ? "ann" : "") << testing::PrintToString(row.name);
    }
    tree.unsubscribeAll(ann);
}

// --- Matching ---

struct MatchRow {
    std::string filter;
    std::string topic;
    bool matches;
};

TEST(WsTopicTreeTest, MatchesAsMqttSays) {
    const std::vector<MatchRow> rows = {
        // MQTT 5 §4.7.1.2.
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player10", false},
        {"sport/tennis/player1/#", "sport/tennis", false},
        {"sport/#", "sport", true},
        {"sport/#", "sport/", true},
        {"sport/#", "sports", false},
        {"sport/#", "/sport", false},
        {"#", "sport", true},
        {"#", "/", true},
        {"#", "sport/tennis/player1", true},
        {"/#", "/finance", true},
        {"/#", "/", true},
        {"/#", "finance", false},
        // MQTT 5 §4.7.1.3.
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player2", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+", "sport", true},
        {"+", "sport/tennis", false},
        {"+/tennis/#", "sport/tennis", true},
        {"+/tennis/#", "sport/tennis/player1/score", true},
        {"+/tennis/#", "tennis", false},
        {"sport/+/player1", "sport/tennis/player1", true},
        {"sport/+/player1", "sport//player1", true},
        {"sport/+/player1", "sport/player1", false},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"+/#", "finance", true},
        {"+/+/#", "finance", false},
        // MQTT 5 §4.7.2.
        {"#", "$SYS/monitor/Clients", false},
        {"#", "$SYS", false},
        {"+", "$SYS", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"+/#", "$SYS", false},
        {"$SYS/#", "$SYS/monitor/Clients", true},
        {"$SYS/#", "$SYS", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"$SYS/+/+", "$SYS/monitor/Clients", true},
        {"#", "a/$SYS", true},
        {"a/+", "a/$SYS", true},
        {"+/+", "/$SYS", true},
        // MQTT 5 §4.7.3.
        {"ACCOUNTS", "Accounts", false},
        {"Accounts payable", "Accounts payable", true},
        {"/finance", "finance", false},
        {"finance/", "finance", false},
        {"finance", "finance", true},
        {"finance", "finance/", false},
        {"a//b", "a/b", false},
        {"a//b", "a//b", true},
        {"/", "/", true},
        {"+/+", "/", true},
        {"+", "/", false},
        {"caf\xC3\xA9", "caf\xC3\xA9", true},
        {"caf\xC3\xA9", "cafe\xCC\x81", false},
    };
    for (const MatchRow& row : rows) {
        SCOPED_TRACE(row.filter + " against " + row.topic);
        WsTopicTree tree;
        Subscriber ann("ann");
        ASSERT_EQ(tree.subscribe(row.filter, ann), Subscribed::Added);
        EXPECT_EQ(visited(tree, row.topic), row.matches ? "ann" : "");
        EXPECT_EQ(matches(row.filter, row.topic), row.matches) << "the reference is wrong";
        tree.unsubscribeAll(ann);
    }
}

TEST(WsTopicTreeTest, VisitsOnceHoweverManyFiltersMatch) {
    WsTopicTree tree;
    Subscriber ann("ann");
    Subscriber bob("bob");
    for (const char* const filter : {"a/b", "a/+", "+/b", "+/+", "a/b/#", "a/#", "#"}) {
        tree.subscribe(filter, ann);
    }
    tree.subscribe("a/#", bob);
    tree.subscribe("a/b", bob);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(visited(tree, "a/b"), "ann bob");
        EXPECT_EQ(visited(tree, "a/c"), "ann bob");
        EXPECT_EQ(visited(tree, "c"), "ann");
    }
    tree.unsubscribeAll(ann);
    EXPECT_EQ(visited(tree, "a/b"), "bob");
    tree.unsubscribeAll(bob);
}

// A subscriber remembers the number of the last match that visited it, and every tree counts its own.
TEST(WsTopicTreeTest, VisitsASubscriberThatComesFromAnotherTree) {
    WsTopicTree first;
    WsTopicTree second;
    Subscriber ann("ann");
    for (WsTopicTree* const tree : {&first, &second}) {
        tree->subscribe("a", ann);
        tree->subscribe("+", ann);
        EXPECT_EQ(visited(*tree, "a"), "ann");
        tree->unsubscribeAll(ann);
    }
}

// Every way through the tree leads to a filter here; a search that tried '+' where there is none would not end.
TEST(WsTopicTreeTest, WildcardsCostNoMoreThanThereAreOfThem) {
    WsTopicTree tree;
    Subscriber ann("ann");
    for (unsigned ways = 0; ways < 1024; ++ways) {
        std::string filter;
        for (unsigned bit = 0; bit < 10; ++bit) filter += (ways >> bit & 1) == 0 ? "a/" : "+/";
        tree.subscribe(filter, ann);
    }
    tree.subscribe(levels(kMaxTopicLevels, "+"), ann);
    EXPECT_EQ(visited(tree, levels(10) + "/"), "ann");
    EXPECT_EQ(visited(tree, levels(kMaxTopicLevels)), "ann");
    EXPECT_EQ(visited(tree, levels(kMaxTopicLevels - 1)), "");
    tree.unsubscribeAll(ann);
}

TEST(WsTopicTreeTest, MatchingAllocatesNothing) {
    WsTopicTree tree;
    std::vector<Subscriber> crowd(100);
    for (Subscriber& subscriber : crowd) {
        for (const char* const filter : {"a/b", "a/+", "#"}) tree.subscribe(filter, subscriber);
    }
    const size_t before = g_allocations;
    const size_t count = visits(tree, "a/b") + visits(tree, "a/c") + visits(tree, "c");
    EXPECT_EQ(g_allocations, before);
    EXPECT_EQ(count, 300U);
    for (Subscriber& subscriber : crowd) tree.unsubscribeAll(subscriber);
}

// A publication to ten thousand subscribers takes several turns, and meanwhile they come and go.
TEST(WsTopicTreeTest, ATurnEndsAMatchAndTheNextOneGoesOn) {
    WsTopicTree tree;
    std::vector<Subscriber> crowd(100);
    for (Subscriber& subscriber : crowd) {
        tree.subscribe("a", subscriber);
        tree.subscribe("#", subscriber);  // looking at one that was visited is a step, too
    }
    EXPECT_GE(tree.beginMatch("a"), 2U);
    size_t count = 0;
    size_t turns = 0;
    while (tree.isMatching()) {
        Turn turn({30, 1});
        while (tree.nextMatch(turn) != nullptr) ++count;
        ++turns;
    }
    EXPECT_EQ(count, 100U);
    EXPECT_EQ(turns, 7U);
    EXPECT_EQ(visits(tree, "a"), 100U);
    tree.beginMatch("a");
    nextOf(tree);
    EXPECT_EQ(visits(tree, "b"), 100U);  // the other one is given up
    for (Subscriber& subscriber : crowd) tree.unsubscribeAll(subscriber);
}

// Whatever happens to the tree in the middle of a match: whose subscription is there all the time is visited
// once, others at most once, and nobody after having gone.
TEST(WsTopicTreeTest, AMatchGoesOnWhileSubscribersComeAndGo) {
    const std::vector<std::string> filters = {"a/b", "a/+", "+/b", "#", "a/#", "c"};
    for (uint32_t seed = 0; seed < 300; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        WsTopicTree tree;
        std::vector<Subscriber> crowd(24);
        std::map<const Subscriber*, std::set<std::string>> subscribed;
        const auto matches = [&](const Subscriber& one) {
            const std::set<std::string>& its = subscribed[&one];
            return its.size() > its.count("c");
        };
        const auto change = [&](Subscriber& one) {
            const std::string& filter = filters[random() % filters.size()];
            switch (random() % 4) {
                case 0:
                case 1:
                    tree.subscribe(filter, one);
                    subscribed[&one].insert(filter);
                    break;
                case 2:
                    tree.unsubscribe(filter, one);
                    subscribed[&one].erase(filter);
                    break;
                default: tree.unsubscribeAll(one); subscribed[&one].clear();
            }
        };
        for (int i = 0; i < 60; ++i) change(crowd[random() % crowd.size()]);
        auto stays = subscribed;  // the subscriptions that are there all the time
        std::map<const Subscriber*, int> visits;
        tree.beginMatch("a/b");
        while (const Subscriber* const visited = nextOf(tree)) {
            EXPECT_EQ(++visits[visited], 1);
            EXPECT_TRUE(matches(*visited));
            for (uint32_t i = random() % 4; i > 0; --i) {
                Subscriber& one = crowd[random() % crowd.size()];
                change(one);
                std::erase_if(stays[&one],
                              [&](const std::string& f) { return !subscribed[&one].contains(f); });
            }
        }
        for (const auto& [one, its] : stays) {
            const bool hasMatching = its.size() > its.count("c");
            EXPECT_GE(visits[one], hasMatching ? 1 : 0);
        }
        for (Subscriber& one : crowd) tree.unsubscribeAll(one);
    }
}

// --- Subscribing ---

TEST(WsTopicTreeTest, CountsAndListsSubscriptions) {
    WsTopicTree tree;
    Subscriber ann("ann");
    Subscriber bob("bob");
    EXPECT_EQ(tree.subscribe("a/b", ann), Subscribed::Added);
    EXPECT_EQ(tree.subscribe("a/b", ann), Subscribed::AlreadyThere);
    EXPECT_EQ(tree.subscribe("a/b", bob), Subscribed::Added);
    EXPECT_EQ(tree.subscribe("/+/#", ann), Subscribed::Added);
    EXPECT_EQ(tree.subscribe("a//", ann), Subscribed::Added);
    EXPECT_EQ(tree.subscriptions(), 4U);
    EXPECT_EQ(tree.subscriptions(ann), 3U);
    EXPECT_EQ(tree.subscriptions(bob), 1U);
    EXPECT_EQ(tree.subscribers("a/b"), 2U);
    EXPECT_EQ(tree.subscribers("/+/#"), 1U);
    EXPECT_EQ(tree.subscribers("a"), 0U) << "a level on the way is no filter";
    EXPECT_EQ(tree.subscribers("a/+"), 0U) << "counts the filter itself, not what it matches";
    EXPECT_EQ(filtersOf(tree, ann), (std::set<std::string>{"a/b", "/+/#", "a//"}));
    EXPECT_EQ(filtersOf(tree, bob), (std::set<std::string>{"a/b"}));

    EXPECT_FALSE(tree.unsubscribe("a", ann));
    EXPECT_FALSE(tree.unsubscribe("a/+", ann));
    EXPECT_FALSE(tree.unsubscribe("/+/#", bob));
    EXPECT_FALSE(tree.unsubscribe("a/#/b", ann));
    EXPECT_TRUE(tree.unsubscribe("a/b", ann));
    EXPECT_FALSE(tree.unsubscribe("a/b", ann));
    EXPECT_EQ(tree.subscriptions(), 3U);
    EXPECT_EQ(tree.subscribers("a/b"), 1U);
    tree.unsubscribeAll(ann);
    tree.unsubscribeAll(ann);
    EXPECT_EQ(filtersOf(tree, ann), std::set<std::string>());
    EXPECT_EQ(tree.subscriptions(), 1U);
    tree.unsubscribeAll(bob);
    EXPECT_EQ(tree.subscriptions(), 0U);
}

TEST(WsTopicTreeTest, SubscribersOfOneFilterLeaveInAnyOrder) {
    const std::vector<std::string> everybody = {"ann", "bob", "cat", "dan", "eve"};
    std::vector<size_t> order(everybody.size());
    std::iota(order.begin(), order.end(), size_t{0});
    do {
        SCOPED_TRACE(testing::PrintToString(order));
        WsTopicTree tree;
        std::vector<std::unique_ptr<Subscriber>> subscribers;
        for (const std::string& name : everybody) {
            subscribers.push_back(std::make_unique<Subscriber>(name));
            tree.subscribe("a/b", *subscribers.back());
        }
        std::set<std::string> left(everybody.begin(), everybody.end());
        for (const size_t goes : order) {
            ASSERT_TRUE(tree.unsubscribe("a/b", *subscribers[goes]));
            left.erase(everybody[goes]);
            std::string expected;
            for (const std::string& name : left) expected += (expected.empty() ? "" : " ") + name;
            ASSERT_EQ(visited(tree, "a/b"), expected);
            ASSERT_EQ(tree.subscribers("a/b"), left.size());
        }
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(WsTopicTreeTest, FiltersOfOneSubscriberLeaveInAnyOrder) {
    std::vector<std::string> order = {"#", "+/b", "a", "a/#", "a/b", "a/b/c"};
    const std::vector<std::string> topics = {"a", "a/b", "a/b/c", "d", "d/b", "a/d"};
    do {
        SCOPED_TRACE(testing::PrintToString(order));
        WsTopicTree tree;
        Subscriber ann("ann");
        for (const std::string& filter : order) tree.subscribe(filter, ann);
        std::set<std::string> left(order.begin(), order.end());
        for (const std::string& goes : order) {
            ASSERT_TRUE(tree.unsubscribe(goes, ann));
            left.erase(goes);
            ASSERT_EQ(filtersOf(tree, ann), left);
            for (const std::string& topic : topics) {
                const bool isMatched = std::any_of(left.begin(), left.end(), [&topic](const auto& filter) {
                    return matches(filter, topic);
                });
                ASSERT_EQ(visited(tree, topic), isMatched ? "ann" : "") << topic;
            }
        }
    } while (std::next_permutation(order.begin(), order.end()));
}

// Few levels and few texts, so that filters meet often, are left empty often, and have others below them.
TEST(WsTopicTreeTest, AgreesWithTheReferenceAfterRandomChanges) {
    for (unsigned seed = 1; seed <= 8; ++seed) {
        SCOPED_TRACE(seed);
        std::minstd_rand random(seed);
        const auto pick = [&random](size_t count) { return random() % count; };
        const auto randomName = [&pick](const std::vector<std::string>& texts) {
            std::string name = texts[pick(texts.size())];
            for (size_t more = pick(4); more > 0; --more) name += "/" + texts[pick(texts.size())];
            return name.empty() ? "/"s : name;
        };
        WsTopicTree tree;
        std::map<std::string, std::set<std::string>> reference;  // the filters of each
        std::vector<std::unique_ptr<Subscriber>> subscribers;
        for (int i = 0; i < 12; ++i) subscribers.push_back(std::make_unique<Subscriber>(std::to_string(i)));

        for (int step = 0; step < 2000; ++step) {
            Subscriber& one = *subscribers[pick(subscribers.size())];
            std::set<std::string>& its = reference[one.name()];
            const std::string filter = randomName({"a", "b", "", "$s", "+", "+", "#"});
            const size_t action = pick(40);
            if (action == 0) {
                tree.unsubscribeAll(one);
                its.clear();
            } else if (action < 15) {
                const std::string goes = its.empty() || pick(3) == 0 ? filter : *its.begin();
                ASSERT_EQ(tree.unsubscribe(goes, one), its.erase(goes) == 1);
            } else if (!isValidTopicFilter(filter)) {
                ASSERT_EQ(tree.subscribe(filter, one), Subscribed::Invalid);
            } else {
                const bool isNew = its.insert(filter).second;
                ASSERT_EQ(tree.subscribe(filter, one), isNew ? Subscribed::Added : Subscribed::AlreadyThere);
            }
            ASSERT_EQ(filtersOf(tree, one), its);

            const std::string topic = randomName({"a", "b", "", "$s", "c"});
            std::multiset<std::string> expected;
            size_t subscriptions = 0;
            size_t toFilter = 0;
            for (const auto& [name, filters] : reference) {
                subscriptions += filters.size();
                toFilter += filters.count(filter);
                const auto isMatch = [&topic](const auto& candidate) { return matches(candidate, topic); };
                if (std::any_of(filters.begin(), filters.end(), isMatch)) expected.insert(name);
            }
            std::string names;
            for (const std::string& name : expected) names += (names.empty() ? "" : " ") + name;
            ASSERT_EQ(visited(tree, topic), names) << topic;
            ASSERT_EQ(tree.subscriptions(), subscriptions);
            ASSERT_EQ(tree.subscribers(filter), toFilter) << filter;
        }
        for (const auto& subscriber : subscribers) tree.unsubscribeAll(*subscriber);
    }
}

// --- Many, and what is left of them ---

TEST(WsTopicTreeTest, TenThousandSubscribersOfOneFilter) {
    WsTopicTree tree;
    std::vector<Subscriber> crowd(10000);
    for (Subscriber& subscriber : crowd) {
        ASSERT_EQ(tree.subscribe("news/today", subscriber), Subscribed::Added);
        ASSERT_EQ(tree.subscribe("news/#", subscriber), Subscribed::Added);
    }
    EXPECT_EQ(tree.subscribers("news/today"), 10000U);
    EXPECT_EQ(tree.subscriptions(), 20000U);
    EXPECT_EQ(visits(tree, "news/today"), 10000U);
    EXPECT_EQ(visits(tree, "news/yesterday"), 10000U);

    std::vector<size_t> order(crowd.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), std::minstd_rand(7));
    for (size_t i = 0; i < order.size(); ++i) {
        ASSERT_TRUE(tree.unsubscribe("news/today", crowd[order[i]]));
        if (i % 1000 == 0) {
            EXPECT_EQ(tree.subscribers("news/today"), 9999 - i);
            EXPECT_EQ(visits(tree, "news/today"), 10000U) << "by the other filter";
        }
    }
    for (Subscriber& subscriber : crowd) tree.unsubscribeAll(subscriber);
    EXPECT_EQ(tree.subscriptions(), 0U);
    EXPECT_EQ(visits(tree, "news/today"), 0U);
}

// What an empty table or a list of one may hold more than before it grew.
constexpr size_t kSlackBytes = 128;

// A peer that subscribes and unsubscribes forever, to names that never come again.
TEST(WsTopicTreeTest, RandomFiltersLeaveNothingBehind) {
    WsTopicTree tree;
    Subscriber ann("ann");
    Subscriber bob("bob");
    tree.subscribe("a/b", ann);
    const size_t before = g_liveBytes;
    std::minstd_rand random(7);
    const std::vector<std::string> ends = {"", "/+", "/#", "/+/c/+/#"};
    for (int i = 0; i < 10000; ++i) {
        const std::string filter =
            "a/" + std::to_string(random()) + "/" + std::to_string(random()) + ends[random() % ends.size()];
        ASSERT_EQ(tree.subscribe(filter, bob), Subscribed::Added);
        ASSERT_TRUE(tree.unsubscribe(filter, bob));
    }
    EXPECT_LE(g_liveBytes, before + kSlackBytes);
    tree.unsubscribeAll(ann);
}

TEST(WsTopicTreeTest, MemoryComesBackFromManyFilters) {
    WsTopicTree tree;
    Subscriber ann("ann");
    Subscriber bob("bob");
    const size_t empty = g_liveBytes;
    tree.subscribe("a/b", ann);
    tree.subscribe("a/b", bob);
    const size_t before = g_liveBytes;
    for (int i = 0; i < 10000; ++i) tree.subscribe(std::to_string(i) + "/+", bob);
    for (int i = 0; i < 10000; ++i) tree.subscribe("a/" + std::to_string(i), bob);
    EXPECT_GT(g_liveBytes, before + 1000000);
    for (int i = 0; i < 10000; ++i) tree.unsubscribe(std::to_string(i) + "/+", bob);
    for (int i = 0; i < 10000; ++i) tree.unsubscribe("a/" + std::to_string(i), bob);
    EXPECT_LE(g_liveBytes, before + kSlackBytes);
    EXPECT_EQ(visited(tree, "a/b"), "ann bob");
    tree.unsubscribeAll(ann);
    tree.unsubscribeAll(bob);
    EXPECT_LE(g_liveBytes, empty + kSlackBytes);
}

TEST(WsTopicTreeTest, MemoryComesBackFromManySubscribers) {
    WsTopicTree tree;
    std::vector<Subscriber> crowd(10000);
    const size_t empty = g_liveBytes;
    tree.subscribe("a/b", crowd[0]);
    const size_t before = g_liveBytes;
    for (Subscriber& subscriber : crowd) tree.subscribe("a/b", subscriber);
    EXPECT_GT(g_liveBytes, before + 100000);
    for (size_t i = 1; i < crowd.size(); ++i) tree.unsubscribeAll(crowd[i]);
    EXPECT_LE(g_liveBytes, before + kSlackBytes);
    tree.unsubscribeAll(crowd[0]);
    EXPECT_LE(g_liveBytes, empty + kSlackBytes);
}

#ifndef NDEBUG
TEST(WsTopicTreeDeathTest, ASubscriberIsUnsubscribedBeforeItGoes) {
    WsTopicTree tree;
    EXPECT_DEATH(
        {
            Subscriber ann;
            tree.subscribe("a", ann);
        },
        "a subscriber is unsubscribed before it is destroyed");
}

TEST(WsTopicTreeDeathTest, SubscribersAreUnsubscribedBeforeTheirTreeGoes) {
    Subscriber ann;
    EXPECT_DEATH(
        {
            WsTopicTree tree;
            tree.subscribe("a", ann);
        },
        "subscribers are unsubscribed before their tree is destroyed");
}
#endif

}  // namespace
}  // namespace tnet
