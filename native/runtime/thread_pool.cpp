#include "runtime/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#ifdef __linux__
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace instaseg {

namespace {

constexpr std::chrono::microseconds kSpin{50};

/// Tells the processor that this thread waits.
inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  asm volatile("yield");
#endif
}

/// Whether `ready` became true within kSpin. Gives way to threads that want this processor.
template <class Ready>
bool spin(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      relax();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

template <class Ready>
void ThreadPool::wait(std::condition_variable& condition, const Ready& ready) {
  if (spin(ready)) return;
  std::unique_lock lock(mutex_);
  condition.wait(lock, ready);
}

void ThreadPool::notify(std::condition_variable& condition) {
  // A thread that saw nothing to do holds the mutex until it waits.
  { const std::lock_guard lock(mutex_); }
  condition.notify_all();
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  notify(wake_);
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::start_workers() {
  for (int thread = 1; thread < threads_; ++thread) workers_.emplace_back([this, thread] { work(thread); });
}

void ThreadPool::parallel_for(int64_t count, int64_t grain, const Body& body, const CancelFlag* cancel) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (threads_ == 1 || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) {
      if (cancel && cancel->load(std::memory_order_relaxed)) return;
      body(begin, std::min(begin + grain, count), 0);
    }
    return;
  }
  if (workers_.empty()) start_workers();
  body_ = &body;
  cancel_ = cancel;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  error_ = nullptr;
  busy_.store(threads_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  notify(wake_);
  drain(0);
  wait(done_, [this] { return busy_.load(std::memory_order_acquire) == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::drain(int thread) {
  try {
    for (;;) {
      const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
      if (begin >= count_ || (cancel_ && cancel_->load(std::memory_order_relaxed))) return;
      (*body_)(begin, std::min(begin + grain_, count_), thread);
    }
  } catch (...) {
    next_.store(count_, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::work(int thread) {
  for (uint64_t seen = 0;;) {
    wait(wake_, [&] { return stop_.load() || generation_.load(std::memory_order_acquire) != seen; });
    if (stop_.load()) return;
    seen = generation_.load(std::memory_order_acquire);
    drain(thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) notify(done_);
  }
}

namespace {

// Whole CPUs that the cgroup's quota allows, or a large number where there is none. Version 2, then version 1.
int cgroup_cpus() {
  constexpr int unlimited = 1 << 20;
  std::string quota;
  double period = 0;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> quota >> period) {
    if (quota == "max" || period <= 0) return unlimited;
    return std::max(1, static_cast<int>(std::stod(quota) / period));
  }
  double microseconds = 0;
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quota_file >> microseconds && period_file >> period && microseconds > 0 && period > 0) {
    return std::max(1, static_cast<int>(microseconds / period));
  }
  return unlimited;
}

// Distinct (package, core) pairs among the CPUs this process may use; 0 where the system does not tell.
int physical_cores() {
#ifdef __linux__
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 0;
  std::set<std::pair<int, int>> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    int core = cpu;
    int package = 0;
    std::ifstream(topology + "core_id") >> core;
    std::ifstream(topology + "physical_package_id") >> package;
    cores.emplace(package, core);
  }
  return static_cast<int>(cores.size());
#else
  return 0;
#endif
}

}  // namespace

int default_thread_count() {
  const int cores = physical_cores();
  const int available = cores > 0 ? cores : static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, std::min(available, cgroup_cpus()));
}

}  // namespace instaseg
