#include "http/responder.h"

#include <cassert>
#include <utility>

namespace tnet {

HttpBodyWriter& HttpBodyWriter::operator=(HttpBodyWriter&& other) noexcept {
    if (this == &other) return *this;
    HttpBodyWriter old(std::exchange(m_exchange, std::move(other.m_exchange)));
    return *this;
}

HttpBodyWriter::~HttpBodyWriter() {
    if (m_exchange) m_exchange->abandon();
}

HttpBodyWriter::Wrote HttpBodyWriter::write(std::string piece) {
    return m_exchange ? m_exchange->write(std::move(piece)) : Wrote::Closed;
}

void HttpBodyWriter::onDrain(Callback_t callback) {
    if (m_exchange) m_exchange->onDrain(std::move(callback));
}

void HttpBodyWriter::pauseBody() {
    if (m_exchange) m_exchange->pauseBody();
}

void HttpBodyWriter::resumeBody() {
    if (m_exchange) m_exchange->resumeBody();
}

void HttpBodyWriter::finish(HttpHeaders trailers) {
    if (const HttpExchangePtr_t exchange = std::exchange(m_exchange, nullptr))
        exchange->end(std::move(trailers));
}

HttpResponder::HttpResponder(HttpExchangePtr_t exchange) : m_exchange(std::move(exchange)) {
    m_exchange->markShared();
}

HttpResponder& HttpResponder::operator=(HttpResponder&& other) noexcept {
    if (this == &other) return *this;
    const HttpResponder old(std::move(*this));
    m_exchange = std::move(other.m_exchange);
    return *this;
}

HttpResponder::~HttpResponder() {
    if (m_exchange) m_exchange->dropped();
}

bool HttpResponder::respond(HttpResponse response) {
    const HttpExchangePtr_t exchange = take();
    return exchange && exchange->respond(std::move(response));
}

HttpBodyWriter HttpResponder::stream(HttpResponse head) {
    HttpExchangePtr_t exchange = take();
    if (!exchange || !exchange->startStream(std::move(head))) return HttpBodyWriter();
    return HttpBodyWriter(std::move(exchange));
}

bool HttpResponder::readBody(HttpBodyCallback_t callback) {
    return m_exchange && m_exchange->readBody(std::move(callback));
}

void HttpResponder::pauseBody() {
    if (m_exchange) m_exchange->pauseBody();
}

void HttpResponder::resumeBody() {
    if (m_exchange) m_exchange->resumeBody();
}

bool HttpResponder::upgrade(HttpResponse head, HttpTakeOver_t takeOver) {
    const HttpExchangePtr_t exchange = take();
    return exchange && exchange->upgrade(std::move(head), std::move(takeOver));
}

void HttpResponder::onResponse(HttpResponseHook_t hook) {
    if (!m_exchange) return;
    m_exchange->onLoop(
        [hook = std::move(hook)](HttpSink&, HttpExchange& exchange) { return exchange.addHook(hook), true; });
}

void HttpResponder::onClientGone(Callback_t callback) {
    if (m_exchange) m_exchange->onGone(std::move(callback));
}

}  // namespace tnet
