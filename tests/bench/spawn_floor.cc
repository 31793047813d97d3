// The floor under any executor: `count` processes `sh -c "printf 0123456789 > FOLDER/I"`, at most `parallel` at a time,
// by posix_spawn and nothing else. Prints seconds.
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

extern char** environ;

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: spawn_floor COUNT PARALLEL FOLDER\n");
    return 2;
  }
  const int count = std::atoi(argv[1]), parallel = std::atoi(argv[2]);
  const auto begin = std::chrono::steady_clock::now();
  int running = 0, failed = 0;
  const auto reap = [&] {
    int status = 0;
    if (::wait(&status) > 0) {
      --running;
      failed += status != 0;
    }
  };
  for (int i = 0; i < count; ++i) {
    if (running == parallel) reap();
    std::string command = "printf 0123456789 > " + std::string(argv[3]) + "/" + std::to_string(i);
    char sh[] = "sh", c[] = "-c";
    char* const arguments[] = {sh, c, command.data(), nullptr};
    pid_t pid;
    if (::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, arguments, environ) != 0) return 1;
    ++running;
  }
  while (running > 0) reap();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%.4f\n", seconds.count());
  return failed != 0;
}
