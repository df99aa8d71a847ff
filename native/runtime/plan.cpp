#include "runtime/plan.h"

#include <algorithm>

#include "runtime/fuse.h"
#include "runtime/plan_backend_state.h"

namespace instaseg {

namespace {

// Of a device's memory transactions and of a cache line.
constexpr int64_t kAlignment = 256;

int64_t align(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// One block of the arena: bytes needed from step `first` to step `last`.
struct Block {
  int64_t bytes;
  int first;
  int last;
  int64_t* offset;
};

// Largest first, each at the lowest place that is free during its lifetime. Returns the arena's size.
int64_t place(std::vector<Block> blocks) {
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.bytes > b.bytes; });
  std::vector<const Block*> placed;  // sorted by offset
  int64_t size = 0;
  for (const Block& block : blocks) {
    int64_t offset = 0;
    for (const Block* other : placed) {
      if (other->last < block.first || block.last < other->first) continue;
      if (offset + block.bytes <= *other->offset) break;
      offset = std::max(offset, *other->offset + other->bytes);
    }
    *block.offset = offset;
    size = std::max(size, offset + block.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &block,
                                   [](const Block* a, const Block* b) { return *a->offset < *b->offset; }),
                  &block);
  }
  return size;
}

}  // namespace

Plan::Plan(Graph graph, std::vector<ValueId> outputs, Target target)
    : graph_(std::move(graph)), outputs_(std::move(outputs)), target_(std::move(target)) {
  for (ValueId output : outputs_) graph_.spec(output);  // refuses ids of another graph
  fuse(graph_, outputs_, target_.host);
  drop_unused();
  select_kernels();
  lay_out();
  if (target_.backend) {
    upload_constants();
    backend_state_ = std::make_unique<BackendState>(*this);
  }
}

Plan::~Plan() = default;

void Plan::run(Run& run, ThreadPool& pool) const {
  target_.backend ? run_on_backend(run, pool) : run_on_host(run, pool);
}

// Keeps the nodes that the outputs depend on.
void Plan::drop_unused() {
  std::vector<bool> needed(graph_.values().size(), false);
  for (ValueId output : outputs_) needed[graph_.values()[output].root] = true;
  std::vector<Node> kept;
  const std::vector<Node>& nodes = graph_.nodes();
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const bool used =
        std::any_of(node->outputs.begin(), node->outputs.end(), [&](ValueId output) { return needed[output]; });
    if (!used) continue;
    for (ValueId input : node->inputs) {
      if (input != kAbsent) needed[graph_.values()[input].root] = true;
    }
    kept.push_back(*node);
  }
  std::reverse(kept.begin(), kept.end());
  graph_.replace_nodes(std::move(kept));
}

void Plan::select_kernels() {
  for (const Node& node : graph_.nodes()) {
    const Specs inputs = graph_.specs(node.inputs);
    const Specs outputs = graph_.specs(node.outputs);
    PlanStep step{.node = node};
    step.kernel = &Registry::instance().select(*node.schema, node.op.get(), inputs, target_);
    step.dynamic =
        std::any_of(outputs.begin(), outputs.end(), [](const TensorSpec& spec) { return spec.shape.dynamic(); });
    step.flops = node.schema->flops(node.op.get(), inputs, outputs);
    for (const Specs* specs : {&inputs, &outputs}) {
      for (const TensorSpec& spec : *specs) {
        if (!spec.absent && !spec.shape.dynamic()) step.bytes += static_cast<double>(spec.bytes());
      }
    }
    if (const KernelRow& row = *step.kernel; row.pack) {
      const ValueId weight = node.inputs[row.packed_input];
      const std::shared_ptr<Constant>& constant = graph_.values()[graph_.values()[weight].root].constant;
      require(constant != nullptr, ErrorCode::argument, node.schema->name, ": ", node.schema->inputs[row.packed_input],
              " must be a constant");
      // An alias (reshape) of a constant packs under its own shape.
      const TensorView view{graph_.spec(weight).dtype, graph_.spec(weight).shape, constant->view().data};
      std::ostringstream key;
      key << row.op << '/' << row.variant << '/' << name_of(row.dtype) << '/' << view.shape;
      if (target_.backend) key << "/device " << target_.backend->id();
      if (row.pack_key) key << '/' << row.pack_key(node.op.get(), inputs);
      const PackContext context{.host = target_.host, .backend = target_.backend.get()};
      step.packed = constant->packed(key.str(), [&] { return row.pack(node.op.get(), view, context); });
    }
    steps_.push_back(std::move(step));
  }
}

void Plan::lay_out() {
  const std::vector<Value>& values = graph_.values();
  offsets_.assign(values.size(), kNoMemory);
  std::vector<int> first(values.size(), -1);
  std::vector<int> last(values.size(), -1);
  for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
    for (ValueId output : steps_[i].node.outputs) first[output] = last[output] = i;
    for (ValueId input : steps_[i].node.inputs) {
      if (input != kAbsent) last[values[input].root] = i;
    }
  }
  for (ValueId output : outputs_) {
    const ValueId root = values[output].root;
    if (first[root] >= 0) offsets_[root] = kOwnMemory;
  }
  std::vector<Block> blocks;
  for (size_t id = 0; id < values.size(); ++id) {
    if (first[id] < 0 || offsets_[id] == kOwnMemory) continue;
    require(!values[id].spec.shape.dynamic(), ErrorCode::argument,
            "a result of dynamic size must be an output of the plan and cannot feed another op");
    offsets_[id] = 0;
    blocks.push_back({align(std::max<int64_t>(values[id].spec.bytes(), 1)), first[id], last[id], &offsets_[id]});
  }
  for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
    PlanStep& step = steps_[i];
    if (!step.kernel->workspace) continue;
    const size_t bytes = step.kernel->workspace(step.node.op.get(), graph_.specs(step.node.inputs),
                                                graph_.specs(step.node.outputs), target_.threads);
    step.workspace_bytes = static_cast<int64_t>(bytes);
    if (bytes) blocks.push_back({align(step.workspace_bytes), i, i, &step.workspace_offset});
  }
  arena_bytes_ = place(std::move(blocks));
}

int64_t Plan::plan_bytes() const {
  // A step's attributes, ids and names live on the heap beside it: about a kilobyte.
  constexpr int64_t heap = 1024;
  return static_cast<int64_t>(steps_.size() * (sizeof(PlanStep) + heap) + graph_.values().size() * sizeof(Value));
}

}  // namespace instaseg
