// Lets an addon that was linked with a recent glibc load with glibc 2.28, the oldest that Node 20 itself runs with.
//
// The C++ library is linked in (-static-libstdc++), so what it and the CUDA runtime call in glibc binds to the versions
// of the machine that links: GLIBC_2.34 for everything that moved from libpthread, libdl and librt into libc then,
// though the functions have been there since GLIBC_2.2.5 and still are, under that version too. Each symbol here takes
// the place of the linker's default, inside the addon only, and goes on to the old version. scripts/check-prebuild.mjs
// names symbols that are missing here.
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) || !defined(__GLIBC__)
#error "the versions below are those of glibc on x86-64"
#endif

#define INSTASEG_FORWARD(name, version)               \
  asm(".pushsection .text\n"                          \
      ".symver instaseg_old_" #name "," #name version \
      "\n"                                            \
      ".globl " #name                                 \
      "\n"                                            \
      ".hidden " #name                                \
      "\n"                                            \
      ".type " #name ",@function\n" #name             \
      ":\n"                                           \
      "jmp instaseg_old_" #name                       \
      "@PLT\n"                                        \
      ".size " #name ",.-" #name                      \
      "\n"                                            \
      ".popsection\n")

// Called by the C++ library.
INSTASEG_FORWARD(pthread_create, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_detach, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_getspecific, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_join, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_key_create, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_key_delete, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_once, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_setspecific, "@GLIBC_2.2.5");

// Called by the kernels; the same function, whose new version leaves errno alone.
INSTASEG_FORWARD(log2, "@GLIBC_2.2.5");

#ifdef INSTASEG_CUDA
// Called by the CUDA runtime.
INSTASEG_FORWARD(dlclose, "@GLIBC_2.2.5");
INSTASEG_FORWARD(dlerror, "@GLIBC_2.2.5");
INSTASEG_FORWARD(dlmopen, "@GLIBC_2.3.4");
INSTASEG_FORWARD(dlopen, "@GLIBC_2.2.5");
INSTASEG_FORWARD(dlsym, "@GLIBC_2.2.5");
INSTASEG_FORWARD(dlvsym, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_condattr_setpshared, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_kill, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_mutex_trylock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_mutexattr_destroy, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_mutexattr_init, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_mutexattr_setpshared, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_mutexattr_settype, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_destroy, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_init, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_rdlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_timedrdlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_timedwrlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_tryrdlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_trywrlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_unlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlock_wrlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlockattr_destroy, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlockattr_init, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_rwlockattr_setpshared, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_spin_destroy, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_spin_init, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_spin_lock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_spin_trylock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(pthread_spin_unlock, "@GLIBC_2.2.5");
INSTASEG_FORWARD(sem_destroy, "@GLIBC_2.2.5");
INSTASEG_FORWARD(sem_init, "@GLIBC_2.2.5");
INSTASEG_FORWARD(sem_post, "@GLIBC_2.2.5");
INSTASEG_FORWARD(sem_timedwait, "@GLIBC_2.2.5");
INSTASEG_FORWARD(sem_trywait, "@GLIBC_2.2.5");
INSTASEG_FORWARD(sem_wait, "@GLIBC_2.2.5");
INSTASEG_FORWARD(shm_open, "@GLIBC_2.2.5");
INSTASEG_FORWARD(shm_unlink, "@GLIBC_2.2.5");
#endif

#define INSTASEG_HIDDEN __attribute__((visibility("hidden")))

extern "C" {

// Since 2.32; whoever asks only wants to skip atomic instructions.
INSTASEG_HIDDEN char __libc_single_threaded = 0;

// fstat64 is a function since 2.33; before, <sys/stat.h> called this one, with the version of the structure.
int __fxstat64(int version, int file, struct stat64* status);
INSTASEG_HIDDEN int fstat64(int file, struct stat64* status) noexcept { return __fxstat64(1, file, status); }

// Since 2.36; std::random_device.
INSTASEG_HIDDEN uint32_t arc4random() noexcept {
  uint32_t value = 0;
  while (getentropy(&value, sizeof value) != 0) {
  }
  return value;
}
}
