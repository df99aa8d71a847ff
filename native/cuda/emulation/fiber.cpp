#include "cuda/emulation/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

#include "cuda/emulation/sanitizer.h"

#ifdef INSTASEG_ASSEMBLY_FIBERS
// Saves the callee-saved registers on the running stack, its pointer in *rdi, and goes on with the stack in rsi.
// The floating-point control words are the same in all fibers.
asm(R"(
.text
.p2align 4
.globl instaseg_emulation_switch
.hidden instaseg_emulation_switch
.type instaseg_emulation_switch, @function
instaseg_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size instaseg_emulation_switch, . - instaseg_emulation_switch
)");
extern "C" void instaseg_emulation_switch(void** save, void* load) __attribute__((visibility("hidden")));
#endif

namespace instaseg::cuda::emulation {
namespace {

// The context that was left by the switch under way, for the sanitizer to learn its stack.
thread_local Context* left INSTASEG_INITIAL_EXEC = nullptr;

void announce(void** fake_stack, const Context& to) {
#ifdef INSTASEG_ASAN
  __sanitizer_start_switch_fiber(fake_stack, to.stack_low, to.stack_size);
#else
  (void)fake_stack;
  (void)to;
#endif
}

void arrive(void* fake_stack) {
#ifdef INSTASEG_ASAN
  const void* low = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(fake_stack, &low, &size);
  if (left) {
    left->stack_low = low;
    left->stack_size = size;
  }
#else
  (void)fake_stack;
#endif
}

void jump(Context& from, Context& to) {
#ifdef INSTASEG_ASSEMBLY_FIBERS
  instaseg_emulation_switch(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.state, &to.state);
#endif
}

}  // namespace

StackPool::StackPool(int count) : count_(count) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  mapping_bytes_ = static_cast<size_t>(count) * (kStackBytes + page);
  void* mapping =
      mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<char*>(mapping);
  for (int i = 0; i < count; ++i) {
    if (mprotect(mapping_ + static_cast<size_t>(i) * (kStackBytes + page), page, PROT_NONE) != 0) {
      munmap(mapping_, mapping_bytes_);
      throw std::bad_alloc();
    }
  }
  free_.reserve(static_cast<size_t>(count));
  reset();
}

StackPool::~StackPool() { munmap(mapping_, mapping_bytes_); }

void StackPool::reset() {
  const size_t stride = mapping_bytes_ / static_cast<size_t>(count_);
  free_.clear();
  for (int i = count_ - 1; i >= 0; --i) {
    free_.push_back(mapping_ + static_cast<size_t>(i) * stride + (stride - kStackBytes));
    unpoison(free_.back(), kStackBytes);
  }
}

void prepare(Context& context, char* stack, void (*entry)()) {
  context.stack_low = stack;
  context.stack_size = StackPool::kStackBytes;
  context.fake_stack = nullptr;
#ifdef INSTASEG_ASSEMBLY_FIBERS
  // As if `entry` had been called and had then been switched away from: six registers, the address to go on at, and a
  // null return address where unwinders stop. At entry, the stack pointer plus 8 is a multiple of 16.
  void** top = reinterpret_cast<void**>(stack + StackPool::kStackBytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context.stack_pointer = top;
#else
  getcontext(&context.state);
  context.state.uc_stack.ss_sp = stack;
  context.state.uc_stack.ss_size = StackPool::kStackBytes;
  context.state.uc_link = nullptr;
  makecontext(&context.state, entry, 0);
#endif
}

void switch_context(Context& from, Context& to) {
  announce(&from.fake_stack, to);
  left = &from;
  jump(from, to);
  arrive(from.fake_stack);
}

void leave_context(Context& to) {
  Context ended;
  announce(nullptr, to);
  left = nullptr;
  jump(ended, to);
  std::abort();  // nobody resumes it
}

void enter_context() { arrive(nullptr); }

}  // namespace instaseg::cuda::emulation
