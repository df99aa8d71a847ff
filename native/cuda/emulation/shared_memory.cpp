#include "cuda/emulation/shared_memory.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "cuda/emulation/engine.h"
#include "cuda/emulation/sanitizer.h"

namespace instaseg::cuda::emulation {
namespace {

constexpr size_t kAlignment = 128;
// Between arrays: an index that is off by a row of 64 floats still lands in it.
constexpr size_t kGap = 512;
constexpr size_t kMaxArrays = 64;
constexpr size_t kArenaBytes = kMaxSharedBytes + (kMaxArrays + 1) * (kGap + kAlignment);

}  // namespace

SharedMemory::SharedMemory() : arena_(static_cast<char*>(std::aligned_alloc(kAlignment, kArenaBytes))) {
  if (!arena_) throw std::bad_alloc();
  arrays_.reserve(kMaxArrays);
  poison(arena_, kArenaBytes);
}

SharedMemory::~SharedMemory() {
  unpoison(arena_, kArenaBytes);
  std::free(arena_);
}

void SharedMemory::begin_block() {
  for (const Array& array : arrays_) poison(array.data, array.bytes);
  arrays_.clear();
  next_ = kGap;
}

void* SharedMemory::add(const void* declaration, const char* name, size_t bytes, uint8_t fill) {
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (arrays_.size() == kMaxArrays) fail_kernel("more than %zu shared arrays", kMaxArrays);
  char* data = arena_ + next_;
  next_ += rounded + kGap;
  unpoison(data, bytes);
  std::memset(data, fill, bytes);
  arrays_.push_back({declaration, name, data, bytes});
  return data;
}

size_t SharedMemory::arena_bytes() { return kArenaBytes; }

const char* SharedMemory::name_at(const void* address, size_t& offset) const {
  for (const Array& array : arrays_) {
    if (address < array.data || address >= array.data + array.bytes) continue;
    offset = static_cast<size_t>(static_cast<const char*>(address) - array.data);
    return array.name;
  }
  return nullptr;
}

bool SharedMemory::contains(const void* address, size_t bytes) const {
  const char* begin = static_cast<const char*>(address);
  for (const Array& array : arrays_) {
    if (begin >= array.data && begin + bytes <= array.data + array.bytes) return true;
  }
  return false;
}

}  // namespace instaseg::cuda::emulation
