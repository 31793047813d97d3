#include "base/diagnostic.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(DiagnosticTest, HasWhatWhyAndFix) {
  const Diagnostic d{Diagnostic::Severity::kError,
                     {"a.textproto", 41, 10},
                     "no stage is named \"clan\"",
                     "closest: \"clean\"",
                     "from: \"clean\""};
  EXPECT_EQ(d.ToString(),
            "a.textproto:41:10: no stage is named \"clan\"\n  why: closest: \"clean\"\n  fix: from: \"clean\"");
}

TEST(DiagnosticTest, LeavesOutWhatIsUnknown) {
  EXPECT_EQ((Diagnostic{Diagnostic::Severity::kWarning, {"--set", 0, 0}, "odd", "", ""}).ToString(),
            "--set: warning: odd");
}

TEST(DiagnosticsTest, SortsByPlaceAndDropsRepeats) {
  Diagnostics diagnostics;
  diagnostics.AddError({"a", 10, 1}, "later");
  diagnostics.AddError({"a", 9, 1}, "earlier");
  diagnostics.AddError({"a", 10, 1}, "later");
  diagnostics.AddWarning({"a", 1, 1}, "warned");
  EXPECT_EQ(diagnostics.num_errors(), 2);
  EXPECT_EQ(diagnostics.ToString(), "a:1:1: warning: warned\na:9:1: earlier\na:10:1: later\n");
  EXPECT_EQ(diagnostics.ToStatus().code(), absl::StatusCode::kInvalidArgument);
}

TEST(DiagnosticsTest, WarningsAloneAreNoError) {
  Diagnostics diagnostics;
  diagnostics.AddWarning({"a", 1, 1}, "warned");
  EXPECT_TRUE(diagnostics.ToStatus().ok());
}

TEST(ClosestTest, FindsTyposAndNothingFar) {
  EXPECT_EQ(Closest("learning_rte", {"beta1", "learning_rate"}), "learning_rate");
  EXPECT_EQ(Closest("claen", {"clean", "unique"}), "clean");
  EXPECT_EQ(Closest("zebra", {"clean", "unique"}), "");
}

}  // namespace
}  // namespace millrace
