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

Wrong::Wrong(const std::string& name, std::function<bool()> bug, std::function<bool()> correct, int least) {
  tests().push_back({"wrong: " + name, [=] {
                       const uint64_t seed = emulation::schedule_seed();
                       int wrong = 0;
                       int failed = 0;
                       for (uint64_t schedule = 0; schedule < 16; ++schedule) {
                         emulation::set_schedule_seed(seed * 16 + schedule);
                         wrong += !bug();
                         failed += !correct();
                       }
                       emulation::set_schedule_seed(seed);
                       expect(failed == 0,
                              "the corrected kernel is wrong under " + std::to_string(failed) + " of 16 schedules");
                       expect(wrong >= least, "the bug shows under " + std::to_string(wrong) + " of 16 schedules, " +
                                                  std::to_string(least) + " expected");
                     }});
}

std::vector<Fatal>& fatal_bugs() {
  static std::vector<Fatal> all;
  return all;
}

}  // namespace instaseg::cuda::selftest
