#include "runtime/allocator.h"

#include <algorithm>

#include "runtime/error.h"

namespace instaseg {

void Buffer::reset() {
  if (data_) allocator_->release(data_, capacity_);
  data_ = nullptr;
  size_ = capacity_ = 0;
  allocator_.reset();
}

Buffer Allocator::allocate(size_t size) {
  require(size <= size_t{1} << 46, ErrorCode::out_of_memory, "cannot allocate ", size, " bytes");
  const size_t capacity = capacity_for(size);
  const std::lock_guard lock(mutex_);
  const auto found = cache_.lower_bound(capacity);
  if (found != cache_.end() && found->first - capacity <= slack(capacity)) {
    const auto [block_capacity, data] = *found;
    cache_.erase(found);
    stats_.cached -= static_cast<int64_t>(block_capacity);
    stats_.in_use += static_cast<int64_t>(block_capacity);
    return Buffer(shared_from_this(), data, size, block_capacity);
  }
  const auto exceeds_limit = [&] {
    return limit_ && stats_.in_use + stats_.cached + static_cast<int64_t>(capacity) > limit_;
  };
  if (replaces_cache(capacity) || exceeds_limit()) trim_locked();
  if (exceeds_limit()) fail_allocation(size, stats_, limit_);
  void* data = acquire(capacity);
  if (!data && !cache_.empty()) {
    trim_locked();
    data = acquire(capacity);
  }
  if (!data) fail_allocation(size, stats_, 0);
  stats_.in_use += static_cast<int64_t>(capacity);
  stats_.peak = std::max(stats_.peak, stats_.in_use + stats_.cached);
  return Buffer(shared_from_this(), data, size, capacity);
}

void Allocator::release(void* data, size_t capacity) {
  const std::lock_guard lock(mutex_);
  stats_.in_use -= static_cast<int64_t>(capacity);
  if (!caches()) {
    give_back(data, capacity);
    return;
  }
  cache_.emplace(capacity, data);
  stats_.cached += static_cast<int64_t>(capacity);
}

MemoryStats Allocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Allocator::trim() {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

void Allocator::trim_locked() {
  for (const auto& [capacity, data] : cache_) give_back(data, capacity);
  cache_.clear();
  stats_.cached = 0;
}

}  // namespace instaseg
