// ws_load: a WebSocket load that believes nothing: every upgrade must be answered as RFC 6455 §4.1 says, and
// every message must come back as the one frame that is owed, or it says what came instead and exits 1.
//
//   echo     C connections, each with D masked messages under way: as many as came back are sent again
//   idle     opens C connections, one echoed message each, prints ready=1 and holds them until stdin ends
//   fanout   opens N subscribers and a publisher, who keeps W messages under way; a message is done when
//            every subscriber has it. Prints ready=1 when the first one is, waits for a line on stdin (or its
//            end), publishes the others, prints the result and done=1, and holds its connections until stdin
//            ends: whoever measures the server can look before they go
//
// It connects and shakes hands blocking and reads through one epoll. It ends connections without a Close
// frame, as a client that is killed does.
//
// Output: key=value lines. Exit status: 0, 1 for a wrong echo or a lost connection, 2 for a wrong flag.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/load_flags.h"
#include "bench/load_socket.h"
#include "bench/ws_client.h"
#include "bench/ws_echo_load.h"
#include "bench/ws_fanout_load.h"
#include "bench/ws_messages.h"

namespace {

constexpr const char* kUsage =
    "usage: ws_load echo --port N [--connections 64] [--bytes 20] [--in-flight 1] [--path /]\n"
    "                    [--text | --utf8 | --binary] --seconds N | --messages N\n"
    "       ws_load idle --port N [--connections 10000] [--bytes 20] [--path /]\n"
    "       ws_load fanout --port N [--subscribers 10000] [--bytes 128] [--messages 100] [--window 4]\n"
    "                      [--publish-path /publish] [--subscribe-path /subscribe]\n"
    "each takes --address A (127.0.0.1)\n";

tnet::LoadTarget targetOf(tnet::LoadFlags& flags) {
    const std::string address = flags.text("--address", "127.0.0.1");
    return {address, flags.port()};
}

tnet::WsPayload payloadOf(tnet::LoadFlags& flags) {
    const bool isText = flags.has("--text");
    const bool isUtf8 = flags.has("--utf8");
    const bool isBinary = flags.has("--binary");
    if (isText + isUtf8 + isBinary > 1) {
        flags.reject("--text, --utf8 and --binary exclude each other");
    }
    return isUtf8 ? tnet::WsPayload::Utf8 : isBinary ? tnet::WsPayload::Binary : tnet::WsPayload::Text;
}

void echo(tnet::LoadFlags& flags) {
    const tnet::LoadTarget target = targetOf(flags);
    tnet::EchoLoadSettings settings;
    settings.connections = flags.number("--connections", settings.connections);
    settings.inFlight = flags.number("--in-flight", settings.inFlight);
    settings.seconds = std::chrono::seconds(flags.number("--seconds", 0));
    settings.messages = flags.number("--messages", 0);
    settings.path = flags.text("--path", settings.path);
    const tnet::WsMessages messages(payloadOf(flags), flags.number("--bytes", 20));
    flags.rejectOthers();
    if ((settings.seconds.count() > 0) == (settings.messages > 0)) {
        flags.reject("echo wants either --seconds or --messages");
    }
    tnet::EchoLoad(target, settings, messages).run();
}

void idle(tnet::LoadFlags& flags) {
    tnet::LoadTarget target = targetOf(flags);
    const uint64_t connections = flags.number("--connections", 10000);
    const std::string path = flags.text("--path", "/");
    const tnet::WsMessages messages(tnet::WsPayload::Text, flags.number("--bytes", 20));
    flags.rejectOthers();
    std::vector<int> fds;
    for (uint64_t i = 0; i < connections; ++i) {
        fds.push_back(target.connectFromNextSource());
        tnet::openWebSocket(fds.back(), target, path);
        tnet::exchangeMessage(fds.back(), messages, i);
    }
    std::printf("ready=1\n");
    std::fflush(stdout);
    tnet::holdUntilStdinEnds(fds);
}

void fanout(tnet::LoadFlags& flags) {
    tnet::LoadTarget target = targetOf(flags);
    tnet::FanoutLoadSettings settings;
    settings.subscribers = flags.number("--subscribers", settings.subscribers);
    settings.messages = flags.number("--messages", settings.messages);
    settings.window = flags.number("--window", settings.window);
    settings.publishPath = flags.text("--publish-path", settings.publishPath);
    settings.subscribePath = flags.text("--subscribe-path", settings.subscribePath);
    const tnet::WsMessages messages(tnet::WsPayload::Text, flags.number("--bytes", 128));
    flags.rejectOthers();
    tnet::FanoutLoad(target, settings, messages).run();
}

}  // namespace

int main(int argc, char** argv) {
    tnet::LoadFlags flags("ws_load", kUsage, argc, argv);
    if (flags.mode() == "echo") {
        echo(flags);
    } else if (flags.mode() == "idle") {
        idle(flags);
    } else if (flags.mode() == "fanout") {
        fanout(flags);
    } else {
        flags.reject("unknown mode " + flags.mode());
    }
    return 0;
}
