#include "runtime/thread_pool.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#ifdef __linux__
#include <sched.h>
#endif

namespace instaseg {

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
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
  {
    const std::lock_guard lock(mutex_);
    body_ = &body;
    cancel_ = cancel;
    count_ = count;
    grain_ = grain;
    next_.store(0, std::memory_order_relaxed);
    error_ = nullptr;
    busy_ = threads_ - 1;
    ++generation_;
  }
  wake_.notify_all();
  drain(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
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
  uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
    if (stop_) return;
    seen = generation_;
    lock.unlock();
    drain(thread);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
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
