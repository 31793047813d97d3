#include "executor/observe/html.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(HtmlTest, NothingBecomesMarkup) {
  EXPECT_EQ(EscapeHtml("<b a=\"1\" c='2'>&amp;"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;");
  EXPECT_EQ(EscapeHtml("深度 🚀\n\tx"), "深度 🚀\n\tx");
}

TEST(HtmlTest, WhatIsNoTextIsReplaced) {
  EXPECT_EQ(EscapeHtml(absl::string_view("a\0b\x1b", 4)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(EscapeHtml("\xff\xc0\xaf"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(EscapeHtml("\xed\xa0\x80").size(), 9) << "a surrogate";
  EXPECT_EQ(EscapeHtml("\xe6\xb7"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "cut off";
}

TEST(HtmlTest, CutsCountCharacters) {
  EXPECT_EQ(EscapeHtmlCut("深度学习", 2), "深度…");
  EXPECT_EQ(EscapeHtmlCut("<<<", 3), "&lt;&lt;&lt;");
}

TEST(HtmlTest, NumbersAreShort) {
  EXPECT_EQ(SvgNumber(1.0), "1");
  EXPECT_EQ(SvgNumber(1.005e-5), "0");
  EXPECT_EQ(SvgNumber(-0.001), "0");
  EXPECT_EQ(SvgNumber(12.345), "12.35");
}

}  // namespace
}  // namespace millrace
