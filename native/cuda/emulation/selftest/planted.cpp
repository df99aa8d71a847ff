#include "cuda/emulation/selftest/planted.h"

#include <stdexcept>

namespace instaseg::cuda::selftest {

Refused::Refused(const std::string& name, std::function<void()> run, std::vector<std::string> message) {
  tests().push_back({"refused: " + name, [run = std::move(run), message = std::move(message)] {
                       std::string text;
                       try {
                         run();
                       } catch (const Error& error) {
                         text = error.what();
                       }
                       expect(!text.empty(), "nothing was refused");
                       for (const std::string& part : message) {
                         expect(text.find(part) != std::string::npos, "`" + part + "` is missing in: " + text);
                       }
                     }});
}

namespace {

/// Runs `body` under 16 schedules.
void under_schedules(const std::function<void()>& body) {
  const uint64_t seed = emulation::schedule_seed();
  for (uint64_t schedule = 0; schedule < 16; ++schedule) {
    emulation::set_schedule_seed(seed * 16 + schedule);
    body();
  }
  emulation::set_schedule_seed(seed);
}

void expect_race(const std::function<void()>& run, const std::string& race) {
  std::string message = "nothing";
  try {
    run();
  } catch (const Error& error) {
    message = error.what();
  }
  expect(message.find(race) != std::string::npos, "the race detector says: " + message);
}

}  // namespace

Wrong::Wrong(const std::string& name, std::function<bool()> bug, std::function<bool()> correct, int least,
             const std::string& race) {
  tests().push_back({"wrong: " + name, [=] {
                       int wrong = 0;
                       int failed = 0;
                       under_schedules([&] {
                         if (kFindsRaces && !race.empty()) {
                           expect_race(bug, race);
                           ++wrong;
                         } else {
                           wrong += !bug();
                         }
                         failed += !correct();
                       });
                       expect(failed == 0,
                              "the corrected kernel is wrong under " + std::to_string(failed) + " of 16 schedules");
                       expect(wrong >= least, "the bug shows under " + std::to_string(wrong) + " of 16 schedules, " +
                                                  std::to_string(least) + " expected");
                     }});
}

Hidden::Hidden(const std::string& name, std::function<void()> bug, const std::string& race) {
  if (!kFindsRaces) {
    ++skipped_tests();
    return;
  }
  tests().push_back({"hidden: " + name, [=] { under_schedules([&] { expect_race(bug, race); }); }});
}

int& skipped_tests() {
  static int count = 0;
  return count;
}

std::vector<Fatal>& fatal_bugs() {
  static std::vector<Fatal> all;
  return all;
}

}  // namespace instaseg::cuda::selftest
