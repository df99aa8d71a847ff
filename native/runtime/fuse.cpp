#include "runtime/fuse.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "ops/conv2d.h"

namespace instaseg {

namespace {

// The ops with an epilogue activation(y * scale + bias + residual), and the input slots of its parts; -1 where an op
// lacks one.
struct Epilogue {
  const char* op;
  int bias;
  int scale;
  int residual;
};
constexpr Epilogue kEpilogues[] = {
    {"conv2d", 2, 3, 4},
    {"deformConv2d", 4, 5, 6},
    {"convTranspose2d", 2, -1, -1},
    {"linear", 2, -1, -1},
};

const Epilogue* epilogue_of(const Node& node) {
  for (const Epilogue& epilogue : kEpilogues) {
    if (node.schema->name == epilogue.op) return &epilogue;
  }
  return nullptr;
}

// Slots of batchNorm (native/ops/batch_norm.h).
enum NormSlot { norm_input, norm_weight, norm_bias, norm_mean, norm_variance };
// Of selectChannel (native/ops/select_channel.h).
enum SelectSlot { select_input, select_labels, select_counts };

class Fuser {
 public:
  Fuser(Graph& graph, const std::vector<ValueId>& outputs, const std::shared_ptr<HostAllocator>& allocator)
      : graph_(graph), allocator_(allocator), nodes_(graph.nodes()), removed_(nodes_.size(), false) {
    for (ValueId output : outputs) kept_.insert(graph.values()[output].root);
  }

