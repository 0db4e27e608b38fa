// hostile: attacks a server, and says whether its other clients noticed. docs/operations.md reads the table.
//
//     hostile [--list] [--attack NAME,NAME] [--seconds S] [--scale X] [--bound-ms MS] [--lateness-ms MS]
//             [--no-memory] [--target PROGRAM | --server ADDRESS:PORT --secure ADDRESS:PORT --pid PID]
//
// Without --server each attack gets a target of its own, which has the limits that the attack is about. A server that
// is given is taken to have the usual ones, and the target's paths (target.cc).
//
// Exit status: 0, all attacks were withstood; 1, some were not; 2, usage.
#include <getopt.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "tests/hostile/own_network.h"
#include "tests/hostile/siege.h"
#include "tnet/ignore_sig_pipe.h"

using namespace tnet;

namespace {

constexpr int kIpv6Sources = 200;
constexpr const char* kIpv6Server = "fd00:2::1";

struct Options {
    bool list = false;
    std::string attacks{};  // names, each with a comma behind; empty: all
    SiegeSettings siege{};
    std::string target{};
    std::string server{};
    std::string secure{};
    pid_t pid = 0;
};

int usage(const char* program) {
    std::fprintf(stderr,
                 "usage: %s [--list] [--attack NAME,NAME] [--seconds S] [--scale X] [--bound-ms MS]\n"
                 "           [--lateness-ms MS] [--no-memory]\n"
                 "           [--target PROGRAM | --server ADDRESS:PORT --secure ADDRESS:PORT --pid PID]\n",
                 program);
    return 2;
}

std::optional<Options> parse(int argc, char** argv) {
    static const option kOptions[] = {
        {"list", no_argument, nullptr, 'l'},           {"attack", required_argument, nullptr, 'a'},
        {"seconds", required_argument, nullptr, 's'},  {"scale", required_argument, nullptr, 'x'},
        {"bound-ms", required_argument, nullptr, 'b'}, {"lateness-ms", required_argument, nullptr, 'd'},
        {"no-memory", no_argument, nullptr, 'm'},      {"target", required_argument, nullptr, 't'},
        {"server", required_argument, nullptr, 'S'},   {"secure", required_argument, nullptr, 'T'},
        {"pid", required_argument, nullptr, 'p'},      {nullptr, 0, nullptr, 0},
    };
    using std::chrono::milliseconds;
    Options options;
    for (int found = 0; (found = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
        switch (found) {
            case 'l': options.list = true; break;
            case 'a': options.attacks += std::string(optarg) + ","; break;
            case 's':
                options.siege.time = milliseconds(static_cast<int64_t>(std::atof(optarg) * 1000));
                break;
            case 'x': options.siege.scale = std::atof(optarg); break;
            case 'b': options.siege.boundMillis = std::atof(optarg); break;
            case 'd': options.siege.lateness = milliseconds(std::atoi(optarg)); break;
            case 'm': options.siege.judgesMemory = false; break;
            case 't': options.target = optarg; break;
            case 'S': options.server = optarg; break;
            case 'T': options.secure = optarg; break;
            case 'p': options.pid = std::atoi(optarg); break;
            default: return std::nullopt;
        }
    }
    const bool isOther = !options.server.empty();
    if (optind != argc || isOther != (options.pid != 0)) return std::nullopt;
    if (options.target.empty()) {
        const std::string self = argv[0];
        options.target = self.substr(0, self.rfind('/') + 1) + "target";
    }
    return options;
}

std::vector<Attack> allAttacks() {
    std::vector<Attack> all;
    for (auto* const group : {tcpAttacks, httpAttacks, webSocketAttacks, tlsAttacks, turnAttacks}) {
        for (Attack& attack : group()) all.push_back(std::move(attack));
    }
    return all;
}

Status prepareNetwork() {
    if (const Status entered = enterOwnNetwork(); !entered) return entered.error();
    if (const Status routed = loseWhatIsSentToTen(); !routed) return routed.error();
    if (const Status added = addLoopbackAddress(kIpv6Server); !added) return added.error();
    for (int i = 1; i <= kIpv6Sources; ++i) {
        // As Swarm writes them, where the digits are hexadecimal.
        const Status added = addLoopbackAddress("fd00:1::" + std::to_string(i));
        if (!added) return added.error();
    }
    return Done{};
}

Result<std::unique_ptr<ServerProcess>> startTarget(const Options& options, const Attack& attack) {
    std::vector<std::string> arguments = {options.target, "--address",
                                          attack.isIpv6 ? kIpv6Server : "127.0.0.1"};
    for (std::string& flag : attack.limits.flags()) arguments.push_back(std::move(flag));
    return ServerProcess::start(std::move(arguments));
}

Result<std::unique_ptr<ServerProcess>> givenServer(const Options& options) {
    const auto plain = Address::parse(options.server);
    if (!plain) return plain.error();
    if (options.secure.empty()) return ServerProcess::of(options.pid, *plain, Address());
    const auto secure = Address::parse(options.secure);
    if (!secure) return secure.error();
    return ServerProcess::of(options.pid, *plain, *secure);
}

void printHead() {
    std::printf("%-22s %6s %8s %8s | %6s %4s %6s %7s %7s | %6s %6s %6s %6s | %6s %5s | %s\n", "attack",
                "at once", "opened", "MB sent", "asked", "fail", "p50 ms", "p99 ms", "max ms", "before",
                "peak", "most", "after", "cpu s", "held", "verdict; what the server did");
}

std::string deeds(const SiegeOutcome& outcome) {
    const Swarm::Figures& attackers = outcome.attackers;
    std::string text;
    const auto add = [&text](size_t count, const std::string& what) {
        if (count > 0) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
    };
    for (const auto& [code, count] : attackers.answers) add(count, "x " + std::to_string(code));
    add(attackers.ended, "ended");
    add(attackers.wasReset, "reset");
    add(attackers.turnedAway, "of them without a word");
    add(attackers.refused, "refused");
    add(outcome.syns, "SYNs");
    return text;
}

void printRow(const Attack& attack, const SiegeOutcome& outcome) {
    const auto mebibytes = [](size_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
    const GoodClient::Figures& good = outcome.good;
    std::printf(
        "%-22.*s %7zu %8zu %8.1f | %6zu %4zu %6.2f %7.2f %7.2f | %6.1f %6.1f %6.1f %6.1f | %6.2f %5.1f | %s; "
        "%s\n",
        static_cast<int>(attack.name.size()), attack.name.data(), outcome.connections,
        outcome.attackers.opened, static_cast<double>(outcome.attackers.sentBytes) / 1e6, good.asked,
        good.failed, good.p50, good.p99, good.max, mebibytes(outcome.bytesBefore),
        mebibytes(outcome.bytesPeak), mebibytes(outcome.bytesMaximum), mebibytes(outcome.bytesAfter),
        outcome.cpuSeconds, outcome.heldSeconds, outcome.failures.empty() ? "held" : "FAILED",
        deeds(outcome).c_str());
    for (const std::string& failure : outcome.failures) std::printf("    FAILED: %s\n", failure.c_str());
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const auto options = parse(argc, argv);
    if (!options) return usage(argv[0]);
    std::vector<Attack> attacks = allAttacks();
    if (options->list) {
        for (const Attack& attack : attacks) {
            std::printf("%-22s %5zu at once: %.*s\n", std::string(attack.name).c_str(), attack.connections,
                        static_cast<int>(attack.sentence.size()), attack.sentence.data());
        }
        return 0;
    }
    if (!options->attacks.empty()) {
        const std::string wanted = "," + options->attacks;
        std::erase_if(attacks, [&](const Attack& attack) {
            return wanted.find("," + std::string(attack.name) + ",") == std::string::npos;
        });
        const auto names = std::count(options->attacks.begin(), options->attacks.end(), ',');
        if (static_cast<size_t>(names) != attacks.size()) {
            std::fprintf(stderr, "%s: no such attack; --list names them\n", argv[0]);
            return 2;
        }
    }
    const IgnoreSigPipe ignoreSigPipe;
    const bool isOther = options->pid != 0;
    const Status network = isOther ? Status(Error{std::make_error_code(std::errc::operation_canceled),
                                                  "the server is in another network"})
                                   : prepareNetwork();
    bool isAllWithstood = true;
    printHead();
    for (const Attack& attack : attacks) {
        if (!network && (attack.isIpv6 || attack.isSynFlood)) {
            std::printf("%-22s SKIPPED: it needs a network of its own: %s\n",
                        std::string(attack.name).c_str(), network.error().message.c_str());
            continue;
        }
        auto server = isOther ? givenServer(*options) : startTarget(*options, attack);
        if (!server) {
            std::fprintf(stderr, "%s: %s\n", argv[0], server.error().message.c_str());
            return 1;
        }
        const SiegeOutcome outcome = besiege(attack, **server, options->siege);
        printRow(attack, outcome);
        isAllWithstood = isAllWithstood && outcome.failures.empty();
    }
    return isAllWithstood ? 0 : 1;
}
