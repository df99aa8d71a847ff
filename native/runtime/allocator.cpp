#include "runtime/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "runtime/error.h"

// The sanitizer must see every block as an allocation of its own: no mmap, no cache.
#if defined(__SANITIZE_ADDRESS__)
#define INSTASEG_PLAIN_BLOCKS 1
#elif defined(__linux__)
#define INSTASEG_MAP_BLOCKS 1
#include <sys/mman.h>
#endif

namespace instaseg {

namespace {

constexpr size_t kAlignment = 64;
// Large blocks come from mmap so that giving them back really lowers the resident size.
constexpr size_t kMapThreshold = size_t{1} << 20;
[[maybe_unused]] constexpr size_t kPage = 4096;
// A cached block serves a request when little of it is wasted: an eighth, or a megabyte where blocks are large.
bool fits(size_t capacity, size_t size) {
  return capacity - size <= std::max(size / 8, size >= kMapThreshold ? kMapThreshold : kAlignment);
}

// Bytes to take from the system for a block.
size_t capacity_for(size_t size) {
#ifdef INSTASEG_PLAIN_BLOCKS
  return std::max<size_t>(size, 1);
#else
  const size_t unit = size >= kMapThreshold ? kPage : kAlignment;
  return (std::max<size_t>(size, 1) + unit - 1) / unit * unit;
#endif
}

void* system_allocate(size_t capacity) {
#ifdef INSTASEG_MAP_BLOCKS
  if (capacity >= kMapThreshold) {
    void* data = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return data == MAP_FAILED ? nullptr : data;
  }
#endif
  return ::operator new(capacity, std::align_val_t(kAlignment), std::nothrow);
}

void system_free(void* data, size_t capacity) {
#ifdef INSTASEG_MAP_BLOCKS
  if (capacity >= kMapThreshold) {
    munmap(data, capacity);
    return;
  }
#endif
  ::operator delete(data, std::align_val_t(kAlignment));
}

}  // namespace

void HostBuffer::reset() {
  if (data_) allocator_->release(data_, capacity_);
  data_ = nullptr;
  size_ = capacity_ = 0;
  allocator_.reset();
}

HostBuffer HostAllocator::allocate(size_t size) {
  require(size <= size_t{1} << 46, ErrorCode::out_of_memory, "cannot allocate ", size, " bytes");
  const size_t capacity = capacity_for(size);
  const std::lock_guard lock(mutex_);
  if (const auto found = cache_.lower_bound(capacity); found != cache_.end() && fits(found->first, capacity)) {
    const auto [block_capacity, data] = *found;
    cache_.erase(found);
    stats_.cached -= static_cast<int64_t>(block_capacity);
    stats_.in_use += static_cast<int64_t>(block_capacity);
    return HostBuffer(shared_from_this(), data, size, block_capacity);
  }
  const auto held = [&] { return stats_.in_use + stats_.cached + static_cast<int64_t>(capacity); };
  // A request that no cached block serves replaces them: the cache never grows past what one working set needs.
  if (capacity >= kMapThreshold || (limit_ && held() > limit_)) trim_locked();
  require(!limit_ || held() <= limit_, ErrorCode::out_of_memory, "cannot allocate ", size, " bytes: ", stats_.in_use,
          " bytes are in use and the limit is ", limit_);
  void* data = system_allocate(capacity);
  require(data, ErrorCode::out_of_memory, "cannot allocate ", size, " bytes: the system has no memory left (",
          stats_.in_use, " bytes in use)");
  stats_.in_use += static_cast<int64_t>(capacity);
  stats_.peak = std::max(stats_.peak, stats_.in_use + stats_.cached);
  return HostBuffer(shared_from_this(), data, size, capacity);
}

void HostAllocator::release(void* data, size_t capacity) {
  const std::lock_guard lock(mutex_);
  stats_.in_use -= static_cast<int64_t>(capacity);
#ifdef INSTASEG_PLAIN_BLOCKS
  system_free(data, capacity);
#else
  cache_.emplace(capacity, data);
  stats_.cached += static_cast<int64_t>(capacity);
#endif
}

MemoryStats HostAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void HostAllocator::trim() {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

void HostAllocator::trim_locked() {
  for (const auto& [capacity, data] : cache_) system_free(data, capacity);
  cache_.clear();
  stats_.cached = 0;
}

}  // namespace instaseg
