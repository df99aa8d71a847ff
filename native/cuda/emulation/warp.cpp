// Shuffles, votes and __syncwarp. The rules for source lanes are those of shfl.sync in the PTX manual.
#include <bit>

#include "cuda/emulation/engine.h"

namespace instaseg::cuda::emulation {
namespace {

ShuffleOperands& operands_of(const WarpCall& call, unsigned lane) {
  return *static_cast<ShuffleOperands*>(call.lane[lane]);
}

/// `source(lane, selector, first, last)`: the lane to read from, given the ends of the lane's segment; a lane outside
/// what the form allows reads itself.
template <class Source>
void exchange(const WarpCall& call, const char* name, const Source& source) {
  uint64_t values[32] = {};
  for (uint32_t left = call.mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    const ShuffleOperands& operands = operands_of(call, lane);
    const int width = operands.width;
    if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
      fail_kernel("%s: width %d is not a power of two up to 32", name, width);
    }
    const unsigned first = lane & ~(static_cast<unsigned>(width) - 1);
    const unsigned from = source(lane, operands.selector, first, first + static_cast<unsigned>(width) - 1);
    if (!(call.mask >> from & 1)) {
      fail_kernel("%s: lane %u reads from lane %u, which mask 0x%x leaves out", name, lane, from, call.mask);
    }
    values[lane] = operands_of(call, from).value;
  }
  for (uint32_t left = call.mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    operands_of(call, lane).value = values[lane];
  }
}

struct BallotOperands {
  bool predicate;
  uint32_t result;
};

}  // namespace

const WarpOperation shuffle_index{"__shfl_sync", [](const WarpCall& call) {
                                    exchange(call, "__shfl_sync",
                                             [](unsigned, uint32_t selector, unsigned first, unsigned last) {
                                               return first | (selector & (last - first));
                                             });
                                  }};

const WarpOperation shuffle_up{"__shfl_up_sync", [](const WarpCall& call) {
                                 exchange(call, "__shfl_up_sync",
                                          [](unsigned lane, uint32_t delta, unsigned first, unsigned) {
                                            return delta <= lane - first ? lane - delta : lane;
                                          });
                               }};

const WarpOperation shuffle_down{"__shfl_down_sync", [](const WarpCall& call) {
                                   exchange(call, "__shfl_down_sync",
                                            [](unsigned lane, uint32_t delta, unsigned, unsigned last) {
                                              return delta <= last - lane ? lane + delta : lane;
                                            });
                                 }};

const WarpOperation shuffle_xor{"__shfl_xor_sync", [](const WarpCall& call) {
                                  exchange(call, "__shfl_xor_sync",
                                           [](unsigned lane, uint32_t mask, unsigned, unsigned last) {
                                             return (lane ^ mask) <= last ? lane ^ mask : lane;
                                           });
                                }};

uint32_t ballot(uint32_t mask, bool predicate, Site site) {
  static constexpr WarpOperation vote{"__ballot_sync, __any_sync or __all_sync", [](const WarpCall& call) {
                                        uint32_t result = 0;
                                        for (uint32_t left = call.mask; left != 0; left &= left - 1) {
                                          const int lane = std::countr_zero(left);
                                          if (static_cast<const BallotOperands*>(call.lane[lane])->predicate)
                                            result |= 1u << lane;
                                        }
                                        for (uint32_t left = call.mask; left != 0; left &= left - 1) {
                                          static_cast<BallotOperands*>(call.lane[std::countr_zero(left)])->result =
                                              result;
                                        }
                                      }};
  BallotOperands operands{predicate, 0};
  warp_collective(vote, mask, &operands, site);
  return operands.result;
}

void sync_warp(uint32_t mask, Site site) {
  static constexpr WarpOperation meet{"__syncwarp", [](const WarpCall&) { order_warp(); }};
  warp_collective(meet, mask, nullptr, site);
}

}  // namespace instaseg::cuda::emulation
