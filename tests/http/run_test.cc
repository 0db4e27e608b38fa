// HttpServer::run, as a whole program: each case is a process of its own.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>

#include "http/server.h"
#include "tests/support/loop_fixture.h"
#include "tnet/address.h"
#include "tnet/socket.h"

namespace tnet {
namespace {

class HttpRunTest : public ::testing::Test {
protected:
    // Starts a program that runs a server on `address`, and ends with what run() returns. What it logs comes
    // to m_log.
    void startProgram(const std::string& address) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        m_pid = ::fork();
        if (m_pid == 0) {
            ::dup2(ends[1], STDERR_FILENO);
            HttpServer server;
            server.router().get("/", [](const HttpRequest&) { return HttpResponse::text("here"); });
            ::_exit(server.run(address, {.threads = 2, .drainTime = kTestDeadline}));
        }
        ::close(ends[1]);
        m_log.reset(ends[0]);
    }

    int exitCode() {
        int status = 0;
        ::waitpid(m_pid, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    std::string restOfLog() {
        std::string text;
        for (char byte = 0; ::read(m_log.get(), &byte, 1) == 1;) text += byte;
        return text;
    }

    pid_t m_pid = -1;
    FileDescriptor m_log;
};

TEST_F(HttpRunTest, ServesUntilASignalThenDrains) {
    for (const int signal : {SIGTERM, SIGINT}) {
        const std::string path = "/tmp/tnet-http-run-test." + std::to_string(::getpid());
        startProgram("unix:" + path);
        BlockingClient client;
        ASSERT_TRUE(waitUntil([&] {
            client = BlockingClient::connectTo(*Address::parse("unix:" + path));
            return client.valid();
        }));
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        EXPECT_EQ(client.receive(15), "HTTP/1.1 200 OK");
        ::kill(m_pid, signal);
        client.receiveAll();
        EXPECT_EQ(exitCode(), 0);
        EXPECT_NE(::access(path.c_str(), F_OK), 0) << "the socket's file is left";
    }
}

TEST_F(HttpRunTest, WhatCannotBeDoneIsSaid) {
    const auto taken = listenOn(Address::loopback(0));
    ASSERT_TRUE(taken.ok());
    for (const std::string& address : {localAddress(taken->get()).toString(), std::string("nowhere:80")}) {
        startProgram(address);
        EXPECT_EQ(exitCode(), 1);
        const std::string log = restOfLog();
        EXPECT_NE(log.find(address), std::string::npos) << log;
    }
}

}  // namespace
}  // namespace tnet
