// beast_http: "Hello, World!" on Boost.Beast, a peer for bench/run: one io_context, one thread,
// asynchronous reads and writes, keep-alive, the same answer as the others.
//
// Boost is no dependency of this project: the target is tagged manual and wants Debian's libboost-dev.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// The Date of this second; formatted once in it.
class DateField {
public:
    const std::string& text() {
        const std::time_t now = std::time(nullptr);
        if (now != m_second) {
            m_second = now;
            std::tm parts{};
            gmtime_r(&now, &parts);
            char date[64];
            m_text.assign(date, std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts));
        }
        return m_text;
    }

private:
    std::time_t m_second = 0;
    std::string m_text;
};

class Session : public std::enable_shared_from_this<Session> {
public:
    Session(tcp::socket socket, DateField& date) : m_socket(std::move(socket)), m_date(date) {}

    void readNext() {
        m_request = {};
        http::async_read(m_socket, m_buffer, m_request, [self = shared_from_this()](ErrorCode error, size_t) {
            if (!error) {
                self->answer();
            }
        });
    }

private:
    void answer() {
        m_response = {http::status::ok, m_request.version()};
        m_response.set(http::field::content_type, "text/plain");
        m_response.set(http::field::date, m_date.text());
        m_response.keep_alive(m_request.keep_alive());
        m_response.body() = "Hello, World!";
        m_response.prepare_payload();
        http::async_write(m_socket, m_response, [self = shared_from_this()](ErrorCode error, size_t) {
            if (!error && self->m_response.keep_alive()) {
                self->readNext();
            }
        });
    }

    tcp::socket m_socket;
    DateField& m_date;
    boost::beast::flat_buffer m_buffer;
    http::request<http::string_body> m_request;
    http::response<http::string_body> m_response;
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
                std::make_shared<Session>(std::move(socket), m_date)->readNext();
            }
            acceptNext();
        });
    }

    tcp::acceptor m_acceptor;
    DateField m_date;
};

}  // namespace

int main(int argc, char** argv) {
    const bool isPortGiven = argc == 3 && std::string_view(argv[1]) == "--port";
    if (argc != 1 && !isPortGiven) {
        std::fprintf(stderr, "usage: beast_http [--port N]    (0, the default: any free port)\n");
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
