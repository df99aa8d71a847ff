#include "runtime/graph.h"

#include "ops/reshape.h"

namespace instaseg {

namespace {

// Puts the inputs into the schema's slots: too few are filled up with absent ones where they are optional.
void check_arity(const OpSchema& schema, std::vector<ValueId>& inputs) {
  const bool variadic = !schema.inputs.empty() && schema.inputs.back().ends_with("...");
  const size_t slots = schema.inputs.size();
  require(variadic || inputs.size() <= slots, ErrorCode::argument, schema.name, ": expected at most ", slots,
          " inputs; received ", inputs.size());
  if (!variadic) inputs.resize(slots, kAbsent);
  require(inputs.size() >= slots, ErrorCode::argument, schema.name, ": expected at least ", slots, " inputs; received ",
          inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string& name = schema.inputs[std::min(i, slots - 1)];
    require(inputs[i] != kAbsent || name.ends_with("?"), ErrorCode::argument, schema.name, ": input \"", name,
            "\" is missing");
  }
}

}  // namespace

ValueId Graph::add_value(Value value) {
  const auto id = static_cast<ValueId>(values_.size());
  if (value.root == kAbsent) value.root = id;
  values_.push_back(std::move(value));
  return id;
}

ValueId Graph::add_input(const TensorSpec& spec) {
  if (!spec.shape.dynamic()) spec.bytes();  // refuses shapes that overflow
  return add_value({.spec = spec, .input = input_count_++});
}

ValueId Graph::add_constant(std::shared_ptr<Constant> constant) {
  TensorSpec spec = constant->spec();
  return add_value({.spec = spec, .constant = std::move(constant)});
}

const TensorSpec& Graph::spec(ValueId id) const {
  require(id >= 0 && id < static_cast<ValueId>(values_.size()), ErrorCode::argument, "value ", id,
          " does not belong to this graph");
  return values_[id].spec;
}

Specs Graph::specs(const std::vector<ValueId>& ids) const {
  Specs result;
  for (ValueId id : ids) result.push_back(id == kAbsent ? TensorSpec{.absent = true} : spec(id));
  return result;
}

void Graph::parse(Node& node) {
  AttributeReader reader(node.schema->name, node.attributes);
  node.op = node.schema->parse(reader);
  reader.finish();
}

std::vector<ValueId> Graph::add_node(const std::string& op, AttributeMap attributes, std::vector<ValueId> inputs,
                                     std::string label) {
  Node node{.schema = &Registry::instance().op(op),
            .attributes = std::move(attributes),
            .inputs = std::move(inputs),
            .label = std::move(label)};
  check_arity(*node.schema, node.inputs);
  parse(node);
  const bool alias = op == Reshape::name;
  for (TensorSpec& spec : node.schema->infer(node.op.get(), specs(node.inputs))) {
    if (!spec.shape.dynamic()) spec.bytes();
    if (alias) spec.constant = values_[node.inputs[0]].spec.constant;
    node.outputs.push_back(add_value({.spec = spec, .root = alias ? values_[node.inputs[0]].root : kAbsent}));
  }
  std::vector<ValueId> outputs = node.outputs;
  if (!alias) nodes_.push_back(std::move(node));
  return outputs;
}

}  // namespace instaseg
