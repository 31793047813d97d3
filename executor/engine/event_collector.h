// What a stage reports while it runs, gathered into what its cache entry keeps.
#ifndef MILLRACE_EXECUTOR_ENGINE_EVENT_COLLECTOR_H_
#define MILLRACE_EXECUTOR_ENGINE_EVENT_COLLECTOR_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "executor/cas/entry.pb.h"
#include "google/protobuf/repeated_field.h"
#include "pipelines/protocol/stage.pb.h"

namespace millrace {

using CurveList = google::protobuf::RepeatedPtrField<Curve>;

// Not thread-safe. Metrics whose name begins with "time." are not kept. At most 200 examples, 20 of a group, and 50
// warnings are.
class EventCollector {
 public:
  void Add(const StageEvent& event);
  // Adds the points of curves that an earlier run recorded.
  void AddCurves(const CurveList& curves);

  // Curves by name, points by step, of the steps in (first, last].
  CurveList CurvesBetween(int64_t first, int64_t last) const;
  // Puts metrics, curves, examples and warnings into the entry.
  void Fill(ActionEntry& entry) const;

 private:
  ActionEntry kept_;  // metrics, examples, warnings
  std::map<std::string, int> metric_index_;
  std::map<std::string, int> examples_of_group_;
  std::set<std::string> warnings_;
  std::map<std::string, std::map<int64_t, double>> curves_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_EVENT_COLLECTOR_H_
