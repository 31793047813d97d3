"""Tests of the plain functions in rules/defs.bzl."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//rules:defs.bzl", "data_name", "runfiles_path", "tool_entry")

def _runfiles_path_test_impl(ctx):
    env = unittest.begin(ctx)
    asserts.equals(env, "millrace/data/dedup/dedup", runfiles_path("data/dedup/dedup", "millrace"))
    asserts.equals(env, "libtorch/torch/lib/libc10.so", runfiles_path("../libtorch/torch/lib/libc10.so", "millrace"))
    return unittest.end(env)

runfiles_path_test = unittest.make(_runfiles_path_test_impl)

def _tool_entry_test_impl(ctx):
    env = unittest.begin(ctx)
    entry = tool_entry("a/tool", ["b/z.so", "a/tool", "../other/y"], "millrace")
    asserts.equals(env, "millrace/a/tool", entry["executable"])
    asserts.equals(env, ["millrace/a/tool", "millrace/b/z.so", "other/y"], entry["files"])
    return unittest.end(env)

tool_entry_test = unittest.make(_tool_entry_test_impl)

def _data_name_test_impl(ctx):
    env = unittest.begin(ctx)
    asserts.equals(env, "tiny_en", data_name("tiny_en", {}))
    messages = []
    data_name("tiny_en", {"tiny_en": "//a:tiny_en"}, fail = messages.append)
    asserts.equals(env, 1, len(messages))
    asserts.true(env, "//a:tiny_en is there already" in messages[0])
    asserts.true(env, "fix: rename one" in messages[0])
    return unittest.end(env)

data_name_test = unittest.make(_data_name_test_impl)

def defs_test_suite(name):
    unittest.suite(name, runfiles_path_test, tool_entry_test, data_name_test)
