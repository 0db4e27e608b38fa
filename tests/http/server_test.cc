// HttpServer on real sockets, loops in threads, and handlers that answer from threads of their own.
#include "http/server.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/http/http_fixture.h"
#include "tests/http/replies.h"
#include "tests/support/loop_fixture.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Threads that do what they are given, as a handler's own pool would.
class Workers {
public:
    explicit Workers(size_t threads) {
        for (size_t i = 0; i < threads; ++i) m_threads.emplace_back([this] { work(); });
    }
    ~Workers() {
        {
            const std::lock_guard lock(m_mutex);
            m_ended = true;
        }
        m_wake.notify_all();
        for (std::thread& thread : m_threads) thread.join();
    }
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    void run(std::function<void()> task) {
        {
            const std::lock_guard lock(m_mutex);
            m_tasks.push_back(std::move(task));
        }
        m_wake.notify_one();
    }

private:
    void work() {
        for (;;) {
            std::unique_lock lock(m_mutex);
            m_wake.wait(lock, [this] { return m_ended || !m_tasks.empty(); });
            if (m_tasks.empty()) return;
            const std::function<void()> task = std::move(m_tasks.front());
            m_tasks.pop_front();
            lock.unlock();
            task();
        }
    }

    std::mutex m_mutex;
    std::condition_variable m_wake;
    std::deque<std::function<void()>> m_tasks;
    bool m_ended = false;
    std::vector<std::thread> m_threads;
};

// Responders that handlers left here, for the test's thread to take.
class Shelf {
public:
    void put(HttpResponder responder) {
        const std::lock_guard lock(m_mutex);
        m_responders.push_back(std::move(responder));
    }
    size_t size() {
        const std::lock_guard lock(m_mutex);
        return m_responders.size();
    }
    HttpResponder take() {
        EXPECT_TRUE(waitUntil([this] { return size() > 0; }));
        const std::lock_guard lock(m_mutex);
        HttpResponder responder = std::move(m_responders.front());
        m_responders.pop_front();
        return responder;
    }

private:
    std::mutex m_mutex;
    std::deque<HttpResponder> m_responders;
};

// Reads until `count` final replies are there, or the stream ends.
Replies receiveReplies(BlockingClient& client, size_t count, const std::vector<size_t>& heads = {}) {
    std::string text;
    std::array<char, 65536> buffer;
    for (;;) {
        Replies replies = parseReplies(text, heads);
        if (replies.finalStatuses().size() >= count && !replies.all.back().untilClose) return replies;
        const ssize_t n = ::recv(client.fd(), buffer.data(), buffer.size(), 0);
        if (n <= 0) return replies;
        text.append(buffer.data(), static_cast<size_t>(n));
    }
}

// All that comes; fails unless the stream ends in order: a reset may destroy what is still on its way.
std::string receiveToACleanEnd(BlockingClient& client) {
    std::string text;
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t n = ::recv(client.fd(), buffer.data(), buffer.size(), 0);
        EXPECT_GE(n, 0) << std::strerror(errno);
        if (n <= 0) return text;
        text.append(buffer.data(), static_cast<size_t>(n));
    }
}

class HttpServerTest : public ::testing::Test {
protected:
    HttpServerTest() { makeServer(); }

    void makeServer(const HttpServer::Settings& settings = {}) {
        server = std::make_unique<HttpServer>(settings);
        HttpRouter& router = server->router();
        router.get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router.get("/n/:n", [](const HttpRequest& request) {
            return HttpResponse::text(std::string(request.param("n")));
        });
        router.any("/echo", [](const HttpRequest& request) {
            return HttpResponse::text(std::string(request.body()));
        });
        router.get("/held",
                   [this](const HttpRequest&, HttpResponder responder) { shelf.put(std::move(responder)); });
    }

    void start(size_t threads = 2, const Address& where = Address::loopback(0)) {
        const auto bound = server->listen(where);
        ASSERT_TRUE(bound) << bound.error().message;
        address = *bound;
        const Status started = server->start(threads);
        ASSERT_TRUE(started) << started.error().message;
    }

    BlockingClient client() {
        BlockingClient connected = BlockingClient::connectTo(address);
        EXPECT_TRUE(connected.valid());
        return connected;
    }

    LogCapture log{};
    Shelf shelf{};
    std::unique_ptr<HttpServer> server{};
    Address address{};
};

// --- Set-up ---

