// beast_ws: a WebSocket echo on Boost.Beast, a peer for bench/run: one io_context, one thread, asynchronous
// reads and writes, every message echoed as what it was, in one frame like the others.
//
// Boost is no dependency of this project: the target is tagged manual and wants Debian's libboost-dev.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

class Session : public std::enable_shared_from_this<Session> {
public:
    explicit Session(tcp::socket socket) : m_stream(std::move(socket)) {}

    void start() {
        m_stream.auto_fragment(false);  // on, it cuts what does not fit its write buffer of 4 KiB
        m_stream.async_accept([self = shared_from_this()](ErrorCode error) {
            if (!error) {
                self->readNext();
            }
        });
    }

private:
    void readNext() {
        m_stream.async_read(m_buffer, [self = shared_from_this()](ErrorCode error, size_t) {
            if (!error) {
                self->echo();
            }
        });
    }

    void echo() {
        m_stream.text(m_stream.got_text());
        m_stream.async_write(m_buffer.data(), [self = shared_from_this()](ErrorCode error, size_t size) {
            if (!error) {
                self->m_buffer.consume(size);
                self->readNext();
            }
        });
    }

    websocket::stream<tcp::socket> m_stream;
    boost::beast::flat_buffer m_buffer;
};

class Listener {
public:
    Listener(asio::io_context& context, unsigned short port)
        : m_acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), port)) {
        std::printf("listening on http://127.0.0.1:%d\n", m_acceptor.local_endpoint().port());
        std::fflush(stdout);
        acceptNext();
    }

private:
    void acceptNext() {
        m_acceptor.async_accept([this](ErrorCode error, tcp::socket socket) {
            if (!error) {
                socket.set_option(tcp::no_delay(true));
                std::make_shared<Session>(std::move(socket))->start();
            }
            acceptNext();
        });
    }

    tcp::acceptor m_acceptor;
};

}  // namespace

int main(int argc, char** argv) {
    const bool isPortGiven = argc == 3 && std::string_view(argv[1]) == "--port";
    if (argc != 1 && !isPortGiven) {
        std::fprintf(stderr, "usage: beast_ws [--port N]    (0, the default: any free port)\n");
        return 2;
    }
    const int port = isPortGiven ? std::atoi(argv[2]) : 0;
    asio::io_context context(1);
    asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([&context](ErrorCode, int) { context.stop(); });
    const Listener listener(context, static_cast<unsigned short>(port));
    context.run();
    return 0;
}
