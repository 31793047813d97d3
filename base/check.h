// CHECK: for what the program itself guarantees, never for input, files, network or configuration.
#ifndef MILLRACE_BASE_CHECK_H_
#define MILLRACE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define MILLRACE_CHECK(condition)                                                                              \
  do {                                                                                                         \
    if (!(condition)) [[unlikely]] {                                                                           \
      std::fprintf(stderr, "%s:%d: check failed: %s\n  fix: this is a defect of Millrace; please report it\n", \
                   __FILE__, __LINE__, #condition);                                                            \
      std::abort();                                                                                            \
    }                                                                                                          \
  } while (false)

#endif  // MILLRACE_BASE_CHECK_H_
