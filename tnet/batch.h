// Batch: a list of which a loop does a part in each round.
//
//     if (batch.isDone()) batch.take(waiting);     // what comes from now on belongs to the next batch
//     batch.run(Turn(kTaskTurn), [](Callback_t& task) { task(); });
//
// Threads: one. Lifetime: an item is destroyed when it is done, before the next one is; what is left goes with the
// batch.
#pragma once

#include <cassert>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include "tnet/turn.h"

namespace tnet {

template <class Item>
class Batch {
public:
    // Nothing is left to do.
    bool isDone() const { return m_next == m_items.size(); }

    // Takes over all of `items`, which is empty afterwards and has the room of the batch before. Only if isDone().
    void take(std::vector<Item>& items) {
        assert(isDone() && items.size() != 0);
        m_items.clear();
        m_next = 0;
        m_items.swap(items);
    }

    // Calls work(item) for one item after the other, a step for each, until the turn or the batch is over. `work` may
    // do anything but call the batch, or throw.
    template <class Work>
    void run(Turn turn, Work&& work) {
        while (!isDone() && !turn.isOver()) {
            Item item = std::move(m_items[m_next++]);
            turn.spend(0);
            work(item);
        }
        if (isDone()) forget();
    }

    // Destroys what is left, undone.
    void clear() {
        std::vector<Item> items = std::exchange(m_items, {});  // what is destroyed may look at the batch
        m_next = 0;
    }

    void reserve(size_t items) { m_items.reserve(items); }

private:
    static constexpr size_t kKept = 1024;  // items that a batch keeps room for

    void forget() noexcept {
        m_items.clear();
        m_next = 0;
        if (m_items.capacity() <= kKept) return;
        try {
            std::vector<Item> smaller;
            smaller.reserve(kKept);
            m_items.swap(smaller);
        } catch (const std::bad_alloc&) {
            return;  // the large one stays: whoever adds to it relies on some room
        }
    }

    std::vector<Item> m_items;
    size_t m_next = 0;
};

}  // namespace tnet
