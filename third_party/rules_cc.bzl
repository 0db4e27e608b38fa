"""Makes Debian's rules_cc loadable by Debian's Bazel."""

# Debian 12 ships rules_cc 0.0.4 beside Bazel 4.2.3. These two files load `use_cpp_toolchain`, which came with
# Bazel 5, and everything that loads cc/defs.bzl loads them.
_REWRITTEN = [
    "cc/private/rules_impl/cc_flags_supplier.bzl",
    "cc/private/rules_impl/compiler_flag.bzl",
]

_REPLACEMENTS = {
    ", \"use_cpp_toolchain\"": "",
    "use_cpp_toolchain()": "[\"@bazel_tools//tools/cpp:toolchain_type\"]",
}

def _is_parent(directory, files):
    return any([file.startswith(directory + "/") for file in files])

def _packaged_rules_cc_impl(repository_ctx):
    root = repository_ctx.path(repository_ctx.attr.path)
    if not root.exists:
        fail("%s is missing: run ./bazelw, which installs the packages this build needs" % root)

    # A directory above a rewritten file is created, so its entries are linked one by one. Starlark has neither
    # recursion nor while, hence the list of pending directories and a range longer than the deepest path.
    pending = [("", root)]
    for _ in range(4):
        deeper = []
        for prefix, directory in pending:
            for entry in directory.readdir():
                relative = prefix + entry.basename
                if relative in _REWRITTEN:
                    content = repository_ctx.read(entry)
                    for old, new in _REPLACEMENTS.items():
                        content = content.replace(old, new)
                    repository_ctx.file(relative, content, executable = False)
                elif _is_parent(relative, _REWRITTEN):
                    deeper.append((relative + "/", entry))
                else:
                    repository_ctx.symlink(entry, relative)
        pending = deeper

packaged_rules_cc = repository_rule(
    implementation = _packaged_rules_cc_impl,
    attrs = {
        "path": attr.string(mandatory = True, doc = "Where the package installed rules_cc."),
    },
    doc = "Links the packaged rules_cc tree, with the files this Bazel cannot load rewritten.",
    local = True,
)
