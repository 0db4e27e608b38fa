// ThreadCache: one T for each thread, made when the thread first asks for it.
//
// It may be asked for at any time, also after the thread has destroyed its thread_local objects: what a static
// object (an IOLoop with open connections) does at the end of the main thread comes after that. Then the T is new,
// and gone again at the next endUse().
//
// Threads: each has its own. Lifetime: get() is valid until the thread ends, or endUse().
#pragma once

#include <memory>
#include <utility>

namespace tnet {

template <class T>
class ThreadCache {
public:
    static T& get() { return t_object != nullptr ? *t_object : make(); }

    // Null if there is none.
    static T* find() { return t_object; }

    // Null if the thread has no place for one any more.
    static T* lasting() { return t_isOver ? nullptr : &get(); }

    // What get() gave is not used any more for now: it stays for the next get(), while the thread has a place for
    // it.
    static void endUse() {
        if (t_isOver) destroy();
    }

private:
    struct AtThreadEnd {
        ~AtThreadEnd() {
            t_isOver = true;
            destroy();
        }
    };

    static T& make() {
        if (!t_isOver) static thread_local const AtThreadEnd atThreadEnd;
        t_object = std::make_unique<T>().release();
        return *t_object;
    }

    static void destroy() { delete std::exchange(t_object, nullptr); }

    // Both need no destruction, so that they can be looked at as long as the thread runs.
    static inline constinit thread_local T* t_object = nullptr;
    static inline constinit thread_local bool t_isOver = false;
};

}  // namespace tnet
