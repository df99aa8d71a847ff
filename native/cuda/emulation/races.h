// Finds races in shared memory, whatever the schedule and the values: in builds with INSTASEG_EMULATION_RACES the
// compiler reports every memory access of a kernel (-fsanitize=thread without its runtime library; races.cpp has the
// functions that it calls). Two accesses to a byte, one of them a write, by different threads of a block are a race
// unless a barrier lies between them, or a __syncwarp where both threads are of one warp; shuffles and votes order
// nothing. Atomics race with other accesses only. The target of a cp.async is being written from its issue to the wait.
// A read of bytes that nothing in the block has written is an error too.
//
// Time is counted in barriers of the block and, a warp at a time, in calls of __syncwarp. One with a partial mask
// counts for the whole warp: races between the other lanes may go unseen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace instaseg::cuda::emulation {

/// When and by whom: barriers so far, calls of __syncwarp so far, the thread's number in its block.
struct Moment {
  uint32_t epoch;
  uint32_t warp_time;
  uint16_t thread;
};

enum class Access : uint8_t { read, write, atomic };

/// What is wrong with an access: `text` with room for the array's name and the offset in it, see RaceDetector::access.
struct Race {
  /// Null where nothing is.
  const char* text = nullptr;
  /// The byte's place.
  size_t offset = 0;
  /// The other access: its code, and its thread or -1 for several.
  const void* code = nullptr;
  int thread = -1;
};

class RaceDetector {
 public:
  explicit RaceDetector(size_t bytes) : bytes_(bytes) {}

  /// Nothing is written, nothing has been read. Epochs never repeat.
  void begin_block(uint32_t epoch) { first_epoch_ = epoch; }
  /// An access to `count` bytes at `offset` of the arena.
  Race access(Access access, size_t offset, size_t count, const Moment& now, const void* code);
  /// The bytes are being written by an asynchronous copy from now on, until end_async.
  void begin_async(size_t offset, size_t count);
  void end_async(size_t offset, size_t count, const Moment& now);

 private:
  /// What is known of one byte. Entries of epochs before the block's first are void.
  struct Byte {
    uint32_t write_epoch = 0;
    uint32_t write_time = 0;
    uint32_t read_epoch = 0;
    uint32_t read_time = 0;
    uint16_t writer = 0;
    /// A thread, kLanes + a warp for several of its lanes, or kMany.
    uint16_t reader = 0;
    bool by_atomic = false;
    bool in_flight = false;
    const void* write_code = nullptr;
    const void* read_code = nullptr;
  };
  static constexpr uint16_t kLanes = 1024;
  static constexpr uint16_t kMany = 0xffff;

  static bool write_ordered(const Byte& byte, const Moment& now);
  static bool reads_ordered(const Byte& byte, const Moment& now);
  static void add_reader(Byte& byte, const Moment& now, const void* code);

  std::vector<Byte> bytes_;
  uint32_t first_epoch_ = 0;
};

}  // namespace instaseg::cuda::emulation
