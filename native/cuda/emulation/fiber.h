// Fibers: stacks and the switch between them. x86-64 on ELF has a switch of a dozen instructions; elsewhere ucontext,
// whose system call a switch makes it several times slower. AddressSanitizer is told of every switch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#if defined(__x86_64__) && defined(__ELF__)
#define INSTASEG_ASSEMBLY_FIBERS 1
#else
#include <ucontext.h>
#endif

namespace instaseg::cuda::emulation {

/// A suspended flow of control: a fiber's, or the operating system thread's own.
struct Context {
#ifdef INSTASEG_ASSEMBLY_FIBERS
  void* stack_pointer = nullptr;
#else
  ucontext_t state{};
#endif
  /// The stack it runs on, for the sanitizer.
  const void* stack_low = nullptr;
  size_t stack_size = 0;
  void* fake_stack = nullptr;
};

/// Stacks of one size in one mapping, each above a guard page; untouched pages cost nothing. The one used last is given
/// out first.
class StackPool {
 public:
  static constexpr size_t kStackBytes = 192 * 1024;

  explicit StackPool(int count);
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  /// The low end of a stack of kStackBytes.
  char* take() {
    char* stack = free_.back();
    free_.pop_back();
    return stack;
  }
  void give_back(char* stack) { free_.push_back(stack); }
  /// All stacks are free again, whatever was suspended on them.
  void reset();

 private:
  char* mapping_;
  size_t mapping_bytes_;
  int count_;
  std::vector<char*> free_;
};

/// Makes `context` start `entry` on the stack when it is first switched to. `entry` never returns.
void prepare(Context& context, char* stack, void (*entry)());

/// Suspends the caller into `from` and resumes `to`.
void switch_context(Context& from, Context& to);
/// Resumes `to`; the caller's fiber ends.
[[noreturn]] void leave_context(Context& to);
/// The first call of an `entry`: completes the switch that started it.
void enter_context();

}  // namespace instaseg::cuda::emulation
