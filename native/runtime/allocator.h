// Host memory with a cache of freed blocks: repeated runs of a plan allocate nothing from the system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace instaseg {

struct MemoryStats {
  int64_t in_use = 0;  ///< bytes held by tensors, weights and runs in flight
  int64_t cached = 0;  ///< bytes freed and kept for the next run
  int64_t peak = 0;    ///< highest in_use + cached so far
};

class HostAllocator;

/// Owns one block; moves only.
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(std::shared_ptr<HostAllocator> allocator, void* data, size_t size, size_t capacity)
      : allocator_(std::move(allocator)), data_(data), size_(size), capacity_(capacity) {}
  ~HostBuffer() { reset(); }
  HostBuffer(HostBuffer&& other) noexcept { swap(other); }
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    HostBuffer moved(std::move(other));
    swap(moved);
    return *this;
  }

  void* data() const { return data_; }
  size_t size() const { return size_; }
  void reset();

 private:
  void swap(HostBuffer& other) noexcept {
    std::swap(allocator_, other.allocator_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  std::shared_ptr<HostAllocator> allocator_;
  void* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

/// Thread-safe. Blocks are aligned to 64 bytes (a cache line, the widest vector) and never zeroed.
class HostAllocator : public std::enable_shared_from_this<HostAllocator> {
 public:
  /// `limit`: bytes of in_use + cached above which `allocate` throws ERR_OUT_OF_MEMORY; 0 means none.
  explicit HostAllocator(int64_t limit = 0) : limit_(limit) {}
  ~HostAllocator() { trim(); }

  HostBuffer allocate(size_t size);
  MemoryStats stats() const;
  /// Gives the cached blocks back to the system.
  void trim();

 private:
  friend class HostBuffer;
  void release(void* data, size_t capacity);
  void trim_locked();

  const int64_t limit_;
  mutable std::mutex mutex_;
  std::multimap<size_t, void*> cache_;
  MemoryStats stats_;
};

}  // namespace instaseg
