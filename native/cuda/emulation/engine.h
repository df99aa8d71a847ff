// Runs grids: blocks one after the other in a random order, a block's threads as fibers of the calling thread. A fiber
// runs until it ends or waits (barrier, warp collective); who goes on is drawn at random. The draws follow the seed and
// the number of launches of this thread so far, so a run of a device repeats itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/emulation/device_api.h"
#include "cuda/emulation/races.h"

namespace instaseg::cuda::emulation {

/// One kernel with its arguments bound.
struct Grid {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  /// Runs one thread.
  void (*invoke)(const void* arguments) = nullptr;
  const void* arguments = nullptr;
  /// For messages.
  const void* kernel = nullptr;
  const char* file = "";
  int line = 0;
};

/// Static and dynamic shared memory that the block may have together.
inline constexpr size_t kMaxSharedBytes = 227 * 1024;
/// What it may have without cudaFuncAttributeMaxDynamicSharedMemorySize.
inline constexpr size_t kDefaultSharedBytes = 48 * 1024;
inline constexpr unsigned kMaxThreads = 1024;

/// INSTASEG_EMULATION_SEED, 1 without it. Every launch takes its schedule from this number and from the launches
/// before.
uint64_t schedule_seed();
/// Starts a new sequence of schedules.
void set_schedule_seed(uint64_t seed);

/// Runs a grid to its end. Throws Error (ERR_INTERNAL) naming kernel, block and threads for what CUDA leaves undefined:
/// divergent barriers, collectives that lanes of the mask miss, addresses out of shared memory.
void run_grid(const Grid& grid);

// For device functions elsewhere in the emulator; valid inside kernels.

/// Seeded random bits of the running block.
uint32_t random_bits();
/// The lane of the running thread in its warp.
unsigned lane_index();
/// Throws through fail_kernel unless [address, address + bytes) lies in one shared array of the block and is aligned.
void require_shared(const void* address, size_t bytes, size_t alignment, const char* what);

/// The lanes of the running thread's warp have met: what came before is ordered before what comes after.
void order_warp();
/// An access of the running kernel, if any, to memory, if it is shared. Throws through fail_kernel for a race.
void note_access(Access access, const void* address, size_t bytes, const void* code);

/// cp.async of 16 bytes; zeros where `valid` is false. The data lands now, at the latest in the wait, or never.
void async_copy(void* shared, const void* global, bool valid);
void async_commit();
/// Waits until at most `pending` of the thread's committed groups are under way.
void async_wait(int pending);

}  // namespace instaseg::cuda::emulation
