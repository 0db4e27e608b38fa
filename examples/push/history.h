// PushHistory: the last messages of each topic, in bounded memory.
//
// It is full in three ways: a topic forgets its oldest message; of too many topics, the one published to least
// recently is forgotten; of too many bytes, that one's oldest message. What is forgotten leaves its id behind,
// so that a replay knows whether it is complete.
//
// Threads: one. Lifetime: messages are shared with whoever asked for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "examples/push/message.h"

namespace tnet {

class PushHistory {
public:
    struct Settings {
        size_t messagesPerTopic = 100;
        size_t topics = 1000;
        size_t bytes = 64 << 20;  // of the messages' texts, all topics together
    };

    // `firstId`: messages up to this id were before its time, and count as forgotten.
    PushHistory(Settings settings, uint64_t firstId) : m_settings(settings), m_forgotten(firstId) {}

    // Its id is greater than all before.
    void add(PushMessagePtr_t message);

    struct Replay {
        std::vector<PushMessagePtr_t> messages{};  // in the order of their ids
        bool isComplete = true;                    // false: there were more, and they are forgotten
    };
    // What these topics had after the message `id`; the latest that fit into maxBytes.
    Replay after(uint64_t id, const std::vector<std::string>& topics, size_t maxBytes) const;

    size_t topics() const { return m_topics.size(); }
    size_t messages() const { return m_messages; }
    size_t bytes() const { return m_bytes; }

private:
    struct Topic {
        std::deque<PushMessagePtr_t> messages{};  // never empty between two calls
        uint64_t forgotten = 0;                   // the last id that is gone
        std::list<std::string>::iterator use{};   // its place in m_byUse
    };

    Topic& used(const std::string& name);
    void forgetOldest(const std::string& name);

    Settings m_settings;
    std::unordered_map<std::string, Topic> m_topics;
    std::list<std::string> m_byUse;  // topics, the one published to least recently first
    uint64_t m_forgotten;            // the last id that is gone with its topic
    size_t m_messages = 0;
    size_t m_bytes = 0;
};

}  // namespace tnet
