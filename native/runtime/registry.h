// The two tables that everything is driven by: ops (what they compute, shapes, cost) and kernels (who computes them).
//
// An op is a struct in native/ops/<stem>.h:
//
//   struct Relu {
//     static constexpr const char* name = "relu";
//     static constexpr const char* inputs[] = {"input"};         // "name?" is optional, "name..." takes the rest
//     static Relu parse(AttributeReader& reader);                // attributes, read and checked once
//     Specs infer(const Specs& inputs) const;                    // shape rule; throws ERR_SHAPE / ERR_DTYPE
//     double flops(const Specs& inputs, const Specs& outputs) const;   // optional
//   };
//   inline const OpRegistration<Relu> relu_registration;
//
// A kernel is one row, registered by the file that defines it (native/cpu/<stem>.cpp, native/cuda/<stem>.cu):
//
//   const KernelRegistration<Relu> avx2{{.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = relu_avx2}};
//
// Dispatch, tests and microbenchmarks read these rows; adding an op edits no list.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/attributes.h"
#include "runtime/backend.h"
#include "runtime/isa.h"
#include "runtime/tensor.h"
#include "runtime/thread_pool.h"

namespace instaseg {

using Specs = std::vector<TensorSpec>;

struct OpSchema {
  std::string name;
  /// Input names in order; a trailing '?' marks an optional one, "..." one or more to the end.
  std::vector<std::string> inputs;
  std::function<std::shared_ptr<const void>(AttributeReader&)> parse;
  std::function<Specs(const void* op, const Specs& inputs)> infer;
  std::function<double(const void* op, const Specs& inputs, const Specs& outputs)> flops;
};

/// What a kernel gets for one call.
struct KernelContext {
  /// Their memory is the device's.
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;
  ThreadPool& pool;
  const CancelFlag* cancel = nullptr;
  /// `workspace` bytes as the row asked for, aligned as arenas are, uninitialised.
  char* workspace = nullptr;
  /// Result of the row's `pack` (on an accelerator: device memory), or null.
  const void* packed = nullptr;
  /// Memory for an output whose shape is dynamic: zeroed, owned by the run. The shape becomes that of the output.
  std::function<void*(size_t output, const Shape& shape)> allocate_output;
  /// Null on the CPU. Rows queue their kernels on its stream, and nothing else: they are recorded and replayed. Only
  /// rows with outputs of dynamic shape, which are never recorded, may download and synchronise.
  Backend* backend = nullptr;
  /// On an accelerator: device memory, 0 when the run begins. A kernel that finds wrong values in its inputs skips them
  /// and leaves here a number other than 0, which the run hands to the row's `explain`.
  uint64_t* fault = nullptr;

  void parallel_for(int64_t count, int64_t grain, const ThreadPool::Body& body) const {
    pool.parallel_for(count, grain, body, cancel);
  }
};

/// Where `pack` puts what it makes.
struct PackContext {
  const std::shared_ptr<HostAllocator>& host;
  /// Null on the CPU.
  Backend* backend = nullptr;
};

struct KernelRow {
  std::string op;
  DeviceKind device = DeviceKind::cpu;
  /// Of the first input.
  DType dtype = DType::f32;
  std::string variant;
  Isa isa = Isa::baseline;
  /// Of an accelerator: the least that the row needs.
  int compute_capability = 0;
  /// Among the rows that run here and support the call, the highest rank is taken. "reference" rows have rank 0.
  int rank = 0;
  std::function<bool(const void* op, const Specs& inputs)> supports;
  std::function<size_t(const void* op, const Specs& inputs, const Specs& outputs, int threads)> workspace;
  /// The constant input that `pack` rearranges, or -1. Packing happens once a weight and `pack_key`, whatever the plan.
  int packed_input = -1;
  std::function<std::string(const void* op, const Specs& inputs)> pack_key;
  /// `weight` is in host memory.
  std::function<std::shared_ptr<const void>(const void* op, const TensorView& weight, const PackContext& context)> pack;
  std::function<void(const void* op, const KernelContext& context)> run;
  /// Throws what a fault that `run` left means (`inputs` with the shapes of that run); rows without one leave none.
  std::function<void(const void* op, const Specs& inputs, uint64_t fault)> explain;
};

/// What a device offers to kernels.
struct Capability {
  DeviceKind device = DeviceKind::cpu;
  Isa isa = Isa::baseline;
  int compute_capability = 0;
  /// A variant name that wins over rank where an op has it ("reference" in tests), or empty.
  std::string variant;
};

class Registry {
 public:
  static Registry& instance();

