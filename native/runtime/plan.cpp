#include "runtime/plan.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "runtime/fuse.h"

namespace instaseg {

namespace {

constexpr int64_t kAlignment = 64;

int64_t align(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// INSTASEG_POISON=1 fills the arena before every run, so that tests see a kernel that reads what nothing wrote.
bool poison_requested() {
  static const bool requested = [] {
    const char* value = std::getenv("INSTASEG_POISON");
    return value && *value && *value != '0';
  }();
  return requested;
}

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

#if defined(__SANITIZE_ADDRESS__)
// Every block is an allocation of its own, so that the sanitizer sees an access past its end.
class Arena {
 public:
  Arena(std::shared_ptr<HostAllocator> allocator, int64_t) : allocator_(std::move(allocator)) {}
  char* at(int64_t, int64_t bytes) {
    blocks_.push_back(allocator_->allocate(static_cast<size_t>(bytes)));
    if (poison_requested()) std::memset(blocks_.back().data(), 0xff, blocks_.back().size());
    return static_cast<char*>(blocks_.back().data());
  }

 private:
  std::shared_ptr<HostAllocator> allocator_;
  std::vector<HostBuffer> blocks_;
};
#else
class Arena {
 public:
  Arena(const std::shared_ptr<HostAllocator>& allocator, int64_t bytes)
      : buffer_(allocator->allocate(static_cast<size_t>(bytes))) {
    if (poison_requested()) std::memset(buffer_.data(), 0xff, buffer_.size());
  }
  char* at(int64_t offset, int64_t) const { return static_cast<char*>(buffer_.data()) + offset; }

 private:
  HostBuffer buffer_;
};
#endif

}  // namespace

Plan::Plan(Graph graph, std::vector<ValueId> outputs, Target target)
    : graph_(std::move(graph)), outputs_(std::move(outputs)), target_(std::move(target)) {
  for (ValueId output : outputs_) graph_.spec(output);  // refuses ids of another graph
  fuse(graph_, outputs_, target_.allocator);
  drop_unused();
  select_kernels();
  lay_out();
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
    step.kernel =
        &Registry::instance().select(*node.schema, node.op.get(), inputs, target_.device, target_.isa, target_.variant);
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
      key << row.op << '/' << row.variant << '/' << view.shape;
      if (row.pack_key) key << '/' << row.pack_key(node.op.get(), inputs);
      step.packed = constant->packed(key.str(), [&] { return row.pack(node.op.get(), view, target_.allocator); });
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

void Plan::bind_inputs(const Run& run, std::vector<TensorView>& views) const {
  const std::vector<Value>& values = graph_.values();
  require(static_cast<int>(run.inputs.size()) == graph_.input_count(), ErrorCode::argument, "the plan has ",
          graph_.input_count(), " inputs; received ", run.inputs.size());
  for (size_t id = 0; id < values.size(); ++id) {
    const Value& value = values[id];
    if (value.constant) views[id] = value.constant->view();
    if (value.input < 0) continue;
    const HostTensor& given = run.inputs[value.input];
    bool same = given.dtype == value.spec.dtype && given.shape.rank() == value.spec.shape.rank();
    for (int axis = 0; same && axis < given.shape.rank(); ++axis) {
      same = value.spec.shape[axis] == kDynamic || value.spec.shape[axis] == given.shape[axis];
    }
    require(same, ErrorCode::shape, "input ", value.input, " of the plan is ", name_of(value.spec.dtype), " ",
            value.spec.shape, "; received ", name_of(given.dtype), " ", given.shape);
    views[id] = given.view();
  }
}

void Plan::run(Run& run, ThreadPool& pool) const {
  const std::vector<Value>& values = graph_.values();
  std::vector<TensorView> views(values.size());
  bind_inputs(run, views);
  Arena arena(target_.allocator, arena_bytes_);
  std::vector<std::shared_ptr<HostBuffer>> owned(values.size());
  const auto own = [&](ValueId id, const Shape& shape) {
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(values[id].spec.dtype);
    owned[id] = std::make_shared<HostBuffer>(target_.allocator->allocate(bytes));
    // Rows past a count are never written; a caller must not see what the memory held before.
    std::memset(owned[id]->data(), 0, bytes);
    views[id] = {values[id].spec.dtype, shape, owned[id]->data()};
    return owned[id]->data();
  };
  for (size_t id = 0; id < values.size(); ++id) {
    const TensorSpec& spec = values[id].spec;
    if (offsets_[id] == kOwnMemory && !spec.shape.dynamic()) {
      own(static_cast<ValueId>(id), spec.shape);
    } else if (offsets_[id] >= 0) {
      views[id] = {spec.dtype, spec.shape, arena.at(offsets_[id], spec.bytes())};
    }
  }
  const auto resolve = [&](ValueId id) {
    if (id == kAbsent) return TensorView{};
    TensorView view = views[values[id].root];
    if (values[id].root != id) view.shape = values[id].spec.shape;
    return view;
  };

  std::vector<TensorView> inputs;
  std::vector<TensorView> outputs;
  for (const PlanStep& step : steps_) {
    require(!run.cancel->load(std::memory_order_relaxed), ErrorCode::aborted, "the run was aborted");
    const auto start = std::chrono::steady_clock::now();
    inputs.clear();
    outputs.clear();
    for (ValueId id : step.node.inputs) inputs.push_back(resolve(id));
    for (ValueId id : step.node.outputs) {
      outputs.push_back(offsets_[id] == kNoMemory ? TensorView{values[id].spec.dtype, values[id].spec.shape, nullptr}
                                                  : resolve(id));
    }
    KernelContext context{
        .inputs = inputs,
        .outputs = outputs,
        .pool = pool,
        .cancel = run.cancel.get(),
        .workspace = arena.at(step.workspace_offset, step.workspace_bytes),
        .packed = step.packed.get(),
        .allocate_output = [&](size_t output, const Shape& shape) { return own(step.node.outputs[output], shape); }};
    step.kernel->run(step.node.op.get(), context);
    if (run.profile) {
      run.step_milliseconds.push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
  }
  require(!run.cancel->load(std::memory_order_relaxed), ErrorCode::aborted, "the run was aborted");

  for (ValueId id : outputs_) {
    const TensorView view = resolve(id);
    HostTensor result{view.dtype, view.shape, owned[values[id].root]};
    if (!result.buffer) {  // an input or a constant passed through
      result.buffer = std::make_shared<HostBuffer>(target_.allocator->allocate(static_cast<size_t>(view.bytes())));
      std::memcpy(result.buffer->data(), view.data, result.buffer->size());
    }
    run.outputs.push_back(std::move(result));
  }
}

}  // namespace instaseg
