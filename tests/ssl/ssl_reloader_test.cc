#include "tnet/ssl/ssl_reloader.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/test_pki.h"
#include "tnet/log.h"

namespace tnet {
namespace {

constexpr std::chrono::milliseconds kInterval{2};

// Of files, and of what a reload is to say.
class FakeContext final : public SslContext {
public:
    explicit FakeContext(std::vector<std::string> files) : m_files(std::move(files)) {}

    TransportFactory_t accepting() override { return nullptr; }
    TransportFactory_t connectingTo(std::string) override { return nullptr; }
    Status reload() override {
        ++reloads;
        if (error.empty()) return Done{};
        return Error{std::make_error_code(std::errc::invalid_argument), error};
    }
    std::vector<std::string> files() const override { return m_files; }
    SslStats stats() const override { return {}; }

    int reloads = 0;
    std::string error{};

private:
    std::vector<std::string> m_files;
};

class SslReloaderTest : public testing::Test {
protected:
    SslReloaderTest() : m_loop(std::move(*IOLoop::create())) {
        // Static: the library keeps every logger that was set, so its stream has to stay too.
        static std::ostringstream stream;
        stream.str({});
        m_log = &stream;
        auto made = std::make_shared<spdlog::logger>(
            "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(stream));
        made->set_pattern("%l %v");
        setLogger(std::move(made));
    }
    ~SslReloaderTest() override { setLogger(nullptr); }

    bool waitFor(const std::function<bool()>& condition) { return runLoopUntil(m_loop.get(), condition); }

    // Long enough for the reloader to have looked several times.
    bool waitForLooks() {
        int ticks = 0;
        const TimerId timer = m_loop->runEvery(kInterval, [&ticks] { ++ticks; });
        const bool hasRun = waitFor([&ticks] { return ticks >= 5; });
        m_loop->cancel(timer);
        return hasRun;
    }

    size_t linesInLog() const {
        const std::string text = m_log->str();
        return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    }
    bool logHas(const std::string& text) const { return m_log->str().find(text) != std::string::npos; }

    const TestPki m_pki{};
    const std::unique_ptr<IOLoop> m_loop;
    std::ostringstream* m_log;
};

TEST_F(SslReloaderTest, ReloadsOncePerChange) {
    const auto context = std::make_shared<FakeContext>(
        std::vector{m_pki.write("cert", "1"), m_pki.write("key", "1"), m_pki.path("missing")});
    const SslReloader reloader(m_loop.get(), context, kInterval);
    ASSERT_TRUE(waitForLooks());
    EXPECT_EQ(context->reloads, 0);
    int expected = 0;
    for (const char* const file : {"cert", "key", "missing", "cert"}) {
        m_pki.write(file, std::string(static_cast<size_t>(++expected) + 1, 'x'));
        ASSERT_TRUE(waitFor([&] { return context->reloads == expected; })) << file;
        ASSERT_TRUE(waitForLooks());
        EXPECT_EQ(context->reloads, expected);
        EXPECT_EQ(linesInLog(), static_cast<size_t>(expected));
    }
    EXPECT_TRUE(logHas("info TLS: reloaded " + m_pki.path("cert")));
    std::filesystem::remove(m_pki.path("key"));
    EXPECT_TRUE(waitFor([&] { return context->reloads == expected + 1; }));
}

// A file of the same size, as the next certificate often is.
TEST_F(SslReloaderTest, SeesAFileThatTookTheOthersPlace) {
    const auto context = std::make_shared<FakeContext>(std::vector{m_pki.write("cert", "1")});
    const auto time = std::filesystem::last_write_time(m_pki.path("cert"));
    const SslReloader reloader(m_loop.get(), context, kInterval);
    m_pki.write("next", "2");
    std::filesystem::last_write_time(m_pki.path("next"), time);
    std::filesystem::rename(m_pki.path("next"), m_pki.path("cert"));
    EXPECT_TRUE(waitFor([&] { return context->reloads == 1; }));

    std::filesystem::last_write_time(m_pki.path("cert"), time + std::chrono::nanoseconds(1));
    EXPECT_TRUE(waitFor([&] { return context->reloads == 2; }));
}

// live/cert.pem -> ../archive/cert1.pem, as certbot has it.
TEST_F(SslReloaderTest, FollowsLinks) {
    m_pki.write("cert1", "1");
    m_pki.write("cert2", "2");
    std::filesystem::create_symlink("cert1", m_pki.path("live"));
    const auto context = std::make_shared<FakeContext>(std::vector{m_pki.path("live")});
    const SslReloader reloader(m_loop.get(), context, kInterval);
    std::filesystem::create_symlink("cert2", m_pki.path("next"));
    std::filesystem::rename(m_pki.path("next"), m_pki.path("live"));
    EXPECT_TRUE(waitFor([&] { return context->reloads == 1; }));
    m_pki.write("cert2", "changed itself");
    EXPECT_TRUE(waitFor([&] { return context->reloads == 2; }));
}

TEST_F(SslReloaderTest, AFailureIsLoggedOnceAndTriedAtTheNextChange) {
    const auto context = std::make_shared<FakeContext>(std::vector{m_pki.write("cert", "1")});
    const SslReloader reloader(m_loop.get(), context, kInterval);
    context->error = "cert: what is this";
    m_pki.write("cert", "22");
    ASSERT_TRUE(waitFor([&] { return context->reloads == 1; }));
    ASSERT_TRUE(waitForLooks());
    EXPECT_EQ(context->reloads, 1);
    EXPECT_EQ(linesInLog(), 1U);
    EXPECT_TRUE(logHas("error TLS: not reloaded, the former certificates stay: cert: what is this"));
    context->error.clear();
    m_pki.write("cert", "333");
    ASSERT_TRUE(waitFor([&] { return context->reloads == 2; }));
    EXPECT_EQ(linesInLog(), 2U);
    EXPECT_TRUE(logHas("info TLS: reloaded"));
}

TEST_F(SslReloaderTest, StopsWhenItIsDestroyed) {
    const auto context = std::make_shared<FakeContext>(std::vector{m_pki.write("cert", "1")});
    auto reloader = std::make_unique<SslReloader>(m_loop.get(), context, kInterval);
    reloader.reset();
    m_pki.write("cert", "22");
    ASSERT_TRUE(waitForLooks());
    EXPECT_EQ(context->reloads, 0);
}

// With a context that reads its files: first the certificate alone is new, then its key too.
TEST_F(SslReloaderTest, ReloadsACertificateAndThenItsKey) {
    const SslCertificateFiles live = m_pki.files("localhost");
    const auto context = SslContext::createServer({.certificates = {live}});
    ASSERT_TRUE(context) << context.error().message;
    const SslReloader reloader(m_loop.get(), *context, kInterval);
    const SslCertificateFiles next = m_pki.issue("next", {.altNames = {"DNS:localhost"}});
    std::filesystem::rename(next.chainFile, live.chainFile);
    ASSERT_TRUE(waitFor([&] { return logHas(live.keyFile + " is not the key of " + live.chainFile); }));
    std::filesystem::rename(next.keyFile, live.keyFile);
    ASSERT_TRUE(waitFor([&] { return logHas("info TLS: reloaded " + live.chainFile); }));
}

}  // namespace
}  // namespace tnet
