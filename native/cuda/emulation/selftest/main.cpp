// emulation_selftest: runs every test; with a name, what that planted bug does to the process.
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "cuda/emulation/selftest/planted.h"

namespace selftest = instaseg::cuda::selftest;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/// What a child of this program writes that runs one planted bug, with its exit status in `status`.
std::string run_child(const char* program, const std::string& name, int& status) {
  // The name is one of ours: no quotes in it.
  FILE* pipe =
      popen(("UBSAN_OPTIONS=print_stacktrace=1 '" + std::string(program) + "' '" + name + "' 2>&1").c_str(), "r");
  if (!pipe) return {};
  std::string text;
  char buffer[4096];
  while (const size_t bytes = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, bytes);
  status = pclose(pipe);
  return text;
}

void expect_fatal(const char* program, const selftest::Fatal& bug) {
  int status = 0;
  const std::string report = run_child(program, bug.name, status);
  selftest::expect(status != 0, "the process ended well: " + report);
  for (const std::string& part : bug.report) {
    selftest::expect(report.find(part) != std::string::npos, "`" + part + "` is missing in:\n" + report);
  }
}

int run_planted(const std::string& name) {
  for (const selftest::Fatal& bug : selftest::fatal_bugs()) {
    if (bug.name != name) continue;
    try {
      bug.run();
      return 0;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 1;
    }
  }
  std::fprintf(stderr, "no planted bug is called %s\n", name.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return run_planted(argv[1]);
  for (const selftest::Fatal& bug : selftest::fatal_bugs()) {
    if (!kSanitized) break;
    selftest::tests().push_back({"fatal: " + bug.name, [&bug, argv] { expect_fatal(argv[0], bug); }});
  }
  int passed = 0;
  int failed = 0;
  for (const selftest::Test& test : selftest::tests()) {
    try {
      test.run();
      ++passed;
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAILED   %s: %s\n", test.name.c_str(), error.what());
    }
  }
  int skipped = selftest::skipped_tests();
  if (skipped) std::printf("skipped  %d bugs that only a build with the race detector shows\n", skipped);
  if (!kSanitized) {
    const auto fatal = static_cast<int>(selftest::fatal_bugs().size());
    std::printf("skipped  %d bugs that only a build with sanitizers shows\n", fatal);
    skipped += fatal;
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed == 0 ? 0 : 1;
}
