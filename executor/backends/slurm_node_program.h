// The bytes of slurm_node, the program that runs on Slurm's nodes: it travels in the executor.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SLURM_NODE_PROGRAM_H_
#define MILLRACE_EXECUTOR_BACKENDS_SLURM_NODE_PROGRAM_H_

#include "absl/strings/string_view.h"

// Made by the linker (see BUILD.bazel).
extern "C" const char millrace_slurm_node_begin[];
extern "C" const char millrace_slurm_node_end[];

namespace millrace {

inline absl::string_view SlurmNodeProgram() {
  return {millrace_slurm_node_begin, static_cast<size_t>(millrace_slurm_node_end - millrace_slurm_node_begin)};
}

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SLURM_NODE_PROGRAM_H_
