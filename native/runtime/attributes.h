// Attributes of an op as they arrive from TypeScript, and the reader with which an op parses them once.
#pragma once

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "runtime/error.h"

namespace instaseg {

/// Numbers are doubles as in JavaScript; booleans are 0 or 1.
using Attribute = std::variant<double, std::string, std::vector<double>>;
using AttributeMap = std::map<std::string, Attribute>;

struct Pair {
  int64_t y = 0;
  int64_t x = 0;
};

/// Reads attributes with checks; `finish` refuses names that no read asked for.
class AttributeReader {
 public:
  AttributeReader(std::string op, const AttributeMap& map) : op_(std::move(op)), map_(map) {}

  bool has(const std::string& name) const { return map_.contains(name); }
  double number(const std::string& name);
  double number(const std::string& name, double fallback) { return has(name) ? number(name) : (used(name), fallback); }
  int64_t integer(const std::string& name);
  int64_t integer(const std::string& name, int64_t fallback) {
    return has(name) ? integer(name) : (used(name), fallback);
  }
  bool flag(const std::string& name, bool fallback = false) { return number(name, fallback ? 1 : 0) != 0; }
  std::string text(const std::string& name, const std::string& fallback);
  std::vector<double> numbers(const std::string& name);
  std::vector<int64_t> integers(const std::string& name);
  /// [y, x], or one number for both.
  Pair pair(const std::string& name);
  Pair pair(const std::string& name, Pair fallback) { return has(name) ? pair(name) : (used(name), fallback); }
  /// Position of the attribute's text in `choices`; throws ERR_ARGUMENT naming them all.
  int choice(const std::string& name, const std::vector<std::string>& choices, int fallback = 0);
  void finish() const;

 private:
  const Attribute& find(const std::string& name);
  void used(const std::string& name) { used_.insert(name); }

  std::string op_;
  const AttributeMap& map_;
  std::set<std::string> used_;
};

}  // namespace instaseg
