#include "tnet/notifier.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <thread>
#include <utility>

namespace tnet {
namespace {

bool isReadable(int fd, int timeoutMs = 0) {
    pollfd request{fd, POLLIN, 0};
    return ::poll(&request, 1, timeoutMs) == 1;
}

TEST(NotifierTest, NotifyMakesItReadableUntilDrained) {
    Result<Notifier> notifier = Notifier::create();
    ASSERT_TRUE(notifier.ok());
    EXPECT_FALSE(isReadable(notifier->fd()));
    notifier->notify();
    EXPECT_TRUE(isReadable(notifier->fd()));
    EXPECT_TRUE(isReadable(notifier->fd()));
    notifier->drain();
    EXPECT_FALSE(isReadable(notifier->fd()));
}

TEST(NotifierTest, NotificationsMerge) {
    Result<Notifier> notifier = Notifier::create();
    ASSERT_TRUE(notifier.ok());
    for (int i = 0; i < 1000; ++i) notifier->notify();
    notifier->drain();
    EXPECT_FALSE(isReadable(notifier->fd()));
}

TEST(NotifierTest, DrainOfNothingDoesNotBlock) {
    Result<Notifier> notifier = Notifier::create();
    ASSERT_TRUE(notifier.ok());
    notifier->drain();
    notifier->notify();
    EXPECT_TRUE(isReadable(notifier->fd()));
}

TEST(NotifierTest, NotifyOfAFullCounterDoesNotBlockAndKeepsErrno) {
    Result<Notifier> notifier = Notifier::create();
    ASSERT_TRUE(notifier.ok());
    const uint64_t most = UINT64_MAX - 1;  // eventfd(2): the largest value the counter holds
    ASSERT_EQ(::write(notifier->fd(), &most, sizeof(most)), static_cast<ssize_t>(sizeof(most)));
    errno = ENOTTY;
    notifier->notify();
    EXPECT_EQ(errno, ENOTTY);
    EXPECT_TRUE(isReadable(notifier->fd()));
}

TEST(NotifierTest, WakesFromAnotherThread) {
    Result<Notifier> notifier = Notifier::create();
    ASSERT_TRUE(notifier.ok());
    std::thread other([&notifier] { notifier->notify(); });
    EXPECT_TRUE(isReadable(notifier->fd(), 10000));
    other.join();
}

TEST(NotifierTest, IsNonBlockingAndClosedOnExec) {
    Result<Notifier> notifier = Notifier::create();
    ASSERT_TRUE(notifier.ok());
    EXPECT_NE(::fcntl(notifier->fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(notifier->fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(NotifierTest, ClosesItsDescriptor) {
    int fd = -1;
    {
        Result<Notifier> notifier = Notifier::create();
        ASSERT_TRUE(notifier.ok());
        fd = notifier->fd();
        const Notifier moved = std::move(*notifier);
        EXPECT_EQ(moved.fd(), fd);
        EXPECT_NE(::fcntl(fd, F_GETFD), -1);
    }
    EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

}  // namespace
}  // namespace tnet
