// Memory with a cache of freed blocks: repeated runs of a plan allocate nothing from the system or the driver.
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

class Allocator;

/// Owns one block; moves only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<Allocator> allocator, void* data, size_t size, size_t capacity)
      : allocator_(std::move(allocator)), data_(data), size_(size), capacity_(capacity) {}
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }

  void* data() const { return data_; }
  size_t size() const { return size_; }
  void reset();

 private:
  void swap(Buffer& other) noexcept {
    std::swap(allocator_, other.allocator_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  std::shared_ptr<Allocator> allocator_;
  void* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

/// The cache and the limit, over any kind of memory. Thread-safe. Blocks are never zeroed.
class Allocator : public std::enable_shared_from_this<Allocator> {
 public:
  /// `limit`: bytes of in_use + cached above which `allocate` throws ERR_OUT_OF_MEMORY; 0 means none.
  explicit Allocator(int64_t limit) : limit_(limit) {}
  virtual ~Allocator() = default;
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  Buffer allocate(size_t size);
  MemoryStats stats() const;
  /// Gives the cached blocks back to where they came from.
  void trim();

 protected:
  /// Whether freed blocks are kept. False where a sanitizer must see every block as an allocation of its own.
  virtual bool caches() const = 0;
  /// Bytes to acquire for a request of `size`.
  virtual size_t capacity_for(size_t size) const = 0;
  /// Bytes that a cached block may have beyond a request's capacity.
  virtual size_t slack(size_t capacity) const = 0;
  /// Whether a request of this capacity that no cached block serves empties the cache first, so that the cache never
  /// grows past what one working set needs.
  virtual bool replaces_cache(size_t capacity) const = 0;
  /// A block, or null where there is no memory left. Called with the lock held.
  virtual void* acquire(size_t capacity) = 0;
  virtual void give_back(void* data, size_t capacity) = 0;
  /// Throws the error of a request that cannot be met.
  [[noreturn]] virtual void fail_allocation(size_t size, const MemoryStats& stats, int64_t limit) const = 0;

 private:
  friend class Buffer;
  void release(void* data, size_t capacity);
  void trim_locked();

  const int64_t limit_;
  mutable std::mutex mutex_;
  std::multimap<size_t, void*> cache_;
  MemoryStats stats_;
};

/// The host's memory. Blocks are aligned to 64 bytes (a cache line, the widest vector).
class HostAllocator : public Allocator {
 public:
  explicit HostAllocator(int64_t limit = 0) : Allocator(limit) {}
  ~HostAllocator() override { trim(); }

 protected:
  bool caches() const override;
  size_t capacity_for(size_t size) const override;
  size_t slack(size_t capacity) const override;
  bool replaces_cache(size_t capacity) const override;
  void* acquire(size_t capacity) override;
  void give_back(void* data, size_t capacity) override;
  [[noreturn]] void fail_allocation(size_t size, const MemoryStats& stats, int64_t limit) const override;
};

}  // namespace instaseg
