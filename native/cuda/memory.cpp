#include "cuda/memory.h"

#include <algorithm>

#include "cuda/error.h"
#include "runtime/error.h"

namespace instaseg::cuda {

namespace {

constexpr size_t kUnit = 512;
constexpr size_t kLarge = size_t{1} << 20;

size_t round_up(size_t size, size_t unit) { return (std::max<size_t>(size, 1) + unit - 1) / unit * unit; }

}  // namespace

// The emulated device under a sanitizer: every block is an allocation of its own and of exactly its size.
bool DeviceAllocator::caches() const {
#if defined(__SANITIZE_ADDRESS__)
  return false;
#else
  return true;
#endif
}

size_t DeviceAllocator::capacity_for(size_t size) const {
#if defined(__SANITIZE_ADDRESS__)
  return std::max<size_t>(size, 1);
#else
  return round_up(size, size >= kLarge ? kLarge : kUnit);
#endif
}

size_t DeviceAllocator::slack(size_t capacity) const {
  return std::max(capacity / 8, capacity >= kLarge ? kLarge : kUnit);
}

bool DeviceAllocator::replaces_cache(size_t capacity) const { return capacity >= kLarge * 16; }

void* DeviceAllocator::acquire(size_t capacity) {
  void* data = nullptr;
  const cudaError_t result = pooled_ ? cudaMallocAsync(&data, capacity, stream_) : cudaMalloc(&data, capacity);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(result, "allocating device memory");
  const std::lock_guard lock(blocks_mutex_);
  blocks_.insert(data);
  return data;
}

void DeviceAllocator::free_block(void* data) {
  // Errors of earlier work come up here too; whoever waits for that work reports them.
  if ((pooled_ ? cudaFreeAsync(data, stream_) : cudaFree(data)) != cudaSuccess) cudaGetLastError();
}

void DeviceAllocator::give_back(void* data, size_t) {
  {
    const std::lock_guard lock(blocks_mutex_);
    if (!blocks_.erase(data)) return;
  }
  free_block(data);
}

void DeviceAllocator::close() {
  trim();
  const std::lock_guard lock(blocks_mutex_);
  for (void* data : blocks_) free_block(data);
  blocks_.clear();
}

void DeviceAllocator::fail_allocation(size_t size, const MemoryStats& stats, int64_t limit) const {
  if (limit) {
    fail(ErrorCode::gpu_out_of_memory, "cannot allocate ", size, " bytes on the GPU: ", stats.in_use,
         " bytes are in use and the limit is ", limit);
  }
  fail(ErrorCode::gpu_out_of_memory, "cannot allocate ", size, " bytes on the GPU: it has no memory left (",
       stats.in_use, " bytes are in use by this device)");
}

size_t PinnedAllocator::capacity_for(size_t size) const { return round_up(size, size_t{1} << 16); }

size_t PinnedAllocator::slack(size_t capacity) const { return capacity; }

void* PinnedAllocator::acquire(size_t capacity) {
  void* data = nullptr;
  const cudaError_t result = cudaMallocHost(&data, capacity);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(result, "allocating pinned memory");
  const std::lock_guard lock(blocks_mutex_);
  blocks_.insert(data);
  return data;
}

void PinnedAllocator::give_back(void* data, size_t) {
  {
    const std::lock_guard lock(blocks_mutex_);
    if (!blocks_.erase(data)) return;
  }
  if (cudaFreeHost(data) != cudaSuccess) cudaGetLastError();
}

// Blocks in use stay: they are results that nobody has copied yet. They end with the process, since freeing them later
// would be a CUDA call on a thread that is not the device's.
void PinnedAllocator::close() { trim(); }

void PinnedAllocator::fail_allocation(size_t size, const MemoryStats& stats, int64_t) const {
  fail(ErrorCode::out_of_memory, "cannot allocate ", size, " bytes of pinned memory (", stats.in_use,
       " bytes are in use)");
}

}  // namespace instaseg::cuda
