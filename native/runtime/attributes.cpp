#include "runtime/attributes.h"

namespace instaseg {

const Attribute& AttributeReader::find(const std::string& name) {
  used(name);
  const auto found = map_.find(name);
  require(found != map_.end(), ErrorCode::argument, op_, ": attribute \"", name, "\" is missing");
  return found->second;
}

double AttributeReader::number(const std::string& name) {
  const auto* value = std::get_if<double>(&find(name));
  require(value && !std::isnan(*value), ErrorCode::argument, op_, ": ", name, " must be a number");
  return *value;
}

int64_t AttributeReader::integer(const std::string& name) {
  const double value = number(name);
  require(std::abs(value) <= 9007199254740991.0 && value == std::trunc(value), ErrorCode::argument, op_, ": ", name,
          " must be an integer; received ", value);
  return static_cast<int64_t>(value);
}

std::string AttributeReader::text(const std::string& name, const std::string& fallback) {
  if (!has(name)) {
    used(name);
    return fallback;
  }
  const auto* value = std::get_if<std::string>(&find(name));
  require(value, ErrorCode::argument, op_, ": ", name, " must be a string");
  return *value;
}

std::vector<double> AttributeReader::numbers(const std::string& name) {
  const Attribute& value = find(name);
  if (const auto* list = std::get_if<std::vector<double>>(&value)) return *list;
  const auto* number = std::get_if<double>(&value);
  require(number, ErrorCode::argument, op_, ": ", name, " must be a list of numbers");
  return {*number};
}

std::vector<int64_t> AttributeReader::integers(const std::string& name) {
  std::vector<int64_t> result;
  for (double value : numbers(name)) {
    require(std::abs(value) <= 9007199254740991.0 && value == std::trunc(value), ErrorCode::argument, op_, ": ", name,
            " must hold integers; received ", value);
    result.push_back(static_cast<int64_t>(value));
  }
  return result;
}

Pair AttributeReader::pair(const std::string& name) {
  const std::vector<int64_t> values = integers(name);
  require(values.size() == 1 || values.size() == 2, ErrorCode::argument, op_, ": ", name,
          " must be a number or [y, x]; received ", values.size(), " numbers");
  return {values.front(), values.back()};
}

int AttributeReader::choice(const std::string& name, const std::vector<std::string>& choices, int fallback) {
  const std::string value = text(name, choices[fallback]);
  std::string list;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (choices[i] == value) return static_cast<int>(i);
    list += (i ? ", " : "") + choices[i];
  }
  fail(ErrorCode::argument, op_, ": ", name, " must be one of ", list, "; received \"", value, "\"");
}

void AttributeReader::finish() const {
  for (const auto& [name, value] : map_) {
    require(used_.contains(name), ErrorCode::argument, op_, ": unknown attribute \"", name, "\"");
  }
}

}  // namespace instaseg
