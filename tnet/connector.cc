#include "tnet/connector.h"

#include <cerrno>
#include <utility>

namespace tnet {
namespace {

struct Attempt {
    FileDescriptor socket;
    std::error_code error;  // set: failed at once
    Connection::Origin origin = Connection::Origin::Connecting;
};

Attempt beginConnect(const Address& address) {
    auto socket = openSocket(address.family());
    if (!socket) return {FileDescriptor(), socket.error().code};
    if (!address.isUnix()) setNoDelay(socket->get(), true);
    if (::connect(socket->get(), address.data(), address.size()) == 0) {
        return {std::move(*socket), {}, Connection::Origin::Connected};
    }
    if (errno == EINPROGRESS) return {std::move(*socket), {}};
    return {std::move(*socket), std::error_code(errno, std::generic_category())};
}

}  // namespace

Connector::Connector(IOLoop* loop, Settings settings) : m_loop(loop), m_settings(std::move(settings)) {}

ConnectionPtr_t Connector::connect(const Address& address, ConnEventCallback_t callback) {
    Attempt attempt = beginConnect(address);
    const auto connection = std::make_shared<Connection>(m_loop, std::move(attempt.socket),
                                                         m_settings.transport(), attempt.origin);
    connection->setPeer(PeerAddress(address.data(), address.size()));
    connection->setEventCallback(std::move(callback));
    connection->limitConnecting(m_settings.timeout);
    connection->startLater(attempt.error);
    return connection;
}

}  // namespace tnet