TEST_F(HttpServerTest, AnswersOnEveryLoop) {
    start(3);
    EXPECT_EQ(server->loops().size(), 3U);
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(client());
    for (int round = 0; round < 3; ++round) {
        for (BlockingClient& c : clients) ASSERT_TRUE(c.send(getRequest("/n/" + std::to_string(round))));
        for (BlockingClient& c : clients) EXPECT_EQ(receiveReplies(c, 1)[0].body, std::to_string(round));
    }
    EXPECT_EQ(server->connections(), 20U);
    clients.clear();
    EXPECT_TRUE(waitUntil([&] { return server->connections() == 0; }));
}

TEST_F(HttpServerTest, AnswersOverEveryKindOfAddress) {
    const std::string path = "/tmp/tnet-http-server-test." + std::to_string(::getpid());
    const std::array texts{std::string("127.0.0.1:0"), std::string("[::1]:0"), "unix:" + path};
    for (const std::string& text : texts) {
        makeServer();
        std::string from;
        server->router().get("/from", [](const HttpRequest& request) {
            return HttpResponse::text(request.remoteAddress().toString());
        });
        start(2, *Address::parse(text));
        BlockingClient c = client();
        c.send(getRequest("/from"));
        const Replies replies = receiveReplies(c, 1);
        ASSERT_EQ(replies.size(), 1U) << text;
        const std::string expected = text.substr(0, text.find_last_of(':') + 1);
        EXPECT_TRUE(replies[0].body.starts_with(text.starts_with("unix:") ? "unix:" : expected))
            << replies[0].body;
        server->stop();
    }
    ::unlink(path.c_str());
}

TEST_F(HttpServerTest, StartFailsWithTheRouteThatCouldNotBeRegistered) {
    server->router().get("/twice/:x", [](const HttpRequest&) { return HttpResponse(200); });
    server->router().get("/twice/:x", [](const HttpRequest&) { return HttpResponse(200); });
    ASSERT_TRUE(server->listen(Address::loopback(0)));
    const Status started = server->start(1);
    ASSERT_FALSE(started);
    EXPECT_NE(started.error().message.find("/twice/:x"), std::string::npos) << started.error().message;
    const auto loop = IOLoop::create();
    EXPECT_FALSE(server->attach(loop->get()));
    EXPECT_TRUE(server->loops().empty());
}

TEST_F(HttpServerTest, ListenFailsWithTheAddressThatIsInUse) {
    start();
    HttpServer second;
    const auto bound = second.listen(address);
    ASSERT_FALSE(bound);
    EXPECT_NE(bound.error().message.find(address.toString()), std::string::npos) << bound.error().message;
}

TEST_F(HttpServerTest, ServesOnALoopOfTheCaller) {
    const auto loop = IOLoop::create();
    ASSERT_TRUE(loop);
    const auto bound = server->listen(Address::loopback(0));
    ASSERT_TRUE(bound);
    ASSERT_TRUE(server->attach(loop->get()));
    BlockingClient c = BlockingClient::connectTo(*bound);
    c.send(getRequest("/hi"));
    std::atomic<bool> done{false};
    std::thread reader([&] {
        EXPECT_EQ(receiveReplies(c, 1)[0].body, "hi");
        done = true;
    });
    EXPECT_TRUE(runLoopUntil(loop->get(), [&] { return done.load(); }));
    reader.join();
    server->stop();
    EXPECT_EQ(server->connections(), 0U);
    EXPECT_TRUE(c.isAtEnd());
}

TEST_F(HttpServerTest, AServerThatNeverStartedIsFine) {
    ASSERT_TRUE(server->listen(Address::loopback(0)));
    EXPECT_EQ(server->drain(milliseconds(10)), 0U);
    server->stop();
    server.reset();
}

// --- Threads ---