  void run() {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Epilogue* epilogue = removed_[i] ? nullptr : epilogue_of(nodes_[i]);
      if (!epilogue) continue;
      size_t at = i;
      if (epilogue->scale >= 0) absorb_norm(at, *epilogue);
      if (epilogue->residual >= 0) absorb_add(at, *epilogue);
      absorb_activation(at);
      absorb_select(at);
    }
    std::vector<Node> result;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!removed_[i]) result.push_back(std::move(nodes_[i]));
    }
    graph_.replace_nodes(std::move(result));
  }

 private:
  // The only node that reads the first output of node `at`, or none. An alias of the value (reshape) rules fusion out.
  int only_consumer(size_t at) const {
    const ValueId value = nodes_[at].outputs[0];
    if (kept_.contains(value)) return -1;
    int consumer = -1;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (removed_[i]) continue;
      for (ValueId input : nodes_[i].inputs) {
        if (input == kAbsent || graph_.values()[input].root != value) continue;
        if (consumer >= 0 || input != value) return -1;
        consumer = static_cast<int>(i);
      }
    }
    return consumer;
  }

  // Node `at` takes over the place and the outputs of node `next`: everything it reads is computed by then.
  void move_to(size_t& at, int next) {
    nodes_[at].outputs = nodes_[next].outputs;
    nodes_[next] = std::move(nodes_[at]);
    removed_[at] = true;
    at = static_cast<size_t>(next);
  }

  std::shared_ptr<Constant> constant(ValueId id) const {
    return id == kAbsent ? nullptr : graph_.values()[id].constant;
  }

  ValueId vector_constant(const std::vector<float>& values) {
    auto made = std::make_shared<Constant>(allocator_, DType::f32, Shape{static_cast<int64_t>(values.size())});
    made->write(0, "f32", values.data(), values.size() * sizeof(float));
    return graph_.add_constant(std::move(made));
  }

  bool plain(const Node& conv) const {
    const auto found = conv.attributes.find("activation");
    return found == conv.attributes.end() || std::get<std::string>(found->second) == "none";
  }

  // (conv + bias - mean) * weight / sqrt(variance + epsilon) + offset = conv * scale + shift, computed in double.
  void absorb_norm(size_t& at, const Epilogue& slots) {
    const int next = only_consumer(at);
    if (next < 0 || nodes_[next].schema->name != "batchNorm") return;
    const Node& conv = nodes_[at];
    const Node& norm = nodes_[next];
    if (conv.inputs[slots.scale] != kAbsent || conv.inputs[slots.residual] != kAbsent || !plain(conv)) return;
    const auto mean = constant(norm.inputs[norm_mean]);
    const auto variance = constant(norm.inputs[norm_variance]);
    const auto weight = constant(norm.inputs[norm_weight]);
    const auto offset = constant(norm.inputs[norm_bias]);
    const auto bias = constant(conv.inputs[slots.bias]);
    const bool fixed = mean && variance && (weight || norm.inputs[norm_weight] == kAbsent) &&
                       (offset || norm.inputs[norm_bias] == kAbsent) && (bias || conv.inputs[slots.bias] == kAbsent);
    if (!fixed) return;
    const auto given = norm.attributes.find("epsilon");
    const double epsilon = given == norm.attributes.end() ? 1e-5 : std::get<double>(given->second);
    const int64_t channels = mean->view().shape.elements();
    std::vector<float> scale(channels);
    std::vector<float> shift(channels);
    for (int64_t c = 0; c < channels; ++c) {
      const double s = (weight ? weight->view().f32()[c] : 1.0) / std::sqrt(variance->view().f32()[c] + epsilon);
      scale[c] = static_cast<float>(s);
      shift[c] = static_cast<float>((offset ? offset->view().f32()[c] : 0.0) +
                                    ((bias ? bias->view().f32()[c] : 0.0) - mean->view().f32()[c]) * s);
    }
    nodes_[at].inputs[slots.scale] = vector_constant(scale);
    nodes_[at].inputs[slots.bias] = vector_constant(shift);
    move_to(at, next);
  }

  void absorb_add(size_t& at, const Epilogue& slots) {
    const int next = only_consumer(at);
    if (next < 0 || nodes_[next].schema->name != "add" || nodes_[at].inputs[slots.residual] != kAbsent ||
        !plain(nodes_[at]) || !plain(nodes_[next])) {
      return;
    }
    const Node& add = nodes_[next];
    const ValueId own = nodes_[at].outputs[0];
    nodes_[at].inputs[slots.residual] = add.inputs[0] == own ? add.inputs[1] : add.inputs[0];
    move_to(at, next);
  }

  void absorb_activation(size_t& at) {
    const int next = only_consumer(at);
    if (next < 0 || !plain(nodes_[at])) return;
    const std::string& name = nodes_[next].schema->name;
    if (name != "relu" && name != "sigmoid" && name != "tanh") return;
    // Only the plain forms: an activation with parameters of its own (a negative slope) stays a step.
    if (!nodes_[next].attributes.empty()) return;
    nodes_[at].attributes["activation"] = name;
    Graph::parse(nodes_[at]);
    move_to(at, next);
  }

  // Of a 1x1 convolution whose result goes through selectChannel, one output channel a row is needed.
  void absorb_select(size_t& at) {
    const int next = only_consumer(at);
    if (next < 0 || nodes_[next].schema->name != "selectChannel" || nodes_[at].schema->name != "conv2d") return;
    const Node& conv = nodes_[at];
    const Node& select = nodes_[next];
    const Shape& weight = graph_.spec(conv.inputs[Conv2d::kWeight]).shape;
    const Shape& input = graph_.spec(conv.inputs[Conv2d::kInput]).shape;
    const Shape& output = graph_.spec(conv.outputs[0]).shape;
    // A 1x1 kernel that keeps all pixels where they are: nothing but stride and padding could move them.
    const bool by_pixel = weight[1] == input[3] && weight[2] == 1 && weight[3] == 1 && moves_nothing(conv);
    const bool whole =
        conv.inputs[Conv2d::kScale] == kAbsent && conv.inputs[Conv2d::kResidual] == kAbsent && plain(conv);
    if (!by_pixel || !whole || output[0] != input[0] || conv.outputs[0] != select.inputs[select_input] ||
        conv.inputs[Conv2d::kCounts] != select.inputs[select_counts]) {
      return;
    }
    Node fused{.schema = &Registry::instance().op("selectConv2d"),
               .attributes = select.attributes,
               .inputs = {conv.inputs[Conv2d::kInput], conv.inputs[Conv2d::kWeight], select.inputs[select_labels],
                          conv.inputs[Conv2d::kBias], conv.inputs[Conv2d::kCounts]},
               .outputs = conv.outputs,
               .label = conv.label};
    Graph::parse(fused);
    nodes_[at] = std::move(fused);
    move_to(at, next);
  }

  static bool moves_nothing(const Node& conv) {
    const Conv2d& op = *static_cast<const Conv2d*>(conv.op.get());
    return op.stride.y == 1 && op.stride.x == 1 && op.padding.y == 0 && op.padding.x == 0;
  }

  Graph& graph_;
  const std::shared_ptr<HostAllocator>& allocator_;
  std::vector<Node> nodes_;
  std::vector<bool> removed_;
  std::set<ValueId> kept_;
};

}  // namespace

void fuse(Graph& graph, const std::vector<ValueId>& outputs, const std::shared_ptr<HostAllocator>& allocator) {
  Fuser(graph, outputs, allocator).run();
}

}  // namespace instaseg
