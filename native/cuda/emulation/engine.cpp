#include "cuda/emulation/engine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/emulation/fiber.h"
#include "cuda/emulation/sanitizer.h"
#include "cuda/emulation/shared_memory.h"
#include "cuda/emulation/symbol.h"
#include "runtime/error.h"

namespace instaseg::cuda::emulation {

thread_local ThreadIndices* current_thread INSTASEG_INITIAL_EXEC = nullptr;

namespace {

// xorshift64*: a few instructions a draw, and every draw is a function of the seed.
class Random {
 public:
  void seed(uint64_t value) {
    // splitmix64: neighbouring seeds give unrelated sequences.
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    state_ = (value ^ (value >> 31)) | 1;
  }
  uint32_t bits() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<uint32_t>((state_ * 0x2545f4914f6cdd1du) >> 32);
  }
  /// Uniform in [0, count).
  uint32_t below(uint32_t count) { return static_cast<uint32_t>((uint64_t{bits()} * count) >> 32); }

 private:
  uint64_t state_ = 1;
};

struct AsyncCopy {
  char* target;
  const char* source;
  uint32_t group;
  bool valid;
  bool landed;
};

constexpr size_t kAsyncBytes = 16;

enum class State : uint8_t { fresh, ready, at_barrier, in_collective, exited };

struct Thread : ThreadIndices {
  State state = State::fresh;
  BarrierKind barrier = BarrierKind::sync;
  unsigned lane = 0;
  unsigned warp = 0;
  /// Where it waits.
  Site site{};
  const WarpOperation* operation = nullptr;
  uint32_t mask = 0;
  char* stack = nullptr;
  Context context;
  std::vector<AsyncCopy> copies;
  uint32_t committed = 0;
};

struct PendingCollective {
  const WarpOperation* operation;
  uint32_t arrived;
  WarpCall call;
};

struct Warp {
  /// Calls of __syncwarp in this block.
  uint32_t time = 0;
  uint32_t lanes = 0;
  uint32_t exited = 0;
  /// Several where lanes wait under different masks.
  std::vector<PendingCollective> pending;
};

bool same(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

const char* barrier_name(BarrierKind kind) {
  switch (kind) {
    case BarrierKind::any:
      return "__syncthreads_or";
    case BarrierKind::all:
      return "__syncthreads_and";
    case BarrierKind::count:
      return "__syncthreads_count";
    case BarrierKind::sync:
      break;
  }
  return "__syncthreads";
}

std::ostream& operator<<(std::ostream& stream, const Site& site) { return stream << site.file << ':' << site.line; }

/// One operating system thread's emulator.
class Engine {
 public:
  Engine() : stacks_(kMaxThreads), threads_(kMaxThreads), ready_(kMaxThreads) {
#ifdef INSTASEG_EMULATION_RACES
    races_ = std::make_unique<RaceDetector>(SharedMemory::arena_bytes());
#endif
  }

  void run(const Grid& grid, uint64_t seed);

  /// Says what is wrong with the running thread; abandon() must follow. Two steps, since nothing on a fiber that is
  /// abandoned is destroyed: messages are gone by then.
  void report(std::string message) { error_ = std::move(message); }
  [[noreturn]] void abandon();
  int barrier(BarrierKind kind, bool predicate, Site site);
  void collective(const WarpOperation& operation, uint32_t mask, void* operands, Site site);
  void* shared_array(const void* declaration, const char* name, size_t bytes);
  void* dynamic_shared();
  void async_copy(void* shared, const void* global, bool valid);
  void async_commit() { ++self().committed; }
  void async_wait(int pending);
#ifdef INSTASEG_EMULATION_RACES
  void note_atomic(const void* address, size_t bytes) {
    note_access(Access::atomic, address, bytes, __builtin_return_address(0));
  }
#endif

  void order_warp() { ++warps_[self().warp].time; }
  void note_access(Access access, const void* address, size_t bytes, const void* code);
  const SharedMemory& shared() const { return shared_; }
  Random& random() { return random_; }

 private:
  friend void run_fiber();

  Thread& self() { return *static_cast<Thread*>(current_thread); }
  void begin_grid(const Grid& grid);
  void run_block();
  [[noreturn]] void throw_error(const Thread& thread);
  [[noreturn]] void fiber();
  /// Suspends the running thread, which is ready or waits.
  void yield();
  Thread& draw();
  void make_ready(Thread& thread) {
    thread.state = State::ready;
    ready_[ready_count_++] = &thread;
  }
  [[noreturn]] void stalled();
  static void land(AsyncCopy& copy);
  /// Some of the thread's copies that are under way.
  void land_some(Thread& thread);
  /// Beyond the arena for addresses that are not shared.
  size_t offset_of(const void* address) const {
    return static_cast<size_t>(static_cast<const char*>(address) - shared_.arena());
  }
  Moment now() {
    const Thread& thread = self();
    const auto number = static_cast<uint16_t>(thread.warp * 32 + thread.lane);
    return {epoch_, warps_[thread.warp].time, number};
  }
  std::string describe_waiting() const;

  StackPool stacks_;
  SharedMemory shared_;
  Random random_;
  std::vector<Thread> threads_;
  std::array<Warp, kMaxThreads / 32> warps_;
  Context main_;

  // The grid and the block under way.
  const Grid* grid_ = nullptr;
  BlockIndices block_;
  unsigned count_ = 0;
  std::vector<Thread*> ready_;
  uint32_t ready_count_ = 0;
  unsigned exited_ = 0;
  size_t static_bytes_ = 0;
  void* dynamic_ = nullptr;
  std::string error_;

  unsigned arrived_ = 0;
  bool mixed_barriers_ = false;
  Site barrier_site_{};
  BarrierKind barrier_kind_ = BarrierKind::sync;
  unsigned votes_ = 0;
  int barrier_result_ = 0;

  /// Barriers and blocks so far.
  uint32_t epoch_ = 0;
  std::unique_ptr<RaceDetector> races_;
  /// Code that the message names.
  const void* code_ = nullptr;
  const void* other_code_ = nullptr;
};

thread_local Engine* engine INSTASEG_INITIAL_EXEC = nullptr;

/// Engines are lent for a launch: every device has a thread of its own, and a thousand stacks are many mappings.
class EnginePool {
 public:
  std::unique_ptr<Engine> take() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [&] { return !free_.empty() || lent_ < limit_; });
    ++lent_;
    if (free_.empty()) return std::make_unique<Engine>();
    std::unique_ptr<Engine> taken = std::move(free_.back());
    free_.pop_back();
    return taken;
  }
  void give_back(std::unique_ptr<Engine> returned) {
    {
      const std::lock_guard lock(mutex_);
      free_.push_back(std::move(returned));
      --lent_;
    }
    returned_.notify_one();
  }

