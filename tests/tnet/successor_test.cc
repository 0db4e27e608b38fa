// The successor is this program, started with "successor" and what it is to do.
#include "tnet/successor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tnet/address.h"
#include "tnet/inherited_sockets.h"
#include "tnet/socket.h"

namespace tnet {
namespace {

const std::string kProgram = "/proc/self/exe";

class SuccessorTest : public LoopTest {
protected:
    // Starts one, and waits for the outcome.
    Status outcomeOf(const std::vector<std::string>& arguments, const std::vector<int>& sockets) {
        std::optional<Status> outcome;
        auto spawned =
            Successor::spawn(loop(), arguments, sockets, [&](const Status& told) { outcome = told; });
        EXPECT_TRUE(spawned.ok());
        EXPECT_TRUE(runUntil([&] { return outcome.has_value(); }));
        return outcome.value_or(makeError(std::errc::timed_out, "no outcome"));
    }
};

// Each accepts one client on each of its sockets and says what it found.
TEST_F(SuccessorTest, ServesOnTheSocketsThatItWasHanded) {
    std::vector<FileDescriptor> listeners;
    std::vector<int> sockets;
    for (int i = 0; i < 3; ++i) {
        auto listener = listenOn(Address::loopback(0));
        ASSERT_TRUE(listener.ok());
        listeners.push_back(std::move(*listener));
    }
    // In an order that is not that of their numbers, since they must be moved about.
    for (const size_t i : {2U, 0U, 1U}) sockets.push_back(listeners[i].get());
    std::vector<BlockingClient> clients;
    for (const int socket : sockets) clients.push_back(BlockingClient::connectTo(localAddress(socket)));
    // What a program with threads has blocked, its successor has not.
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    ::setenv("LISTEN_FDNAMES", "stale", 1);
    ::setenv("TNET_TEST_VARIABLE", "kept", 1);

    const Status outcome = outcomeOf({kProgram, "successor", "serve"}, sockets);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    for (size_t i = 0; i < clients.size(); ++i)
        EXPECT_EQ(clients[i].receiveAll(), "socket " + std::to_string(i) + " of 3, kept, no signal blocked");
    pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
}

TEST_F(SuccessorTest, WithoutSocketsItServes) {
    EXPECT_TRUE(outcomeOf({kProgram, "successor", "serve"}, {}).ok());
}

// clearenv leaves a null pointer where the environment was, which was read.
TEST_F(SuccessorTest, WithoutAnEnvironmentItServes) {
    char** const before = std::exchange(environ, nullptr);
    EXPECT_TRUE(outcomeOf({kProgram, "successor", "serve"}, {}).ok());
    environ = before;
}

TEST_F(SuccessorTest, AProgramThatCannotBeStartedIsNamed) {
    const Status outcome = outcomeOf({"/nowhere/at/all"}, {});
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, std::errc::no_such_file_or_directory);
    EXPECT_NE(outcome.error().message.find("/nowhere/at/all"), std::string::npos) << outcome.error().message;
}

TEST_F(SuccessorTest, OneThatEndsBeforeItServesIsReported) {
    const Status outcome = outcomeOf({kProgram, "successor", "fail"}, {});
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, std::errc::owner_dead);
}

TEST_F(SuccessorTest, MayBeDestroyedBeforeTheOutcomeAndInIt) {
    auto early = Successor::spawn(loop(), {kProgram, "successor", "serve"}, {},
                                  [](const Status&) { FAIL() << "nobody waits for it"; });
    ASSERT_TRUE(early.ok());
    early->reset();
    std::unique_ptr<Successor> successor;
    bool isTold = false;
    auto spawned = Successor::spawn(loop(), {kProgram, "successor", "serve"}, {}, [&](const Status&) {
        successor.reset();
        isTold = true;
    });
    ASSERT_TRUE(spawned.ok());
    successor = std::move(*spawned);
    EXPECT_TRUE(runUntil([&] { return isTold; }));
}

int serveAsSuccessor() {
    auto sockets = inheritedSockets();
    if (!sockets) return std::fprintf(stderr, "%s\n", sockets.error().message.c_str()), 1;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, nullptr, &blocked);
    const char* const variable = std::getenv("TNET_TEST_VARIABLE");
    tellPredecessor();
    tellPredecessor();  // nothing
    for (size_t i = 0; i < sockets->size(); ++i) {
        const FileDescriptor client(::accept((*sockets)[i].get(), nullptr, nullptr));
        const std::string text =
            "socket " + std::to_string(i) + " of " + std::to_string(sockets->size()) + ", " +
            (variable == nullptr ? "lost" : variable) + ", " +
            (sigismember(&blocked, SIGTERM) == 1 ? "SIGTERM blocked" : "no signal blocked");
        ::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
    return 0;
}

}  // namespace
}  // namespace tnet

int main(int argc, char** argv) {
    if (argc == 3 && std::strcmp(argv[1], "successor") == 0)
        return std::strcmp(argv[2], "serve") == 0 ? tnet::serveAsSuccessor() : 3;
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
