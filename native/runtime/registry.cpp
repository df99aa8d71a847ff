#include "runtime/registry.h"

#include <algorithm>

namespace instaseg {

Registry& Registry::instance() {
  static Registry registry;
  return registry;
}

void Registry::add_op(OpSchema schema) { ops_.push_back(std::move(schema)); }

void Registry::add_kernel(KernelRow row) { kernels_.push_back(std::move(row)); }

const OpSchema& Registry::op(std::string_view name) const {
  const auto found =
      std::find_if(ops_.begin(), ops_.end(), [&](const OpSchema& schema) { return schema.name == name; });
  require(found != ops_.end(), ErrorCode::argument, "unknown op \"", name, "\"");
  return *found;
}

const KernelRow& Registry::select(const OpSchema& schema, const void* op, const Specs& inputs,
                                  const Capability& device) const {
  const DType dtype = inputs.empty() ? DType::f32 : inputs.front().dtype;
  const KernelRow* best = nullptr;
  for (const KernelRow& row : kernels_) {
    if (row.op != schema.name || row.device != device.device || row.dtype != dtype) continue;
    if (row.isa > device.isa || row.compute_capability > device.compute_capability) continue;
    if (row.supports && !row.supports(op, inputs)) continue;
    const auto score = [&](const KernelRow& r) { return r.variant == device.variant ? 1 << 20 : r.rank; };
    if (!best || score(row) > score(*best)) best = &row;
  }
  require(best, ErrorCode::unsupported, schema.name, " has no ", device.device == DeviceKind::cpu ? "cpu" : "cuda",
          " kernel for ", name_of(dtype), inputs.empty() ? "" : " inputs like these");
  return *best;
}

}  // namespace instaseg
