// Resolved pipelines made by hand, for tests of the engine.
#ifndef MILLRACE_EXECUTOR_ENGINE_PIPELINE_BUILDER_H_
#define MILLRACE_EXECUTOR_ENGINE_PIPELINE_BUILDER_H_

#include <memory>
#include <string>
#include <vector>

#include "executor/graph/resolved_pipeline.h"
#include "pipelines/schema/custom.pb.h"

namespace millrace {

class PipelineBuilder {
 public:
  PipelineBuilder() {
    pipeline_.name = "test";
    pipeline_.file = "test.textproto";
  }

  // A `custom` stage that runs a shell script; inputs are "stage" or "stage.output" of earlier stages, its output is
  // "out". `in/<stage>` and `out/out` are its folders.
  ResolvedStage& Shell(const std::string& name, const std::string& script,
                       const std::vector<std::string>& inputs = {}) {
    auto custom = std::make_shared<Custom>();
    ResolvedStage stage;
    stage.name = name;
    stage.kind = "custom";
    stage.command = {"sh", "-c", script};
    for (const std::string& argument : stage.command) custom->mutable_command()->add_argument(argument);
    for (const std::string& input : inputs) {
      const std::string producer = input.substr(0, input.find('.'));
      const std::string output = input.size() > producer.size() ? input.substr(producer.size() + 1) : "out";
      Custom::Input& added = *custom->add_input();
      added.set_name(producer);
      stage.edges.push_back({producer, pipeline_.FindStage(producer), output, FILES});
    }
    custom->add_output()->set_name("out");
    stage.outputs = {{"out", FILES}};
    stage.parameters = custom;
    pipeline_.stages.push_back(std::move(stage));
    return pipeline_.stages.back();
  }
  // Adds the user's files to the last stage, under in/<name>.
  void External(const std::string& name, const std::vector<ExternalFile>& files, const std::string& lock = "") {
    ExternalInput input;
    input.name = name;
    input.files = files;
    input.lock = lock;
    pipeline_.stages.back().external_inputs.push_back(std::move(input));
  }

  ResolvedPipeline& pipeline() { return pipeline_; }

 private:
  ResolvedPipeline pipeline_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_PIPELINE_BUILDER_H_
