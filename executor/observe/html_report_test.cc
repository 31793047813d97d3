#include "executor/observe/html_report.h"

#include <cmath>
#include <cstdlib>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "executor/observe/sample_run.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

RunModel Folded(const std::vector<RunEvent>& events) {
  RunModel model;
  for (const RunEvent& event : events) model.Apply(event);
  return model;
}

// Reads HTML as strictly as we write it: every element that is not void is closed in order, attribute values stand
// between double quotes, ids are unique, and what an attribute refers to exists.
class Document {
 public:
  explicit Document(absl::string_view html) {
    std::vector<std::string> open;
    for (size_t i = html.find('<'); i != absl::string_view::npos; i = html.find('<', i)) {
      size_t end = i + 1;
      bool quoted = false;
      while (end < html.size() && (quoted || html[end] != '>')) {
        if (html[end] == '"') quoted = !quoted;
        ++end;
      }
      const std::string tag(html.substr(i + 1, end - i - 1).data(), end - i - 1);
      i = end;
      if (tag[0] == '!') continue;
      if (tag[0] == '/') {
        if (open.empty() || open.back() != tag.substr(1)) {
          error = absl::StrCat("</", tag.substr(1), "> closes <", open.empty() ? "nothing" : open.back(), ">");
          return;
        }
        open.pop_back();
        continue;
      }
      const std::string name = tag.substr(0, tag.find_first_of(" /"));
      names.insert(name);
      ReadAttributes(tag.substr(name.size()));
      if (name == "style") i = html.find("</style>", i);
      static const std::set<std::string>& kVoid =
          *new std::set<std::string>{"meta", "br", "link", "img", "input", "hr", "wbr"};
      if (kVoid.count(name) == 0 && tag.back() != '/') open.push_back(name);
    }
    if (!open.empty()) error = absl::StrCat("<", open.back(), "> is not closed");
    for (const std::string& reference : references) {
      if (ids.count(reference) == 0) error = absl::StrCat("nothing has the id ", reference);
    }
  }

  std::string error;
  std::set<std::string> names, ids, references;

 private:
  void ReadAttributes(absl::string_view text) {
    for (size_t i = 0; (i = text.find("=\"", i)) != absl::string_view::npos;) {
      size_t begin = i;
      while (begin > 0 && text[begin - 1] != ' ') --begin;
      const absl::string_view name = text.substr(begin, i - begin);
      const size_t end = text.find('"', i + 2);
      const std::string value(text.substr(i + 2, end - i - 2).data(), end - i - 2);
      i = end + 1;
      if (name == "id" && !ids.insert(value).second) error = absl::StrCat("the id ", value, " is there twice");
      if (name == "href" && value[0] == '#') references.insert(value.substr(1));
      if (name == "aria-labelledby") {
        for (absl::string_view id : absl::StrSplit(value, ' ')) references.insert(std::string(id.data(), id.size()));
      }
    }
  }
};

TEST(HtmlReportTest, IsWellFormedAndComplete) {
  const std::string html = HtmlReport(Folded(SampleWholeRun()), {.facts = {{"model", "0.93 M parameters"}}});
  // For a look in a browser: MILLRACE_WRITE_REPORT=/some/folder.
  if (const char* folder = std::getenv("MILLRACE_WRITE_REPORT")) {
    ASSERT_TRUE(WriteFile(JoinPath(folder, "report.html"), html).ok());
  }
  const Document document(html);
  EXPECT_EQ(document.error, "");
  for (const char* id : {"evaluation", "training", "samples", "stages", "graph", "data", "provenance"}) {
    EXPECT_EQ(document.ids.count(id), 1) << id;
  }
  for (const char* text :
       {"0.93 M parameters", "2 684 kept, 401 exact and 32 near duplicates dropped", "<td class=\"n\">3.051", "−20.4 %",
        "CPU_AVX2", "</mark>一个函数", "A processor with two cores, 2 logical"}) {
    EXPECT_TRUE(absl::StrContains(html, text)) << text;
  }
}

TEST(HtmlReportTest, NeedsNothingElse) {
  const std::string html = HtmlReport(Folded(SampleWholeRun()));
  const Document document(html);
  for (const char* name : {"script", "link", "img", "iframe", "object", "canvas"}) {
    EXPECT_EQ(document.names.count(name), 0) << name;
  }
  EXPECT_FALSE(absl::StrContains(html, "http://"));
  EXPECT_FALSE(absl::StrContains(html, "https://"));
  EXPECT_FALSE(absl::StrContains(html, "@import"));
}

