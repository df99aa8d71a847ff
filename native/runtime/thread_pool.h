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

/// Runs one loop at a time over `threads` threads, the caller included. Waits block, they never spin.
/// The split into chunks never changes a result: kernels compute every output element the same way in any chunk.
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

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  uint64_t generation_ = 0;
  int busy_ = 0;
  bool stop_ = false;

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
