#include "trainer/model/numerics.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace millrace::trainer {

void EnsureNumericsEnvironment(char** argv) {
  constexpr const char* kVariables[][2] = {
      {"MKL_CBWR", "AVX2,STRICT"},
                                           {"ATEN_CPU_CAPABILITY", "avx2"},
                                           {"ONEDNN_MAX_CPU_ISA", "AVX2"},
                                           {"OMP_WAIT_POLICY", "passive"}};
  bool changed = false;
  for (const auto& [name, value] : kVariables) {
    if (std::getenv(name) != nullptr) continue;
    ::setenv(name, value, 1);
    changed = true;
  }
  if (!changed) return;
  ::execv("/proc/self/exe", argv);
  // Without /proc: what is read at first use still takes effect.
  std::perror("warning: could not start again with the numerics environment");
}

}  // namespace millrace::trainer