 private:
  const unsigned limit_ = std::max(2u, std::thread::hardware_concurrency());
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Engine>> free_;
  unsigned lent_ = 0;
};

/// This thread's engine while it lives.
class Lease {
 public:
  Lease() : owned_(pool().take()) { engine = owned_.get(); }
  ~Lease() {
    engine = nullptr;
    pool().give_back(std::move(owned_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

 private:
  // Never destroyed: threads may run kernels while the process exits.
  static EnginePool& pool() {
    static EnginePool* instance = new EnginePool;
    return *instance;
  }

  std::unique_ptr<Engine> owned_;
};

void run_fiber() {
  enter_context();
  engine->fiber();
}

void Engine::begin_grid(const Grid& grid) {
  grid_ = &grid;
  count_ = grid.block.x * grid.block.y * grid.block.z;
  block_.block_dim = grid.block;
  block_.grid_dim = grid.grid;
  for (Warp& warp : warps_) warp.lanes = 0;
  unsigned i = 0;
  for (unsigned z = 0; z < grid.block.z; ++z) {
    for (unsigned y = 0; y < grid.block.y; ++y) {
      for (unsigned x = 0; x < grid.block.x; ++x, ++i) {
        Thread& thread = threads_[i];
        thread.index = {x, y, z};
        thread.block = &block_;
        thread.lane = i % 32;
        thread.warp = i / 32;
        warps_[thread.warp].lanes |= 1u << thread.lane;
      }
    }
  }
}

void Engine::run(const Grid& grid, uint64_t seed) {
  begin_grid(grid);
  random_.seed(seed);
  const uint64_t blocks = uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z;
  // A random order that needs no list: start + i * step modulo the number of blocks, step prime to it.
  const uint64_t start = random_.bits() % blocks;
  uint64_t step = blocks > 1 ? 1 + random_.bits() % (blocks - 1) : 1;
  while (std::gcd(step, blocks) != 1) step = step % blocks + 1;
  uint64_t at = start;
  for (uint64_t i = 0; i < blocks; ++i, at = (at + step) % blocks) {
    block_.index = {static_cast<unsigned>(at % grid.grid.x), static_cast<unsigned>(at / grid.grid.x % grid.grid.y),
                    static_cast<unsigned>(at / grid.grid.x / grid.grid.y)};
    run_block();
  }
}

void Engine::run_block() {
  shared_.begin_block();
  ++epoch_;
  if (races_) races_->begin_block(epoch_);
  static_bytes_ = 0;
  dynamic_ = nullptr;
  exited_ = 0;
  arrived_ = 0;
  mixed_barriers_ = false;
  ready_count_ = count_;
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    thread.state = State::fresh;
    thread.committed = 0;
    thread.copies.clear();
    ready_[i] = &thread;
  }
  for (unsigned warp = 0; warp < (count_ + 31) / 32; ++warp) {
    warps_[warp].exited = 0;
    warps_[warp].time = 0;
    warps_[warp].pending.clear();
  }
  Thread& first = draw();
  first.stack = stacks_.take();
  prepare(first.context, first.stack, run_fiber);
  current_thread = &first;
  switch_context(main_, first.context);
  const Thread& last = self();
  current_thread = nullptr;
  if (!error_.empty()) {
    stacks_.reset();
    throw_error(last);
  }
}

void Engine::fiber() {
  for (;;) {
    grid_->invoke(grid_->arguments);
    Thread& ended = self();
    ended.state = State::exited;
    warps_[ended.warp].exited |= 1u << ended.lane;
    ++exited_;
    if (ready_count_ == 0) {
      if (exited_ != count_) stalled();
      stacks_.give_back(ended.stack);
      leave_context(main_);
    }
    // A thread that has not begun goes on with this stack; a suspended one has its own.
    Thread& next = draw();
    current_thread = &next;
    if (next.state == State::fresh) {
      next.stack = ended.stack;
    } else {
      stacks_.give_back(ended.stack);
      leave_context(next.context);
    }
  }
}

Thread& Engine::draw() {
  const uint32_t at = random_.below(ready_count_);
  Thread* thread = ready_[at];
  ready_[at] = ready_[--ready_count_];
  return *thread;
}

void Engine::yield() {
  Thread& from = self();
  if (!from.copies.empty()) land_some(from);
  if (ready_count_ == 0) stalled();
  Thread& next = draw();
  if (&next == &from) return;
  if (next.state == State::fresh) {
    next.stack = stacks_.take();
    prepare(next.context, next.stack, run_fiber);
  }
  current_thread = &next;
  switch_context(from.context, next.context);
}

void Engine::abandon() { leave_context(main_); }

void Engine::throw_error(const Thread& thread) {
  std::ostringstream text;
  text << "kernel " << function_name(grid_->kernel) << " (launched at " << grid_->file << ':' << grid_->line
       << "), block (" << block_.index.x << ", " << block_.index.y << ", " << block_.index.z << "), thread ("
       << thread.index.x << ", " << thread.index.y << ", " << thread.index.z << "): " << std::exchange(error_, {});
  if (const void* code = std::exchange(code_, nullptr)) text << "; in " << source_line(code);
  if (const void* code = std::exchange(other_code_, nullptr)) text << ", after " << source_line(code);
  throw Error(ErrorCode::internal, text.str());
}

std::string Engine::describe_waiting() const {
  // Threads in a row that do the same are named together.
  std::ostringstream text;
  int groups = 0;
  for (unsigned begin = 0; begin < count_;) {
    const Thread& first = threads_[begin];
    unsigned end = begin + 1;
    while (end < count_) {
      const Thread& t = threads_[end];
      if (t.state != first.state) break;
      if (t.state != State::exited && !same(t.site, first.site)) break;
      if (t.state == State::at_barrier && t.barrier != first.barrier) break;
      if (t.state == State::in_collective && (t.operation != first.operation || t.mask != first.mask)) break;
      ++end;
    }
    if (groups == 8) return text.str() + "; and more";
    if (groups++) text << "; ";
    if (end - begin == 1) {
      text << "thread " << begin;
    } else {
      text << "threads " << begin << " to " << end - 1;
    }
    if (first.state == State::at_barrier) {
      text << " at " << barrier_name(first.barrier) << " in " << first.site;
    } else if (first.state == State::in_collective) {
      text << " at " << first.operation->name << " with mask 0x" << std::hex << first.mask << std::dec << " in "
           << first.site;
    } else {
      text << " ended";
    }
    begin = end;
  }
  return text.str();
}

void Engine::stalled() {
  report("no thread can go on, for all wait for others that never come: " + describe_waiting());
  abandon();
}

int Engine::barrier(BarrierKind kind, bool predicate, Site site) {
  Thread& thread = self();
  thread.state = State::at_barrier;
  thread.site = site;
  thread.barrier = kind;
  if (arrived_ == 0) {
    barrier_site_ = site;
    barrier_kind_ = kind;
    votes_ = 0;
  } else if (kind != barrier_kind_ || !same(site, barrier_site_)) {
    mixed_barriers_ = true;
  }
  votes_ += predicate;
  if (++arrived_ == count_) {
    if (mixed_barriers_) {
      report("the threads of the block meet at different barriers: " + describe_waiting());
      abandon();
    }
    barrier_result_ = static_cast<int>(kind == BarrierKind::any   ? votes_ > 0
                                       : kind == BarrierKind::all ? votes_ == count_
                                                                  : votes_);
    arrived_ = 0;
    ++epoch_;
    for (unsigned i = 0; i < count_; ++i) make_ready(threads_[i]);
  }
  yield();
  return barrier_result_;
}

void Engine::collective(const WarpOperation& operation, uint32_t mask, void* operands, Site site) {
  Thread& thread = self();
  Warp& warp = warps_[thread.warp];
  const uint32_t bit = 1u << thread.lane;
  const auto refuse = [&](const char* why, uint32_t lanes) {
    fail_kernel("%s in %s:%d: mask 0x%x %s (0x%x)", operation.name, site.file, site.line, mask, why, lanes);
  };
  if (!(mask & bit)) refuse("leaves out the lane that calls", bit);
  if (mask & ~warp.lanes) refuse("names lanes that the block does not have", mask & ~warp.lanes);
  if (mask & warp.exited) refuse("names lanes that have ended", mask & warp.exited);

  size_t at = 0;
  while (at < warp.pending.size() && warp.pending[at].call.mask != mask) ++at;
  if (at == warp.pending.size()) warp.pending.push_back({&operation, 0, {{}, mask}});
  PendingCollective& pending = warp.pending[at];
  if (pending.operation != &operation) {
    const auto other = static_cast<unsigned>(std::countr_zero(pending.arrived));
    const Site& theirs = threads_[thread.warp * 32 + other].site;
    fail_kernel("lanes of mask 0x%x call different collectives: lane %u %s in %s:%d, lane %u %s in %s:%d", mask,
                thread.lane, operation.name, site.file, site.line, other, pending.operation->name, theirs.file,
                theirs.line);
  }
  pending.call.lane[thread.lane] = operands;
  pending.arrived |= bit;
  thread.site = site;
  thread.operation = &operation;
  thread.mask = mask;
  if (pending.arrived != mask) {
    thread.state = State::in_collective;
    yield();
    return;
  }
  const WarpCall call = pending.call;
  warp.pending[at] = warp.pending.back();
  warp.pending.pop_back();
  operation.complete(call);
  for (uint32_t left = mask & ~bit; left != 0; left &= left - 1) {
    make_ready(threads_[thread.warp * 32 + static_cast<unsigned>(std::countr_zero(left))]);
  }
  // The last to come goes on without a switch, most of the time.
  if ((random_.bits() & 7) == 0 && mask != bit) {
    make_ready(thread);
    yield();
  }
}

void* Engine::shared_array(const void* declaration, const char* name, size_t bytes) {
  if (void* data = shared_.find(declaration)) return data;
  static_bytes_ += (bytes + 127) / 128 * 128;
  if (static_bytes_ > kDefaultSharedBytes) {
    fail_kernel("static shared memory takes %zu bytes with `%s`, at most %zu are allowed; use dynamic shared memory",
                static_bytes_, name, kDefaultSharedBytes);
  }
  if (static_bytes_ + grid_->shared_bytes > kMaxSharedBytes) {
    fail_kernel("static and dynamic shared memory take %zu bytes with `%s`, at most %zu are allowed",
                static_bytes_ + grid_->shared_bytes, name, kMaxSharedBytes);
  }
  return shared_.add(declaration, name, bytes, random_.bits() & 1 ? 0xff : 0x7f);
}

void* Engine::dynamic_shared() {
  if (!dynamic_) {
    if (grid_->shared_bytes == 0) fail_kernel("uses dynamic shared memory, but the launch gives it none");
    dynamic_ = shared_.add(nullptr, "dynamic shared memory", grid_->shared_bytes, random_.bits() & 1 ? 0xff : 0x7f);
  }
  return dynamic_;
}

void Engine::land(AsyncCopy& copy) {
  copy.landed = true;
  if (copy.valid) {
    std::memcpy(copy.target, copy.source, kAsyncBytes);
  } else {
    std::memset(copy.target, 0, kAsyncBytes);
  }
}

void Engine::land_some(Thread& thread) {
  for (AsyncCopy& copy : thread.copies) {
    if (!copy.landed && (random_.bits() & 3) == 0) land(copy);
  }
}

void Engine::async_copy(void* shared, const void* global, bool valid) {
  Thread& thread = self();
  thread.copies.push_back(
      {static_cast<char*>(shared), static_cast<const char*>(global), thread.committed, valid, false});
  if (races_) races_->begin_async(offset_of(shared), kAsyncBytes);
  if ((random_.bits() & 3) == 0) land_some(thread);
}

void Engine::async_wait(int pending) {
  Thread& thread = self();
  const auto kept = static_cast<uint32_t>(pending);
  if (thread.committed <= kept) return;
  std::erase_if(thread.copies, [&](AsyncCopy& copy) {
    if (copy.group >= thread.committed - kept) return false;
    if (!copy.landed) land(copy);
    if (races_) races_->end_async(offset_of(copy.target), kAsyncBytes, now());
    return true;
  });
}

void Engine::note_access(Access access, const void* address, size_t bytes, const void* code) {
  const size_t offset = offset_of(address);
  if (offset >= SharedMemory::arena_bytes() || !races_) return;
  const Race race = races_->access(access, offset, bytes, now(), code);
  if (!race.text) return;
  size_t place = 0;
  const char* array = shared_.name_at(shared_.arena() + race.offset, place);
  code_ = code;
  other_code_ = race.code;
  if (race.thread >= 0) {
    fail_kernel("byte %zu of `%s` %s by thread %d", place, array ? array : "shared memory", race.text, race.thread);
  }
  fail_kernel("byte %zu of `%s` %s", place, array ? array : "shared memory", race.text);
}

}  // namespace

// What device code calls
// --------------------------------------------------------------------------------------------------

void fail_kernel(const char* format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  engine->report(message);
  engine->abandon();
}

int block_barrier(BarrierKind kind, bool predicate, Site site) { return engine->barrier(kind, predicate, site); }
void warp_collective(const WarpOperation& operation, uint32_t mask, void* operands, Site site) {
  engine->collective(operation, mask, operands, site);
}
void* shared_array_bytes(const void* declaration, const char* name, size_t bytes) {
  return engine->shared_array(declaration, name, bytes);
}
void* dynamic_shared_bytes() { return engine->dynamic_shared(); }

uint32_t random_bits() { return engine->random().bits(); }
unsigned lane_index() { return static_cast<Thread*>(current_thread)->lane; }

void require_shared(const void* address, size_t bytes, size_t alignment, const char* what) {
  if (reinterpret_cast<uintptr_t>(address) % alignment != 0) {
    fail_kernel("%s %p is not aligned to %zu bytes", what, address, alignment);
  }
  if (!engine->shared().contains(address, bytes)) fail_kernel("%s %p lies outside shared memory", what, address);
}

#ifdef INSTASEG_EMULATION_RACES
void note_atomic(const void* address, size_t bytes) {
  note_access(Access::atomic, address, bytes, __builtin_return_address(0));
}
#endif

void order_warp() { engine->order_warp(); }
void note_access(Access access, const void* address, size_t bytes, const void* code) {
  if (current_thread) engine->note_access(access, address, bytes, code);
}

void async_copy(void* shared, const void* global, bool valid) { engine->async_copy(shared, global, valid); }
void async_commit() { engine->async_commit(); }
void async_wait(int pending) { engine->async_wait(pending); }

// Schedules
// ---------------------------------------------------------------------------------------------------------------

namespace {

uint64_t seed_from_environment() {
  const char* text = std::getenv("INSTASEG_EMULATION_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 1;
}

std::atomic<uint64_t>& seed() {
  static std::atomic<uint64_t> value = seed_from_environment();
  return value;
}
// Of this thread: what other devices do in between does not change a schedule.
thread_local uint64_t launches = 0;

}  // namespace

uint64_t schedule_seed() { return seed(); }

void set_schedule_seed(uint64_t value) {
  seed() = value;
  launches = 0;
}

void run_grid(const Grid& grid) {
  const Lease lease;
  engine->run(grid, (schedule_seed() << 32) + launches++);
}

}  // namespace instaseg::cuda::emulation
