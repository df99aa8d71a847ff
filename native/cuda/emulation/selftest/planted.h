// Bugs planted in small kernels, which the emulator has to show.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cuda/emulation/selftest/selftest.h"

namespace instaseg::cuda::selftest {

/// A test that expects `run` to throw an error with all these parts in its message.
struct Refused {
  Refused(const std::string& name, std::function<void()> run, std::vector<std::string> message);
};

/// A test that expects `bug` to return false (the result is wrong) under at least `least` of 16 schedules, and
/// `correct` to return true under all. A build with the race detector must refuse the bug with this message under every
/// schedule.
struct Wrong {
  Wrong(const std::string& name, std::function<bool()> bug, std::function<bool()> correct, int least,
        const std::string& race);
};

/// A bug that no schedule of the emulator shows in the result: only the race detector refuses it, with this message.
struct Hidden {
  Hidden(const std::string& name, std::function<void()> bug, const std::string& race);
};

#ifdef INSTASEG_EMULATION_RACES
inline constexpr bool kFindsRaces = true;
#else
inline constexpr bool kFindsRaces = false;
#endif
/// Tests that this build cannot run.
int& skipped_tests();

/// What ends the process in a build with sanitizers: run in a child, whose report must have all these parts.
struct Fatal {
  std::string name;
  std::function<void()> run;
  std::vector<std::string> report;
};
std::vector<Fatal>& fatal_bugs();

struct FatalRegistration {
  FatalRegistration(const std::string& name, std::function<void()> run, std::vector<std::string> report) {
    fatal_bugs().push_back({name, std::move(run), std::move(report)});
  }
};

}  // namespace instaseg::cuda::selftest
