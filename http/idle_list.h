// IdleList: the connections that wait for a request, the longest waiting first. Intrusive, since a
// million of them may wait: two pointers and a time each, and constant cost per request.
//
// Threads: one. Lifetime: a link removes itself from its list when destroyed.
#pragma once

#include "tnet/clock.h"

namespace tnet {

class IdleLink {
public:
    IdleLink() : m_previous(this), m_next(this) {}
    ~IdleLink() { unlink(); }
    IdleLink(const IdleLink&) = delete;
    IdleLink& operator=(const IdleLink&) = delete;

    void unlink() {
        m_previous->m_next = m_next;
        m_next->m_previous = m_previous;
        m_previous = m_next = this;
    }

    TimePoint idleSince() const { return m_idleSince; }

private:
    friend class IdleList;

    IdleLink* m_previous;  // } itself while
    IdleLink* m_next;      // } in no list
    TimePoint m_idleSince{};
};

class IdleList {
public:
    bool empty() const { return m_end.m_next == &m_end; }
    IdleLink* front() { return empty() ? nullptr : m_end.m_next; }

    // The one behind `link`, which is in this list; null: none.
    IdleLink* next(const IdleLink& link) { return link.m_next == &m_end ? nullptr : link.m_next; }

    // Puts `link` at the back, wherever it was. `since` is not before that of the one in front of it.
    void pushBack(IdleLink& link, TimePoint since) {
        link.unlink();
        link.m_idleSince = since;
        link.m_previous = m_end.m_previous;
        link.m_next = &m_end;
        m_end.m_previous->m_next = &link;
        m_end.m_previous = &link;
    }

private:
    IdleLink m_end;
};

}  // namespace tnet