  void add_op(OpSchema schema);
  void add_kernel(KernelRow row);
  /// Throws ERR_ARGUMENT for an unknown op.
  const OpSchema& op(std::string_view name) const;
  const std::vector<OpSchema>& ops() const { return ops_; }
  const std::vector<KernelRow>& kernels() const { return kernels_; }
  /// The row for a call; Throws ERR_UNSUPPORTED naming op, device and dtype.
  const KernelRow& select(const OpSchema& schema, const void* op, const Specs& inputs, const Capability& device) const;

 private:
  std::vector<OpSchema> ops_;
  std::vector<KernelRow> kernels_;
};

template <class Op>
struct OpRegistration {
  OpRegistration() {
    OpSchema schema;
    schema.name = Op::name;
    for (const char* input : Op::inputs) schema.inputs.emplace_back(input);
    schema.parse = [](AttributeReader& reader) -> std::shared_ptr<const void> {
      return std::make_shared<const Op>(Op::parse(reader));
    };
    schema.infer = [](const void* op, const Specs& inputs) { return static_cast<const Op*>(op)->infer(inputs); };
    schema.flops = [](const void* op, const Specs& inputs, const Specs& outputs) {
      if constexpr (requires(const Op& o) { o.flops(inputs, outputs); }) {
        return static_cast<const Op*>(op)->flops(inputs, outputs);
      } else {
        return 0.0;
      }
    };
    Registry::instance().add_op(std::move(schema));
  }
};

/// One kernel variant with its op's type; see KernelRow for the fields.
template <class Op>
struct Kernel {
  std::string variant = "reference";
  DeviceKind device = DeviceKind::cpu;
  DType dtype = DType::f32;
  Isa isa = Isa::baseline;
  int compute_capability = 0;
  int rank = 0;
  bool (*supports)(const Op& op, const Specs& inputs) = nullptr;
  size_t (*workspace)(const Op& op, const Specs& inputs, const Specs& outputs, int threads) = nullptr;
  int packed_input = -1;
  std::string (*pack_key)(const Op& op, const Specs& inputs) = nullptr;
  std::shared_ptr<const void> (*pack)(const Op& op, const TensorView& weight, const PackContext& context) = nullptr;
  void (*run)(const Op& op, const KernelContext& context) = nullptr;
  void (*explain)(const Op& op, const Specs& inputs, uint64_t fault) = nullptr;
};

template <class Op>
struct KernelRegistration {
  KernelRegistration(const Kernel<Op>& k) {  // NOLINT: implicit, so that rows read as tables
    KernelRow row;
    row.op = Op::name;
    row.device = k.device;
    row.dtype = k.dtype;
    row.variant = k.variant;
    row.isa = k.isa;
    row.compute_capability = k.compute_capability;
    row.rank = k.rank;
    row.packed_input = k.packed_input;
    if (k.supports) row.supports = [f = k.supports](const void* op, const Specs& in) { return f(cast(op), in); };
    if (k.workspace) {
      row.workspace = [f = k.workspace](const void* op, const Specs& in, const Specs& out, int threads) {
        return f(cast(op), in, out, threads);
      };
    }
    if (k.pack_key) row.pack_key = [f = k.pack_key](const void* op, const Specs& in) { return f(cast(op), in); };
    if (k.pack) {
      row.pack = [f = k.pack](const void* op, const TensorView& weight, const PackContext& context) {
        return f(cast(op), weight, context);
      };
    }
    if (k.explain) {
      row.explain = [f = k.explain](const void* op, const Specs& in, uint64_t fault) { f(cast(op), in, fault); };
    }
    row.run = [f = k.run](const void* op, const KernelContext& context) { f(cast(op), context); };
    Registry::instance().add_kernel(std::move(row));
  }

 private:
  static const Op& cast(const void* op) { return *static_cast<const Op*>(op); }
};

}  // namespace instaseg
