#include "trainer/model/numerics.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace millrace::trainer {

void EnsureNumericsEnvironment(char** argv) {
  constexpr const char* kVariables[][2] = {
      {"MKL_CBWR", "AVX2,STRICT"}, {"ATEN_CPU_CAPABILITY", "avx2"}, {"ONEDNN_MAX_CPU_ISA", "AVX2"}};
  bool changed = false;
  for (const auto& [name, value] : kVariables) {
    const char* present = std::getenv(name);
    if (present != nullptr && std::strcmp(present, value) == 0) continue;
    ::setenv(name, value, 1);
    changed = true;
  }
  if (!changed) return;
  ::execv("/proc/self/exe", argv);
  // Without /proc: what is read at first use still takes effect.
  std::perror("warning: could not start again with the numerics environment");
}

}  // namespace millrace::trainer
