// Preloaded by hold-avx2.mjs: answers `int3; nop`, which stands where a library had `cpuid`, with what cpuid says minus
// the bits of AVX-512 and AMX. x86-64 Linux.
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

// Leaf 7, subleaf 0: F DQ IFMA PF ER CD BW VL; VBMI VBMI2 VNNI BITALG VPOPCNTDQ; 4VNNIW 4FMAPS VP2INTERSECT AMX-BF16
// AVX512-FP16 AMX-TILE AMX-INT8. Subleaf 1: AVX512-BF16, AMX-FP16.
#define BIT(n) (1u << (n))
static const uint32_t kEbx = BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31);
static const uint32_t kEcx = BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
static const uint32_t kEdx = BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25);
static const uint32_t kEax1 = BIT(5) | BIT(21);

static void on_trap(int signal, siginfo_t* info, void* context) {
  (void)info;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  const uint8_t* at = (const uint8_t*)registers[REG_RIP];
  if (at[-1] != 0xcc || at[0] != 0x90) {  // a breakpoint of someone else
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(signal, &plain, 0);
    return;
  }
  const uint32_t leaf = (uint32_t)registers[REG_RAX];
  const uint32_t subleaf = (uint32_t)registers[REG_RCX];
  uint32_t a, b, c, d;
  __cpuid_count(leaf, subleaf, a, b, c, d);
  if (leaf == 7 && subleaf == 0) {
    b &= ~kEbx;
    c &= ~kEcx;
    d &= ~kEdx;
  } else if (leaf == 7 && subleaf == 1) {
    a &= ~kEax1;
  }
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 1;
}

__attribute__((constructor)) static void install(void) {
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGTRAP, &action, 0);
}
