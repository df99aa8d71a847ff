// A forward pass as recorded: a flat list of ops over values. Shapes are checked while it is recorded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/attributes.h"
#include "runtime/constant.h"
#include "runtime/registry.h"

namespace instaseg {

/// Index of a value in its graph; kAbsent for an optional input that was left out.
using ValueId = int;
inline constexpr ValueId kAbsent = -1;

struct Value {
  TensorSpec spec;
  /// Set for weights.
  std::shared_ptr<Constant> constant;
  /// Position among the plan's inputs, or -1.
  int input = -1;
  /// The value whose memory this one shares (reshape), or itself.
  ValueId root = kAbsent;
};

struct Node {
  const OpSchema* schema = nullptr;
  AttributeMap attributes;
  std::shared_ptr<const void> op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  /// What profiles call it (the layer whose weights it has), or empty.
  std::string label;
};

class Graph {
 public:
  ValueId add_input(const TensorSpec& spec);
  ValueId add_constant(std::shared_ptr<Constant> constant);
  /// Parses the attributes, checks the inputs, infers the outputs. Throws ERR_ARGUMENT, ERR_SHAPE or ERR_DTYPE.
  std::vector<ValueId> add_node(const std::string& op, AttributeMap attributes, std::vector<ValueId> inputs,
                                std::string label = {});

  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  int input_count() const { return input_count_; }
  const TensorSpec& spec(ValueId id) const;
  Specs specs(const std::vector<ValueId>& ids) const;

  /// Rebuilds a node's op after its attributes changed.
  static void parse(Node& node);
  void replace_nodes(std::vector<Node> nodes) { nodes_ = std::move(nodes); }

 private:
  ValueId add_value(Value value);

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  int input_count_ = 0;
};

}  // namespace instaseg
