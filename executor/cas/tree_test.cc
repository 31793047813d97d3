#include "executor/cas/tree.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(TreeTest, CanonicalTextRoundTrips) {
  Tree tree;
  tree.files = {{"a b/c\nd\\e", Digest::Of("x"), 1, false}, {"run.sh", Digest::Of(""), 0, true}};
  tree.empty_folders = {"empty", "z/y"};
  const std::string text = tree.Canonical();
  EXPECT_EQ(text,
            "millrace.tree.v1\n"
            "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 1 f a b/c\\nd\\\\e\n"
            "- 0 d empty\n"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 x run.sh\n"
            "- 0 d z/y\n");
  const Tree parsed = *Tree::Parse(text);
  EXPECT_EQ(parsed.Canonical(), text);
  EXPECT_EQ(parsed.files[0].path, tree.files[0].path);
  EXPECT_EQ(parsed.size_bytes(), 1);
}

// The digest of an artifact is for ever.
TEST(TreeTest, GoldenDigest) {
  Tree tree;
  tree.files = {{"out.txt", Digest::Of("0123456789"), 10, false}};
  EXPECT_EQ(Digest::Of(tree.Canonical()).Hex(), "83a0e97d1280246afff09b8d72bdb5449a85bd8cce1d8f3a51b4ac0d64a22335");
  EXPECT_EQ(Digest::Of(Tree().Canonical()).Hex(), Sha256Hex("millrace.tree.v1\n"));
}

TEST(TreeTest, RefusesWhatIsNotATree) {
  const std::string hex = Digest::Of("x").Hex();
  for (const std::string& text : std::vector<std::string>{
           "something", "millrace.tree.v1\n" + hex + " 1 f no_newline", "millrace.tree.v1\n" + hex + " x f a\n",
           "millrace.tree.v1\n" + hex + " 1 q a\n", "millrace.tree.v1\nabc 1 f a\n",
           "millrace.tree.v1\n" + hex + " 1 f ../a\n", "millrace.tree.v1\n" + hex + " 1 f /a\n",
           "millrace.tree.v1\n" + hex + " 1 f a/./b\n"}) {
    EXPECT_FALSE(Tree::Parse(text).ok()) << text;
  }
}

TEST(DigestTest, Parse) {
  EXPECT_EQ(Digest::Parse(Digest::Of("x").ToString())->Hex(), Sha256Hex("x"));
  EXPECT_FALSE(Digest::Parse("md5:00").ok());
  EXPECT_FALSE(Digest::Parse("sha256:00").ok());
  EXPECT_FALSE(Digest::ParseHex(std::string(64, 'A')).ok());
}

}  // namespace
}  // namespace millrace
