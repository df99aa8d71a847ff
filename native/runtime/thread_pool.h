// The package's own threads. Nothing here touches libuv or Node-API.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace instaseg {

/// Set by another thread to make a run stop early: kernels skip the chunks that have not begun.
using CancelFlag = std::atomic<bool>;

/// Runs one loop at a time over `threads` threads, the caller included.
/// The split into chunks never changes a result: kernels compute every output element the same way in any chunk.
///
/// A wait first spins, for 50 microseconds at the most, and then blocks: a plan is a chain of hundreds of loops, and to
/// wake a thread costs as much as a small one. Longer spins would take processors from the rest of the process.
class ThreadPool {
 public:
  /// `threads` >= 1; threads - 1 workers start with the first loop that needs them.
  explicit ThreadPool(int threads) : threads_(threads) {}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  /// Calls body(begin, end, thread) over [0, count) in chunks of `grain` elements; `thread` < threads() tells scratch
  /// memory apart. The first exception of a chunk is rethrown here. Chunks are left out once `cancel` is set.
  using Body = std::function<void(int64_t begin, int64_t end, int thread)>;
  void parallel_for(int64_t count, int64_t grain, const Body& body, const CancelFlag* cancel = nullptr);

 private:
  void start_workers();
  void work(int thread);
  void drain(int thread);
  /// Wakes and waits go through `mutex_`, so that none is lost; `ready` reads atomics only.
  template <class Ready>
  void wait(std::condition_variable& condition, const Ready& ready);
  void notify(std::condition_variable& condition);

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};

  // Of the loop of this generation: written while no worker is busy.
  const Body* body_ = nullptr;
  const CancelFlag* cancel_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::atomic<int64_t> next_{0};
  std::exception_ptr error_;
};

/// min(CPU affinity, cgroup quota, physical cores), at least 1.
int default_thread_count();

}  // namespace instaseg
