"""Tests whose scripted peers speak plainly in one run, and TLS in others. Real sockets stay as they are."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

# What tests/support/peer_tls reads. A name that ends in _cut: the bytes on the wire are cut at each fragment
# size, rather than what they say. tls12 and tls13 have OpenSSL's record layer, compact is ours.
_WIRES = {
    "compact": {"TNET_TEST_TLS": "1.3", "TNET_TEST_TLS_COMPACT": "1"},
    "compact_cut": {"TNET_TEST_TLS": "1.3", "TNET_TEST_TLS_COMPACT": "1", "TNET_TEST_TLS_CUT": "1"},
    "tls12": {"TNET_TEST_TLS": "1.2"},
    "tls12_cut": {"TNET_TEST_TLS": "1.2", "TNET_TEST_TLS_CUT": "1"},
    "tls13": {"TNET_TEST_TLS": "1.3"},
    "tls13_cut": {"TNET_TEST_TLS": "1.3", "TNET_TEST_TLS_CUT": "1"},
}

def cc_test_over_tls(name, srcs, deps, size, over = ["tls12", "tls13"], plainly = True, tags = []):
    """foo_test, and foo_tls13_test and so on of the same sources, which are compiled once.

    Args:
      name: ends in _test.
      srcs: of the tests.
      deps: of the tests.
      size: of each.
      over: names of _WIRES.
      plainly: whether there is a foo_test.
      tags: of each.
    """
    cc_library(
        name = name + "_body",
        testonly = True,
        srcs = srcs,
        deps = deps,
        alwayslink = True,
    )
    if plainly:
        cc_test(
            name = name,
            size = size,
            tags = tags,
            deps = [":" + name + "_body"],
        )
    for wire in over:
        cc_test(
            name = name[:-len("_test")] + "_" + wire + "_test",
            size = size,
            env = _WIRES[wire],
            # ThreadSanitizer has nothing to say that it does not say of the plain ones and of ssl_server_test;
            # AddressSanitizer sees each suite over one wire more than the plain one.
            tags = [tag for tag in tags if tag != "threads"] + (["once"] if plainly and wire != "tls13" else []),
            deps = [
                ":" + name + "_body",
                "//tests/support:peer_tls",
            ],
        )
