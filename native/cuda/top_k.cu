// topK, variants:
//   select  k up to 2,048: rows are cut into segments of 8,192 entries, of which every block keeps its k best (radix
//           selection, cuda/order.h); one block a row selects among those and sorts what is left in shared memory. Two
//           launches read the row about four times, from the cache; short rows take one
//   merge   any k: sorts whole rows (cuda/merge_sort.h)
#include "ops/top_k.h"

#include "cuda/merge_sort.h"

namespace instaseg::cuda {
namespace {

constexpr int64_t kSegment = 8192;
constexpr unsigned kLargeBlock = 1024;
constexpr unsigned kSmallBlock = 256;

struct Job {
  Job(const KernelContext& context)  // NOLINT: implicit
      : sort{.input = context.inputs[0].f32(),
             .rows = context.inputs[0].shape[0],
             .counts = RowCounts::of_groups(context.inputs[0].shape[1], input_or_absent(context, 1)),
             .descending = true,
             .kept = context.outputs[0].shape[1],
             .values = context.outputs[0].as<float>(),
             .indices = context.outputs[1].as<int32_t>()},
        kept_counts(context.outputs[2].as<int32_t>()) {}
  __device__ __forceinline__ int64_t kept(int64_t row) const {
    const int64_t count = sort.counts[row];
    return count < sort.kept ? count : sort.kept;
  }

  SortJob sort;
  int32_t* kept_counts;
};

int64_t segments(int64_t columns) { return (columns + kSegment - 1) / kSegment; }

unsigned block_size(int64_t entries) { return entries >= kSegment / 2 ? kLargeBlock : kSmallBlock; }

// selected: [rows, segments, k], the pairs of each segment in any order, then kNoPair.
__global__ void __launch_bounds__(kLargeBlock, 1) select_segments_kernel(Job job, uint64_t* selected) {
  const int64_t begin = int64_t{blockIdx.x} * kSegment;
  for (int64_t row = blockIdx.y; row < job.sort.rows; row += gridDim.y) {
    const int64_t left = job.sort.counts[row] - begin;
    const int64_t count = left < kSegment ? (left > 0 ? left : 0) : kSegment;
    const auto pair_at = [&](int64_t i) { return job.sort.pair(row, begin + i); };
    uint64_t* to = selected + (row * gridDim.x + blockIdx.x) * job.sort.kept;
    const int64_t size = collect_pairs(count, select_limit(count, job.sort.kept, pair_at), pair_at, to);
    for (int64_t i = size + threadIdx.x; i < job.sort.kept; i += blockDim.x) to[i] = kNoPair;
  }
}

// Sorts the best of a row and writes them: of `slots` selected pairs a row, or of the row itself.
__global__ void __launch_bounds__(kLargeBlock, 1) finish_kernel(Job job, const uint64_t* selected, int64_t slots) {
  INSTASEG_SHARED(uint64_t, best, kSharedPairs);
  const int64_t k = job.sort.kept;
  for (int64_t row = blockIdx.x; row < job.sort.rows; row += gridDim.x) {
    int64_t count;
    if (selected) {
      const uint64_t* pairs = selected + row * slots;
      const auto pair_at = [&](int64_t i) { return pairs[i]; };
      count = collect_pairs(slots, select_limit(slots, k, pair_at), pair_at, best);
    } else {
      const auto pair_at = [&](int64_t i) { return job.sort.pair(row, i); };
      const int64_t entries = job.sort.counts[row];
      count = collect_pairs(entries, select_limit(entries, k, pair_at), pair_at, best);
    }
    block_sort(best, count);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) job.sort.write(row, i, best[i]);
    if (threadIdx.x == 0) job.kept_counts[row] = static_cast<int32_t>(count);
    __syncthreads();
  }
}

__global__ void write_counts_kernel(Job job) {
  for (int64_t row = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; row < job.sort.rows;
       row += int64_t{gridDim.x} * blockDim.x) {
    job.kept_counts[row] = static_cast<int32_t>(job.kept(row));
  }
}

/// Of a row; none where one block reads the row itself.
int64_t slots(int64_t columns, int64_t k) { return columns > kSegment ? segments(columns) * k : 0; }

bool supports_select(const TopK& op, const Specs& in) { return std::min(op.k, in[0].shape[1]) <= kSharedPairs; }

size_t select_workspace(const TopK&, const Specs& in, const Specs& out, int) {
  return static_cast<size_t>(in[0].shape[0] * slots(in[0].shape[1], out[0].shape[1])) * sizeof(uint64_t);
}

void write_counts(const KernelContext& context, const Job& job) {
  launch(context, {.grid = blocks_for(job.sort.rows, kSmallBlock), .block = kSmallBlock}, write_counts_kernel, job);
}

void run_select(const TopK&, const KernelContext& context) {
  const Job job(context);
  const int64_t columns = job.sort.counts.capacity;
  if (job.sort.kept == 0) {
    write_counts(context, job);
    return;
  }
  const int64_t selected_slots = slots(columns, job.sort.kept);
  auto* selected = selected_slots ? reinterpret_cast<uint64_t*>(context.workspace) : nullptr;
  if (selected) {
    launch(context,
           {.grid = {static_cast<unsigned>(segments(columns)), detail::grid_rows(job.sort.rows)}, .block = kLargeBlock},
           select_segments_kernel, job, selected);
  }
  launch(context, {.grid = blocks_for(job.sort.rows, 1), .block = block_size(selected ? selected_slots : columns)},
         finish_kernel, job, selected, selected_slots);
}

size_t merge_workspace(const TopK&, const Specs& in, const Specs&, int) {
  return merge_sort_workspace(in[0].shape[0], in[0].shape[1]);
}

void run_merge(const TopK&, const KernelContext& context) {
  const Job job(context);
  write_counts(context, job);
  if (job.sort.kept > 0) merge_sort(context, job.sort);
}

const KernelRegistration<TopK> select_row{{.variant = "select",
                                           .device = DeviceKind::cuda,
                                           .rank = 20,
                                           .supports = supports_select,
                                           .workspace = select_workspace,
                                           .run = run_select}};
const KernelRegistration<TopK> merge_row{
    {.variant = "merge", .device = DeviceKind::cuda, .rank = 10, .workspace = merge_workspace, .run = run_merge}};

}  // namespace
}  // namespace instaseg::cuda
