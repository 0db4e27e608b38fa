#include "examples/push/history.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tnet {

void PushHistory::add(PushMessagePtr_t message) {
    if (m_settings.messagesPerTopic == 0 || m_settings.topics == 0) {
        m_forgotten = message->id;
        return;
    }
    const std::string name = message->topic;
    Topic& topic = used(name);
    ++m_messages;
    m_bytes += message->text.size();
    topic.messages.push_back(std::move(message));
    if (topic.messages.size() > m_settings.messagesPerTopic) forgetOldest(name);
    for (const size_t most = m_settings.topics; m_topics.size() > most;) forgetOldest(m_byUse.front());
    while (m_bytes > m_settings.bytes) forgetOldest(m_byUse.front());
}

PushHistory::Topic& PushHistory::used(const std::string& name) {
    const auto [found, isNew] = m_topics.try_emplace(name);
    Topic& topic = found->second;
    if (isNew) {
        topic.forgotten = m_forgotten;
        topic.use = m_byUse.insert(m_byUse.end(), name);
    } else {
        m_byUse.splice(m_byUse.end(), m_byUse, topic.use);
    }
    return topic;
}

void PushHistory::forgetOldest(const std::string& name) {
    const auto found = m_topics.find(name);
    Topic& topic = found->second;
    topic.forgotten = topic.messages.front()->id;
    m_bytes -= topic.messages.front()->text.size();
    --m_messages;
    topic.messages.pop_front();
    if (!topic.messages.empty()) return;
    m_forgotten = std::max(m_forgotten, topic.forgotten);
    m_byUse.erase(topic.use);  // `name` may be in it
    m_topics.erase(found);
}

PushHistory::Replay PushHistory::after(uint64_t id, const std::vector<std::string>& topics,
                                       size_t maxBytes) const {
    Replay replay;
    for (const std::string& name : topics) {
        const auto found = m_topics.find(name);
        const bool isKept = found != m_topics.end();
        if (id < (isKept ? found->second.forgotten : m_forgotten)) replay.isComplete = false;
        if (!isKept) continue;
        const auto& messages = found->second.messages;
        const auto first = std::partition_point(messages.begin(), messages.end(),
                                                [id](const PushMessagePtr_t& m) { return m->id <= id; });
        replay.messages.insert(replay.messages.end(), first, messages.end());
    }
    std::sort(replay.messages.begin(), replay.messages.end(),
              [](const PushMessagePtr_t& a, const PushMessagePtr_t& b) { return a->id < b->id; });
    size_t bytes = 0;
    auto begin = replay.messages.end();
    while (begin != replay.messages.begin() && bytes + (*std::prev(begin))->text.size() <= maxBytes) {
        --begin;
        bytes += (*begin)->text.size();
    }
    if (begin != replay.messages.begin()) replay.isComplete = false;
    replay.messages.erase(replay.messages.begin(), begin);
    return replay;
}

}  // namespace tnet