TEST_F(HttpServerTest, ManyClientsAreAnsweredByManyThreads) {
    constexpr int kClients = 4;
    constexpr int kRequests = 150;
    Workers workers(3);
    std::atomic<int> logged{0};
    server->setAccessLog([&logged](const HttpAccess&) { ++logged; });
    server->router().use([](const HttpRequest&, HttpResponder responder, const HttpNext& next) {
        responder.onResponse([](HttpResponse& response) { response.header("X-Seen", "yes"); });
        next(std::move(responder));
    });
    server->router().get("/pool/:n", [&workers](const HttpRequest& request, HttpResponder responder) {
        auto shared = std::make_shared<HttpResponder>(std::move(responder));
        workers.run(
            [shared, &request] { shared->respond(HttpResponse::text(std::string(request.param("n")))); });
    });
    server->router().get("/stream/:n", [&workers](const HttpRequest& request, HttpResponder responder) {
        auto shared = std::make_shared<HttpResponder>(std::move(responder));
        workers.run([shared, n = std::string(request.param("n"))] {
            HttpBodyWriter writer = shared->stream(HttpResponse(200));
            for (const char c : n) writer.write(std::string(1, c));
            writer.finish();
        });
    });
    start(2);
    std::vector<std::thread> clients;
    for (int k = 0; k < kClients; ++k) {
        clients.emplace_back([this, k] {
            BlockingClient c = client();
            constexpr std::array<std::string_view, 3> kPaths{"/pool/", "/stream/", "/n/"};
            for (int i = 0; i < kRequests; i += 3) {
                std::string requests;
                for (int j = 0; j < 3; ++j) {
                    requests += getRequest(std::string(kPaths[static_cast<size_t>((i / 3 + j) % 3)]) +
                                           std::to_string(i + j + k * 1000));
                }
                ASSERT_TRUE(c.send(requests));
                const Replies replies = receiveReplies(c, 3);
                ASSERT_EQ(replies.size(), 3U) << replies;
                for (int j = 0; j < 3; ++j) {
                    EXPECT_EQ(replies[static_cast<size_t>(j)].body, std::to_string(i + j + k * 1000));
                    EXPECT_EQ(replies[static_cast<size_t>(j)].header("X-Seen"), "yes");
                }
            }
        });
    }
    for (std::thread& thread : clients) thread.join();
    EXPECT_TRUE(waitUntil([&] { return logged == kClients * kRequests; }));
}

