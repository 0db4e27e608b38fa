#include "tnet/ssl/ssl_certificate.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/test_pki.h"

namespace tnet {
namespace {

std::string contentOf(const std::string& file) {
    std::ostringstream content;
    content << std::ifstream(file).rdbuf();
    return content.str();
}

class SslCertificateTest : public testing::Test {
protected:
    const TestPki& pki() const { return TestPki::shared(); }

    std::string errorOf(const SslCertificateFiles& files) const {
        const auto loaded = SslCertificate::load(files);
        return loaded ? "" : loaded.error().message;
    }
};

TEST_F(SslCertificateTest, TellsItsNamesAndKey) {
    const auto example = SslCertificate::load(pki().files("example"));
    ASSERT_TRUE(example) << example.error().message;
    EXPECT_EQ(example->dnsNames(), (std::vector<std::string>{"example.org", "www.example.org"}));
    EXPECT_EQ(example->keyType(), EVP_PKEY_EC);
    const auto rsa = SslCertificate::load(pki().files("localhost-rsa"));
    ASSERT_TRUE(rsa) << rsa.error().message;
    EXPECT_EQ(rsa->dnsNames(), (std::vector<std::string>{"localhost"}));
    EXPECT_EQ(rsa->keyType(), EVP_PKEY_RSA);
    const auto nameless = SslCertificate::load(pki().files("common-name"));
    ASSERT_TRUE(nameless) << nameless.error().message;
    EXPECT_TRUE(nameless->dnsNames().empty());
}

TEST_F(SslCertificateTest, ChainAndKeyMayBeOneFile) {
    const SslCertificateFiles apart = pki().files("intermediate");
    const std::string joint = pki().write("joint.pem", contentOf(apart.keyFile) + contentOf(apart.chainFile));
    EXPECT_EQ(errorOf({.chainFile = joint, .keyFile = joint}), "");
}

// Each says which file it is, and why.
TEST_F(SslCertificateTest, ErrorsNameTheFile) {
    const SslCertificateFiles good = pki().files("localhost");
    const std::string missing = pki().path("missing");
    const std::string empty = pki().write("empty", "");
    const std::string text = pki().write("text", "this is no PEM\n");
    const std::string torn = pki().write("torn", contentOf(good.chainFile).substr(0, 200));
    const std::string tornSecond =
        pki().write("torn-second", contentOf(good.chainFile) + contentOf(good.chainFile).substr(0, 200));
    const std::string tornKey = pki().write("torn-key", contentOf(good.keyFile).substr(0, 100));
    const std::string encrypted =
        pki().write("encrypted.key",
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
                    "-----END ENCRYPTED PRIVATE KEY-----\n");
    const std::string rsaKey = pki().files("localhost-rsa").keyFile;
    const std::string otherKey = pki().files("example").keyFile;
    const std::string ocsp = pki().makeOcsp("localhost", TestPki::Ocsp::Good);
    const std::string later =
        pki().write("later.ocsp", contentOf(pki().makeOcsp("example", TestPki::Ocsp::TryLater)));
    const std::string others = pki().makeOcsp("example", TestPki::Ocsp::Good);

    struct Case {
        SslCertificateFiles files;
        std::vector<std::string> says;
    };
    const std::array cases{
        Case{{missing, good.keyFile}, {missing + ": ", "No such file or directory"}},
        Case{{empty, good.keyFile}, {empty + ": ", "no start line"}},
        Case{{text, good.keyFile}, {text + ": ", "no start line"}},
        Case{{torn, good.keyFile}, {torn + ": ", "bad end line"}},
        Case{{tornSecond, good.keyFile}, {tornSecond + ": ", "bad end line"}},
        Case{{pki().directory(), good.keyFile}, {pki().directory() + ": ", "no start line"}},
        Case{{good.keyFile, good.keyFile}, {good.keyFile + ": ", "no start line"}},
        Case{{"", good.keyFile}, {"chainFile"}},
        Case{{good.chainFile, missing}, {missing + ": ", "No such file or directory"}},
        Case{{good.chainFile, good.chainFile}, {good.chainFile + ": "}},
        Case{{good.chainFile, tornKey}, {tornKey + ": "}},
        Case{{good.chainFile, encrypted}, {encrypted + ": "}},
        Case{{good.chainFile, ""}, {good.chainFile, "keyFile"}},
        Case{{good.chainFile, otherKey}, {otherKey, "is not the key of " + good.chainFile, "mismatch"}},
        Case{{good.chainFile, rsaKey}, {rsaKey, "is not the key of " + good.chainFile, "key types"}},
        Case{{good.chainFile, good.keyFile, missing}, {missing + ": ", "No such file or directory"}},
        Case{{good.chainFile, good.keyFile, text}, {text + ": "}},
        Case{{good.chainFile, good.keyFile, later}, {later + ": ", "trylater"}},
        Case{{good.chainFile, good.keyFile, others}, {others + ": ", "another certificate"}},
    };
    EXPECT_EQ(errorOf({good.chainFile, good.keyFile, ocsp}), "");
    for (const Case& each : cases) {
        const std::string error = errorOf(each.files);
        SCOPED_TRACE(error);
        for (const std::string& part : each.says) EXPECT_NE(error.find(part), std::string::npos) << part;
    }
}

TEST_F(SslCertificateTest, LoadsAllOfAFile) {
    const std::string both =
        pki().write("both.pem", contentOf(pki().caFile()) + "a comment\n" + contentOf(pki().otherCaFile()));
    const auto loaded = loadCertificates(both);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->size(), 2U);
}

TEST_F(SslCertificateTest, AnOldStapleIsNotShown) {
    SslCertificateFiles files = pki().files("localhost");
    EXPECT_FALSE(SslStaple().isCurrent(0));
    files.ocspFile = pki().makeOcsp("localhost", TestPki::Ocsp::Good);
    const auto certificate = SslCertificate::load(files);
    ASSERT_TRUE(certificate) << certificate.error().message;
    EXPECT_EQ(certificate->staple().der(), contentOf(files.ocspFile));
    const int64_t now = std::time(nullptr);
    EXPECT_TRUE(certificate->staple().isCurrent(now));
    EXPECT_TRUE(certificate->staple().isCurrent(now + 3500));
    EXPECT_FALSE(certificate->staple().isCurrent(now + 3601));
}

}  // namespace
}  // namespace tnet