TEST(HtmlReportTest, TextStaysText) {
  const std::string html = HtmlReport(Folded(SampleWholeRun()));
  EXPECT_TRUE(absl::StrContains(html, "A page &lt;b&gt;with markup&lt;/b&gt; &amp; ampersands"));
  EXPECT_TRUE(absl::StrContains(html, "&lt;/script&gt;&lt;script&gt;alert(1)"));
  EXPECT_TRUE(absl::StrContains(html, "corpus { language: &quot;&lt;en&gt;&quot; }"));
}

TEST(HtmlReportTest, EachPictureSaysWhatItShows) {
  const std::string html = HtmlReport(Folded(SampleWholeRun()));
  size_t pictures = 0;
  for (size_t i = html.find("role=\"img\""); i != std::string::npos; i = html.find("role=\"img\"", i + 1)) {
    ++pictures;
    const std::string start = html.substr(i, 400);
    EXPECT_TRUE(absl::StrContains(start, "<title")) << start;
    EXPECT_TRUE(absl::StrContains(start, "<desc")) << start;
  }
  EXPECT_EQ(pictures, 4) << "loss, learning rate, speed, graph";
  EXPECT_TRUE(absl::StrContains(html, "loss: 7.7")) << "the description has the finding";
}

TEST(HtmlReportTest, ALongCurveIsBounded) {
  std::vector<RunEvent> events = {SampleStarted(), SampleState(1, "pretrain", RUNNING)};
  for (int64_t step = 1; step <= 200'000; ++step) {
    events.push_back(SampleMetric(1, "pretrain", "loss", 3 + std::sin(step * 0.01), step));
  }
  const std::string html = HtmlReport(Folded(events));
  EXPECT_LT(html.size(), 120'000);
  EXPECT_TRUE(absl::StrContains(html, "40 of 200 000 points"));
  size_t numbers = 0;
  const size_t begin = html.find("class=\"line s1\" d=\"M0 4H24") + 30;
  const size_t line = html.find("class=\"line s1\" d=\"", begin);
  for (size_t i = line; html[i + 19] != '"'; ++i) numbers += html[i + 19] == 'L' || html[i + 19] == 'M';
  EXPECT_LE(numbers, 640);
  EXPECT_GT(numbers, 500);
}

TEST(HtmlReportTest, ManyStagesAreBoundedAndWhatIsCutIsSaid) {
  std::vector<std::string> names;
  for (int i = 0; i < 10'000; ++i) names.push_back(absl::StrCat("stage_", i));
  std::vector<RunEvent> events = {SampleStarted(names)};
  for (const std::string& name : names) events.push_back(SampleComplete(1, name, COMPLETE, {{"words", 1}}, 1));
  events.push_back(SampleFailure(2, "stage_9999", "it broke", {"last words"}));
  const std::string html = HtmlReport(Folded(events));
  EXPECT_LT(html.size(), 1'500'000);
  EXPECT_EQ(Document(html).error, "");
  EXPECT_TRUE(absl::StrContains(html, "Shown: 300 of 10 000 stages"));
  EXPECT_TRUE(absl::StrContains(html, "9 850 more stages"));
  EXPECT_TRUE(absl::StrContains(html, "too many for a drawing"));
  EXPECT_TRUE(absl::StrContains(html, "it broke")) << "failures are always shown";
}

TEST(HtmlReportTest, ARunThatBrokeOffIsStillAReport) {
  std::vector<RunEvent> events = SampleWholeRun();
  for (size_t size : {size_t{0}, size_t{1}, size_t{4}, size_t{40}}) {
    const std::string html = HtmlReport(Folded({events.begin(), events.begin() + size}));
    EXPECT_EQ(Document(html).error, "") << size;
    EXPECT_TRUE(absl::StrContains(html, "not finished")) << size;
  }
}

TEST(HtmlReportTest, TheSameRunGivesTheSameBytes) {
  EXPECT_EQ(HtmlReport(Folded(SampleWholeRun())), HtmlReport(Folded(SampleWholeRun())));
}

}  // namespace
}  // namespace millrace
