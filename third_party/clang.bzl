"""A second C++ toolchain beside the default one."""

load("@bazel_tools//tools/cpp:cc_configure.bzl", "cc_autoconf_impl")

def _clang_toolchain_impl(repository_ctx):
    clang = repository_ctx.which("clang")
    if not clang:
        fail("clang is missing: run tools/install-dev-deps")
    cc_autoconf_impl(repository_ctx, overriden_tools = {"gcc": str(clang)})

# A repository of its own rather than CC=clang: changing the compiler of the default toolchain would configure it
# anew at every change between --config=layering and the rest.
clang_toolchain = repository_rule(
    implementation = _clang_toolchain_impl,
    configure = True,
    doc = "Bazel's automatic configuration, made for clang whatever CC says.",
)
