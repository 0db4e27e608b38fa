// echo_server: sends back what it receives. `printf hello | nc -N 127.0.0.1 7007`
#include <csignal>
#include <cstdio>

#include "tnet/connection.h"
#include "tnet/signaler.h"
#include "tnet/standard_descriptors.h"
#include "tnet/tcp_server.h"

using namespace tnet;

int main(int argc, char** argv) {
    openStandardDescriptors();
    const auto address = Address::parse(argc > 1 ? argv[1] : "127.0.0.1:7007");
    auto loop = IOLoop::create();
    if (!address || !loop) return std::fprintf(stderr, "usage: echo_server [ADDRESS:PORT]\n"), 2;
    const auto signaler =
        Signaler::create(loop->get(), {SIGINT, SIGTERM, SIGHUP}, [&loop](int) { (*loop)->stop(); });

    TcpServer server;
    server.setEventCallback([](const ConnectionPtr_t& connection, ConnEvent event, const void* context) {
        if (event == Conn_EstablishedEvent) connection->setHalfCloseAllowed(true);
        if (event != Conn_ReadEvent) return;
        const auto& bytes = *static_cast<const StackBuffer*>(context);
        bytes.empty() ? connection->shutDown() : void(connection->send(bytes.view()));
    });
    const auto bound = server.listen(*address);
    const Status started = bound ? server.start(2) : Status(bound.error());
    if (!started) return std::fprintf(stderr, "echo_server: %s\n", started.error().message.c_str()), 1;

    std::printf("listening on %s\n", bound->toString().c_str());
    std::fflush(stdout);
    (*loop)->start();
    server.drain(std::chrono::seconds(5));
}
