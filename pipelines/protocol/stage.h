// The stage program's side of the stage protocol (pipelines/protocol/README.md).
//
//   int main() {
//     return millrace::StageMain<millrace::Dedup>([](millrace::Stage& stage, const millrace::Dedup& parameters) {
//       ASSIGN_OR_RETURN(std::string from, stage.InputPath("from.0"));
//       ...
//       return absl::OkStatus();
//     });
//   }
//
// Started without MILLRACE_REQUEST the program says what it is and exits with 2.
#ifndef MILLRACE_PIPELINES_PROTOCOL_STAGE_H_
#define MILLRACE_PIPELINES_PROTOCOL_STAGE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "pipelines/protocol/stage.pb.h"

namespace millrace {

// Exit statuses of a stage program.
inline constexpr int kStageComplete = 0;
inline constexpr int kStageFailed = 1;
inline constexpr int kStageBadRequest = 2;  // InvalidArgument, NotFound, FailedPrecondition, OutOfRange, Unimplemented
inline constexpr int kStageGateFailed = 4;  // `evaluate`: outputs are complete, a gate does not hold
inline constexpr int kStageInterrupted = 75;  // after SIGTERM: what is whole was published

// One run of a stage. Thread-safe where it reports events; the rest is read-only.
class Stage {
 public:
  Stage(StageRequest request, StageGang gang, std::string events_path);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  const StageRequest& request() const { return request_; }
  const StageGang& gang() const { return gang_; }
  uint64_t seed() const { return request_.seed(); }
  int threads() const { return gang_.threads(); }

  // Path of the input with this name. NotFound: there is none.
  absl::StatusOr<std::string> InputPath(absl::string_view name) const;
  bool HasInput(absl::string_view name) const;
  // Paths of "NAME.0", "NAME.1", ... in order.
  std::vector<std::string> InputPaths(absl::string_view name) const;
  absl::StatusOr<std::string> OutputPath(absl::string_view name) const;

  // Reports. Progress is passed on at most ten times a second (the first and the last always); an event that would
  // be longer than 4 KiB is shortened. Only rank 0 of a gang should report metrics. An event that cannot be written
  // (the disk is full) is lost in silence, but for a checkpoint: who is not told of it takes it from nowhere, so the
  // stage must fail (ResourceExhausted and the like).
  void ReportProgress(double done, std::optional<double> total, absl::string_view unit, absl::string_view detail = "");
  void ReportMetric(absl::string_view name, double value);
  void ReportMetric(absl::string_view name, double value, int64_t step);
  void ReportExample(absl::string_view group, absl::string_view title, absl::string_view text);
  absl::Status ReportCheckpoint(absl::string_view path, int64_t step);
  void ReportWarning(absl::string_view text);

  // Whether SIGTERM has arrived: publish what is whole, then return CancelledError.
  static bool Interrupted();

 private:
  absl::Status Append(const StageEvent& event);

  const StageRequest request_;
  const StageGang gang_;
  const std::string events_path_;  // "": nobody listens
  struct Events;
  Events* events_;
};

// The result of a stage whose outputs are complete but whose gates do not hold.
absl::Status GateFailedError(absl::string_view message);

// Reads the request, unpacks `parameters`, runs `body`, prints its error to stderr and returns the exit status.
int RunStage(google::protobuf::Message& parameters, const std::function<absl::Status(Stage&)>& body);

template <typename Parameters, typename Body>
int StageMain(Body body) {
  Parameters parameters;
  return RunStage(parameters, [&](Stage& stage) { return body(stage, parameters); });
}

}  // namespace millrace

#endif  // MILLRACE_PIPELINES_PROTOCOL_STAGE_H_
