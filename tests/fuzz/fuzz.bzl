"""Fuzz targets: programs for --config=fuzz, and their corpus as a test in every other configuration."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

def fuzz_target(name, srcs, deps, corpus = None, dict = None, size = "small"):
    """foo_fuzzer, which tests/fuzz/run builds and runs, and foo_replay_test, which replays the corpus.

    Args:
      name: what tests/fuzz/run calls it.
      srcs: with LLVMFuzzerTestOneInput.
      deps: of the sources.
      corpus: the directory of seeds and of inputs that once showed a bug; corpus/<name> if not given.
      dict: words of the protocol, for libFuzzer.
      size: of the test.
    """
    corpus = corpus or "corpus/" + name
    cc_library(
        name = name + "_body",
        testonly = True,
        srcs = srcs,
        deps = deps,
        alwayslink = True,
    )
    cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        data = [dict] if dict else [],
        linkopts = ["-fsanitize=fuzzer"],
        # Links with clang and --config=fuzz only.
        tags = ["manual"],
        deps = [":" + name + "_body"],
    )
    cc_test(
        name = name + "_replay_test",
        size = size,
        args = [native.package_name() + "/" + corpus],
        data = native.glob([corpus + "/*"]),
        deps = [
            ":" + name + "_body",
            ":replay",
        ],
    )
