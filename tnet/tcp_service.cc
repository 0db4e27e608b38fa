#include "tnet/tcp_service.h"

#include "tnet/connection.h"

namespace tnet {

void TcpService::onDrain(ConnChecker& connections) {
    connections.forEach([](const ConnectionPtr_t& connection) { connection->shutDown(); });
}

void TcpService::onListenersClosed(ConnChecker& connections) { TcpService::onDrain(connections); }

}  // namespace tnet
