#include <algorithm>
#include <cstdlib>
#include <new>

#include "runtime/allocator.h"
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
[[maybe_unused]] constexpr size_t kHugePage = size_t{2} << 20;

#ifdef INSTASEG_MAP_BLOCKS
void* map(size_t capacity) {
  // Kernels walk through many planes at once, more than small pages have entries in the TLB. Blocks begin where a huge
  // page can.
  const size_t extra = capacity >= kHugePage ? kHugePage : 0;
  void* mapped = mmap(nullptr, capacity + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (!extra) return mapped;
  char* begin = static_cast<char*>(mapped);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (before) munmap(begin, before);
  if (extra > before) munmap(begin + before + capacity, extra - before);
  madvise(begin + before, capacity, MADV_HUGEPAGE);
  return begin + before;
}
#endif

}  // namespace

bool HostAllocator::caches() const {
#ifdef INSTASEG_PLAIN_BLOCKS
  return false;
#else
  return true;
#endif
}

size_t HostAllocator::capacity_for(size_t size) const {
#ifdef INSTASEG_PLAIN_BLOCKS
  return std::max<size_t>(size, 1);
#else
  const size_t unit = size >= kMapThreshold ? kPage : kAlignment;
  return (std::max<size_t>(size, 1) + unit - 1) / unit * unit;
#endif
}

// Little of a cached block may be wasted: an eighth, or a megabyte where blocks are large.
size_t HostAllocator::slack(size_t capacity) const {
  return std::max(capacity / 8, capacity >= kMapThreshold ? kMapThreshold : kAlignment);
}

bool HostAllocator::replaces_cache(size_t capacity) const { return capacity >= kMapThreshold; }

void* HostAllocator::acquire(size_t capacity) {
#ifdef INSTASEG_MAP_BLOCKS
  if (capacity >= kMapThreshold) {
    return map(capacity);
  }
#endif
  return ::operator new(capacity, std::align_val_t(kAlignment), std::nothrow);
}

void HostAllocator::give_back(void* data, [[maybe_unused]] size_t capacity) {
#ifdef INSTASEG_MAP_BLOCKS
  if (capacity >= kMapThreshold) {
    munmap(data, capacity);
    return;
  }
#endif
  ::operator delete(data, std::align_val_t(kAlignment));
}

void HostAllocator::fail_allocation(size_t size, const MemoryStats& stats, int64_t limit) const {
  if (limit) {
    fail(ErrorCode::out_of_memory, "cannot allocate ", size, " bytes: ", stats.in_use,
         " bytes are in use and the limit is ", limit);
  }
  fail(ErrorCode::out_of_memory, "cannot allocate ", size, " bytes: the system has no memory left (", stats.in_use,
       " bytes in use)");
}

}  // namespace instaseg
