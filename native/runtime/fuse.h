// Fusion: batch normalisation, residual addition and activation move into the epilogue of the op before them.
#pragma once

#include "runtime/graph.h"

namespace instaseg {

/// Rewrites the graph's nodes; values in `outputs` keep existing. Constants made on the way come from `allocator`.
void fuse(Graph& graph, const std::vector<ValueId>& outputs, const std::shared_ptr<HostAllocator>& allocator);

}  // namespace instaseg
