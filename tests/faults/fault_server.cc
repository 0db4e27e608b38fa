#include "tests/faults/fault_server.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <future>
#include <string>
#include <utility>

#include "tests/faults/injector.h"
#include "tests/faults/pattern.h"

namespace tnet {
namespace {

constexpr size_t kFileBytes = 256 << 10;

size_t numberOf(std::string_view text) {
    size_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

std::string idOf(const HttpRequest& request) {
    return std::string(request.param("connection")) + "/" + std::string(request.param("message"));
}

std::string bodyOf(const HttpRequest& request) {
    return patternOf(static_cast<uint32_t>(numberOf(request.param("connection"))),
                     static_cast<uint32_t>(numberOf(request.param("message"))),
                     numberOf(request.param("size")));
}

// Streams a text in pieces, as fast as they are read.
class Source : public std::enable_shared_from_this<Source> {
public:
    Source(HttpBodyWriter writer, std::string text) : m_writer(std::move(writer)), m_text(std::move(text)) {}

    void start() {
        m_writer.onDrain([self = shared_from_this()] { self->writeSome(); });
        writeSome();
    }

private:
    void writeSome() {
        while (m_at < m_text.size()) {
            std::string piece = m_text.substr(m_at, 1500);
            m_at += piece.size();
            if (m_writer.write(std::move(piece)) != HttpBodyWriter::Wrote::Accepted) return;
        }
        m_writer.finish();
    }

    HttpBodyWriter m_writer;
    std::string m_text;
    size_t m_at = 0;
};

SharedFilePtr_t makeFile() {
    auto file = std::make_shared<FileDescriptor>(::memfd_create("pattern", MFD_CLOEXEC));
    const std::string bytes = patternOf(0, 0, kFileBytes);
    EXPECT_EQ(::write(file->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return file;
}

}  // namespace

size_t openDescriptors() {
    size_t count = 0;
    DIR* const directory = ::opendir("/proc/self/fd");
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count;
}

FaultServer::FaultServer(TransportFactory_t transport, HttpServer::Settings settings)
    : m_server(std::move(settings)), m_ws(m_server.router()), m_file(makeFile()) {
    addRoutes();
    const auto bound = m_server.listen(Address::loopback(0), std::move(transport));
    EXPECT_TRUE(bound.ok());
    m_address = *bound;
}

FaultServer::~FaultServer() = default;

void FaultServer::start() {
    const Status started = m_server.start(kLoops);
    ASSERT_TRUE(started.ok()) << started.error().message;
    uint64_t index = 0;
    for (IOLoop* const loop : m_server.loops()) {
        std::promise<void> done;
        loop->addCallback([&done, i = index++] {
            sufferFaults(i);
            done.set_value();
        });
        done.get_future().wait();
    }
}

void FaultServer::addRoutes() {
    HttpRouter& router = m_server.router();
    router.get("/loop", [](const HttpRequest&) {
        return HttpResponse::text(std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id())));
    });
    router.get("/owned/:connection/:message/:size", [](const HttpRequest& request) {
        return HttpResponse(200).header("X-Id", idOf(request)).setBody(bodyOf(request));
    });
    router.get("/shared/:connection/:message/:size", [](const HttpRequest& request, HttpResponder responder) {
        SharedBytesPtr_t body = std::make_shared<const std::string>(bodyOf(request));
        responder.respond(HttpResponse(200).header("X-Id", idOf(request)).setBody(std::move(body)));
    });
    router.get("/stream/:connection/:message/:size", [](const HttpRequest& request, HttpResponder responder) {
        std::string body = bodyOf(request);
        HttpResponse head = HttpResponse(200).header("X-Id", idOf(request));
        std::make_shared<Source>(responder.stream(std::move(head)), std::move(body))->start();
    });
    router.get("/file/:connection/:message/:size/:offset", [file = m_file](const HttpRequest& request) {
        const HttpResponse::FileBody range{file, static_cast<off_t>(numberOf(request.param("offset"))),
                                           numberOf(request.param("size"))};
        return HttpResponse(200).header("X-Id", idOf(request)).setBody(range);
    });
    router.post("/echo/:connection/:message", [](const HttpRequest& request) {
        return HttpResponse(200).header("X-Id", idOf(request)).setBody(std::string(request.body()));
    });

    WsRoute route;
    route.maxQueuedBytes = 8 << 20;
    route.pingInterval = std::chrono::milliseconds(200);
    route.onOpen = [](const WsConnectionPtr_t& connection) { connection->subscribe("news"); };
    route.onMessage = [](const WsConnectionPtr_t& connection, std::string_view message, WsOpcode opcode) {
        connection->send(message, opcode);
    };
    EXPECT_TRUE(m_ws.route("/ws", route));
    route.compression = WsCompression::Shared;
    EXPECT_TRUE(m_ws.route("/ws/shared", route));
    route.compression = WsCompression::Dedicated;
    EXPECT_TRUE(m_ws.route("/ws/dedicated", route));
}

}  // namespace tnet
