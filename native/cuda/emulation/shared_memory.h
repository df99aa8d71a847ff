// A block's shared memory: arrays laid out in one heap arena with poisoned gaps between them, so that AddressSanitizer
// sees an access beyond an array (it sees none in static or thread_local arrays of templates). Fresh memory is filled
// with 0xff or with 0x7f bytes: NaN or the largest floats, -1 or large integers. Which one is drawn for every array, so
// that no minimum or maximum hides both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace instaseg::cuda::emulation {

class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// A new block: forgets all arrays.
  void begin_block();
  /// The array of a declaration if it exists.
  void* find(const void* declaration) const {
    for (const Array& array : arrays_) {
      if (array.declaration == declaration) return array.data;
    }
    return nullptr;
  }
  /// Adds an array; `fill` is the byte it starts with.
  void* add(const void* declaration, const char* name, size_t bytes, uint8_t fill);
  /// Whether one array holds all of [address, address + bytes).
  bool contains(const void* address, size_t bytes) const;

  const char* arena() const { return arena_; }
  static size_t arena_bytes();
  /// The array that holds an address, or null; `offset` is the place in it.
  const char* name_at(const void* address, size_t& offset) const;

 private:
  struct Array {
    const void* declaration;
    const char* name;
    char* data;
    size_t bytes;
  };

  char* arena_;
  size_t next_ = 0;
  std::vector<Array> arrays_;
};

}  // namespace instaseg::cuda::emulation
