// Memory of a GPU and pinned memory of the host, cached. See runtime/allocator.h.
#pragma once

#include <mutex>
#include <unordered_set>

#include "cuda/runtime_api.h"
#include "runtime/allocator.h"

namespace instaseg::cuda {

/// Blocks come from the device's memory pool in the order of its stream, so a block that is freed while kernels still
/// use it may be handed out again at once: whoever gets it comes later on the same stream. Blocks may be freed on any
/// thread (they go to the cache); acquire, trim and close happen on the device's thread.
class DeviceAllocator : public Allocator {
 public:
  DeviceAllocator(cudaStream_t stream, bool pooled, int64_t limit)
      : Allocator(limit), stream_(stream), pooled_(pooled) {}

  /// Frees every block, those in use included. What is released later was freed here.
  void close();

 protected:
  bool caches() const override;
  size_t capacity_for(size_t size) const override;
  size_t slack(size_t capacity) const override;
  bool replaces_cache(size_t capacity) const override;
  void* acquire(size_t capacity) override;
  void give_back(void* data, size_t capacity) override;
  [[noreturn]] void fail_allocation(size_t size, const MemoryStats& stats, int64_t limit) const override;

 private:
  void free_block(void* data);

  const cudaStream_t stream_;
  const bool pooled_;
  std::mutex blocks_mutex_;
  std::unordered_set<void*> blocks_;
};

/// Pinned host memory: the device reads and writes it without a copy in the driver. Blocks may be freed on any thread.
class PinnedAllocator : public Allocator {
 public:
  PinnedAllocator() : Allocator(0) {}

  void close();

 protected:
  bool caches() const override { return true; }
  size_t capacity_for(size_t size) const override;
  size_t slack(size_t capacity) const override;
  bool replaces_cache(size_t) const override { return false; }
  void* acquire(size_t capacity) override;
  void give_back(void* data, size_t capacity) override;
  [[noreturn]] void fail_allocation(size_t size, const MemoryStats& stats, int64_t limit) const override;

 private:
  std::mutex blocks_mutex_;
  std::unordered_set<void*> blocks_;
};

}  // namespace instaseg::cuda