TEST_F(HttpServerTest, ClientsThatLeaveWhileTheirAnswersAreMadeDisturbNobody) {
    Workers workers(2);
    std::atomic<int> gone{0};
    std::atomic<int> begun{0};
    server->router().get("/slow", [&](const HttpRequest&, HttpResponder responder) {
        responder.onClientGone([&gone] { ++gone; });
        ++begun;
        auto shared = std::make_shared<HttpResponder>(std::move(responder));
        workers.run([shared] { shared->respond(HttpResponse::text(patternOf(50'000))); });
    });
    server->router().get("/endless", [&](const HttpRequest&, HttpResponder responder) {
        responder.onClientGone([&gone] { ++gone; });
        ++begun;
        auto writer = std::make_shared<HttpBodyWriter>(responder.stream(HttpResponse(200)));
        workers.run([writer] {
            while (writer->write(std::string(1000, 'x')) == HttpBodyWriter::Wrote::Accepted) {
            }
        });
    });
    start(2);
    for (int i = 0; i < 60; ++i) {
        BlockingClient c = client();
        const int before = begun;
        c.send(getRequest(i % 2 == 0 ? "/slow" : "/endless"));
        if (i % 3 != 0) {
            EXPECT_TRUE(waitUntil([&] { return begun > before; }));
        }
        i % 4 == 0 ? c.reset() : c.close();
    }
    EXPECT_TRUE(waitUntil([&] { return server->connections() == 0; }));
    BlockingClient c = client();
    c.send(getRequest("/hi"));
    EXPECT_EQ(receiveReplies(c, 1)[0].body, "hi");
    server->stop();
}

TEST_F(HttpServerTest, RespondersOutliveTheServer) {
    start();
    BlockingClient first = client();
    BlockingClient second = client();
    first.send(getRequest("/held"));
    second.send(getRequest("/held"));
    std::atomic<int> gone{0};
    HttpResponder kept = shelf.take();
    HttpResponder dropped = shelf.take();
    kept.onClientGone([&gone] { ++gone; });
    server->stop();
    EXPECT_EQ(gone, 1);
    server.reset();
    EXPECT_FALSE(kept.isOpen());
    std::thread([responder = std::move(dropped)]() mutable {}).join();
    EXPECT_FALSE(kept.respond(HttpResponse::text("late")));
    EXPECT_TRUE(first.isAtEnd());
    EXPECT_TRUE(second.isAtEnd());
}

TEST_F(HttpServerTest, StopsWhileOtherThreadsAnswer) {
    for (int round = 0; round < 10; ++round) {
        makeServer();
        start();
        std::vector<BlockingClient> clients;
        for (int i = 0; i < 4; ++i) {
            clients.push_back(client());
            clients.back().send(getRequest("/held"));
        }
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([responder = shelf.take()]() mutable {
                HttpBodyWriter writer = responder.stream(HttpResponse(200));
                for (int k = 0; k < 50; ++k) writer.write("piece");
                writer.finish();
            });
        }
        server->stop();
        for (std::thread& thread : threads) thread.join();
        server.reset();
    }
}

TEST_F(HttpServerTest, LargeBodiesOfEveryKindArriveWhole) {
    const std::string content = patternOf(8'000'000);
    const auto shared = std::make_shared<const std::string>(content);
    FileDescriptor memory(::memfd_create("server_test", MFD_CLOEXEC));
    ASSERT_EQ(::write(memory.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    const auto file = std::make_shared<const FileDescriptor>(std::move(memory));
    server->router().get("/owned", [&](const HttpRequest&) { return HttpResponse::text(content); });
    server->router().get("/shared", [&](const HttpRequest&) { return HttpResponse(200).setBody(shared); });
    server->router().get("/file", [&](const HttpRequest&) {
        return HttpResponse(200).setBody(HttpResponse::FileBody{file, 0, content.size()});
    });
    server->router().get("/part", [&](const HttpRequest&) {
        return HttpResponse(206).setBody(HttpResponse::FileBody{file, 1'000'000, 3'000'000});
    });
    start(1);
    BlockingClient c = client();
    c.send(getRequest("/file") + headRequest("/file") + getRequest("/owned") + getRequest("/part") +
           getRequest("/shared", "Connection: close\r\n"));
    const Replies replies = parseReplies(c.receiveAll(), {1});
    ASSERT_EQ(replies.statuses(), (std::vector<int>{200, 200, 200, 206, 200}));
    EXPECT_TRUE(replies.isClean());
    EXPECT_TRUE(replies[0].body == content);
    EXPECT_EQ(replies[1].header("Content-Length"), "8000000");
    EXPECT_TRUE(replies[2].body == content);
    EXPECT_TRUE(replies[3].body == content.substr(1'000'000, 3'000'000));
    EXPECT_TRUE(replies[4].body == content);
}

// --- TCP at its limits ---

// A reset would take the answer from a client that is still sending.
TEST_F(HttpServerTest, ARefusedUploadGetsItsAnswer) {
    HttpServer::Settings settings;
    settings.limits.bodyBytes = 100'000;
    makeServer(settings);
    server->router().post(
        "/early",
        [](const HttpRequest&, HttpResponder responder) { responder.respond(HttpResponse::text("enough")); },
        HttpRouteOptions{100'000'000, true});
    start();
    struct Row {
        std::string head;
        int status;
    };
    const Row rows[] = {
        {postHead("/echo", 20'000'000), 413},
        {postHead("/early", 20'000'000), 200},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1312d00\r\n", 413},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400}};
    for (const Row& row : rows) {
        BlockingClient c = client();
        ASSERT_TRUE(c.send(row.head + std::string(20'000'000, 'b'))) << row.head;
        c.shutDownWrite();
        const Replies replies = parseReplies(receiveToACleanEnd(c));
        EXPECT_EQ(replies.statuses(), std::vector<int>{row.status}) << row.head << replies;
        EXPECT_TRUE(replies.isClean());
    }
}

TEST_F(HttpServerTest, WhatFollowsALastRequestDoesNotResetItsAnswer) {
    start();
    for (const size_t more : {1U, 1000U, 60'000U, 500'000U}) {
        BlockingClient c = client();
        ASSERT_TRUE(c.send(getRequest("/hi", "Connection: close\r\n") + std::string(more, 'x')));
        c.shutDownWrite();
        const Replies replies = parseReplies(receiveToACleanEnd(c));
        EXPECT_EQ(replies.statuses(), std::vector<int>{200}) << more;
        EXPECT_TRUE(replies.isClean());
    }
}

// Half a body that ends with the connection looks whole, if the end does not look broken.
TEST_F(HttpServerTest, ABrokenOffBodyWithoutFramingEndsInAReset) {
    server->router().get("/half", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(200));
        writer.write("half");
    });
    start();
    BlockingClient c = client();
    c.send("GET /half HTTP/1.0\r\n\r\n");
    std::array<char, 4096> buffer;
    ssize_t n = 1;
    while (n > 0) n = ::recv(c.fd(), buffer.data(), buffer.size(), 0);
    EXPECT_EQ(n, -1);
    EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(HttpServerTest, PausingABodyStopsItsSender) {
    std::atomic<size_t> received{0};
    std::atomic<bool> paused{false};
    std::shared_ptr<HttpResponder> responder;  // the handler's, until it has paused
    server->router().post(
        "/upload",
        [&](const HttpRequest&, HttpResponder given) {
            responder = std::make_shared<HttpResponder>(std::move(given));
            responder->readBody([&, shared = responder](std::string_view piece, bool last) {
                if (received.fetch_add(piece.size()) == 0) {
                    shared->pauseBody();
                    paused = true;
                }
                if (last) shared->respond(HttpResponse::text("done"));
            });
        },
        HttpRouteOptions{1'000'000'000, true});
    start(1);
    BlockingClient c = client();
    const int small = 64 << 10;
    ::setsockopt(c.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    constexpr size_t kBody = 60'000'000;
    c.send(postHead("/upload", kBody) + "b");
    ASSERT_TRUE(waitUntil([&] { return paused.load(); }));
    const std::string piece(64 << 10, 'b');
    size_t sent = 1;
    const auto sendWithoutWaiting = [&] {
        const size_t before = sent;
        for (;;) {
            const size_t size = std::min(piece.size(), kBody - sent);
            const ssize_t n = ::send(c.fd(), piece.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n <= 0) return sent - before;
            sent += static_cast<size_t>(n);
        }
    };
    int stalls = 0;  // the window has closed when nothing is taken several times in a row
    EXPECT_TRUE(waitUntil([&] {
        stalls = sendWithoutWaiting() == 0 ? stalls + 1 : 0;
        return stalls == 50 || sent == kBody;
    }));
    EXPECT_LT(sent, kBody / 2);  // kernel buffers, and a little of ours
    EXPECT_EQ(received, 1U);
    responder->resumeBody();
    while (sent < kBody) {
        const size_t size = std::min(piece.size(), kBody - sent);
        ASSERT_TRUE(c.send(std::string_view(piece).substr(0, size)));
        sent += size;
    }
    EXPECT_EQ(receiveReplies(c, 1)[0].body, "done");
    EXPECT_EQ(received, kBody);
}

TEST_F(HttpServerTest, AClientThatDoesNotReadHoldsItsStreamBack) {
    constexpr size_t kPieces = 12'000;
    constexpr size_t kPiece = 5'000;
    std::atomic<size_t> written{0};
    struct Source : std::enable_shared_from_this<Source> {
        HttpBodyWriter writer{};
        std::atomic<size_t>* written = nullptr;
        void run() {
            while (*written < kPieces) {
                ++*written;
                if (writer.write(std::string(kPiece, 'x')) == HttpBodyWriter::Wrote::Wait) return;
            }
            writer.finish();
        }
    };
    server->router().get("/endless", [&](const HttpRequest&, HttpResponder responder) {
        auto source = std::make_shared<Source>();
        source->written = &written;
        source->writer = responder.stream(HttpResponse(200));
        source->writer.onDrain([source] { source->run(); });
        source->run();
    });
    start(1);
    BlockingClient c = client();
    c.send(getRequest("/endless", "Connection: close\r\n"));
    size_t last = 0;
    const auto awaitRound = [this] {
        std::promise<void> round;
        server->loops()[0]->addCallback([&] { round.set_value(); });
        round.get_future().wait();
    };
    EXPECT_TRUE(waitUntil([&] {  // its loop has nothing to do for it
        const size_t before = written;
        for (int i = 0; i < 3; ++i) awaitRound();
        last = written;
        return last > 0 && last == before;
    }));
    EXPECT_LT(last * kPiece, 30'000'000U);
    const Replies replies = parseReplies(c.receiveAll());
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].body.size(), kPieces * kPiece);
}

TEST_F(HttpServerTest, AFloodOfPipelinedRequestsIsAnsweredWhenItIsRead) {
    start(1);
    constexpr int kRequests = 50'000;
    BlockingClient c = client();
    std::thread sender([&c] {
        std::string requests;
        for (int i = 0; i < kRequests; ++i) {
            requests += getRequest("/n/" + std::to_string(i));
            if (requests.size() < 100'000 && i + 1 < kRequests) continue;
            ASSERT_TRUE(c.send(requests));
            requests.clear();
        }
        c.shutDownWrite();
    });
    const Replies replies = parseReplies(c.receiveAll());
    sender.join();
    ASSERT_EQ(replies.size(), static_cast<size_t>(kRequests));
    for (int i = 0; i < kRequests; ++i) ASSERT_EQ(replies[static_cast<size_t>(i)].body, std::to_string(i));
}

// --- Limits per address ---

TEST_F(HttpServerTest, AnAddressThatAsksTooOftenIsToldToWait) {
    HttpServer::Settings settings;
    settings.limits.addressRequestsPerSecond = 1;
    settings.limits.addressRequestBurst = 3;
    makeServer(settings);
    start(2);
    BlockingClient c = client();
    for (int i = 0; i < 3; ++i) c.send(getRequest("/hi"));
    EXPECT_EQ(receiveReplies(c, 3).statuses(), (std::vector<int>{200, 200, 200}));
    // On any of its connections, and loops; the connection is kept.
    for (int i = 0; i < 5; ++i) {
        BlockingClient other = client();
        other.send(getRequest("/hi") + postRequest("/echo", "body"));
        const Replies replies = parseReplies(other.receiveAll());  // a body that is not read ends it
        ASSERT_EQ(replies.statuses(), (std::vector<int>{429, 429}));
        EXPECT_EQ(replies[0].header("Retry-After"), "1");
        EXPECT_FALSE(replies[0].has("Connection"));
        EXPECT_EQ(replies[1].header("Connection"), "close");
    }
    EXPECT_TRUE(waitUntil([&] {
        c.send(getRequest("/hi"));
        return receiveReplies(c, 1)[0].status == 200;
    }));
}

// --- Draining ---

TEST_F(HttpServerTest, DrainAnswersWhatIsUnderWayAndReportsNothingForced) {
    start(1);  // one loop: it drains at once
    BlockingClient idle = client();
    BlockingClient busy = client();
    idle.send(getRequest("/hi"));
    EXPECT_EQ(receiveReplies(idle, 1).size(), 1U);
    busy.send(getRequest("/held"));
    HttpResponder responder = shelf.take();
    std::thread answerer([&] {
        EXPECT_TRUE(idle.isAtEnd());  // drain has begun
        responder.respond(HttpResponse::text("late"));
    });
    EXPECT_EQ(server->drain(kTestDeadline), 0U);
    answerer.join();
    const Replies replies = parseReplies(busy.receiveAll());
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].body, "late");
    EXPECT_EQ(replies[0].header("Connection"), "close");
    EXPECT_FALSE(BlockingClient::connectTo(address).valid());
}

TEST_F(HttpServerTest, DrainForcesWhatDoesNotEnd) {
    start();
    BlockingClient busy = client();
    busy.send(getRequest("/held"));
    HttpResponder responder = shelf.take();
    std::atomic<int> gone{0};
    responder.onClientGone([&gone] { ++gone; });
    EXPECT_EQ(server->drain(milliseconds(50)), 1U);
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(responder.respond(HttpResponse::text("late")));
    EXPECT_TRUE(busy.isAtEnd());
}

// A client that has connected and asked before the drain began is not turned away with a reset.
TEST_F(HttpServerTest, DrainAnswersRequestsThatHaveArrived) {
    const auto loop = IOLoop::create();
    const auto bound = server->listen(Address::loopback(0));
    ASSERT_TRUE(server->attach(loop->get()));
    BlockingClient known = BlockingClient::connectTo(*bound);
    ASSERT_TRUE(runLoopUntil(loop->get(), [&] { return server->connections() == 1; }));
    BlockingClient inBacklog = BlockingClient::connectTo(*bound);
    known.send(getRequest("/n/1"));
    inBacklog.send(getRequest("/n/2"));
    server->beginDrain();
    ASSERT_TRUE(runLoopUntil(loop->get(), [&] { return server->connections() == 0; }));
    const Replies first = parseReplies(known.receiveAll());
    const Replies second = parseReplies(inBacklog.receiveAll());
    ASSERT_EQ(first.size(), 1U);
    ASSERT_EQ(second.size(), 1U);
    EXPECT_EQ(first[0].body, "1");
    EXPECT_EQ(second[0].body, "2");
    server->stop();
}

}  // namespace
}  // namespace tnet
