#include "cuda/emulation/races.h"

namespace instaseg::cuda::emulation {

bool RaceDetector::write_ordered(const Byte& byte, const Moment& now) {
  return byte.write_epoch < now.epoch || byte.writer == now.thread ||
         (byte.writer / 32 == now.thread / 32 && byte.write_time < now.warp_time);
}

bool RaceDetector::reads_ordered(const Byte& byte, const Moment& now) {
  if (byte.read_epoch < now.epoch || byte.reader == now.thread) return true;
  if (byte.reader == kMany || byte.read_time >= now.warp_time) return false;
  return (byte.reader < kLanes ? byte.reader / 32 : byte.reader - kLanes) == now.thread / 32;
}

void RaceDetector::add_reader(Byte& byte, const Moment& now, const void* code) {
  // An earlier read that is ordered before this one may be forgotten: whoever is ordered after this is so after that.
  if (reads_ordered(byte, now)) {
    byte.read_epoch = now.epoch;
    byte.reader = now.thread;
  } else if (byte.reader != kMany) {
    const int warp = byte.reader < kLanes ? byte.reader / 32 : byte.reader - kLanes;
    byte.reader = warp == now.thread / 32 ? static_cast<uint16_t>(kLanes + warp) : kMany;
  }
  byte.read_time = now.warp_time;
  byte.read_code = code;
}

Race RaceDetector::access(Access access, size_t offset, size_t count, const Moment& now, const void* code) {
  for (size_t at = offset; at < offset + count; ++at) {
    Byte& byte = bytes_[at];
    const bool written = byte.write_epoch >= first_epoch_;
    const auto race = [&](const char* text) { return Race{text, at, byte.write_code, byte.writer}; };
    if (written && byte.in_flight) {
      return race(access == Access::read ? "is read while a cp.async fills it"
                                         : "is written while a cp.async fills it");
    }
    if (access == Access::read) {
      if (!written) return {"is read, but nothing has written it", at, nullptr, -1};
      if (!write_ordered(byte, now)) return race("is read without a barrier after a write");
      add_reader(byte, now, code);
      continue;
    }
    const bool both_atomic = access == Access::atomic && byte.by_atomic;
    if (written && !both_atomic && !write_ordered(byte, now)) {
      return race("is written without a barrier after a write");
    }
    if (byte.read_epoch >= first_epoch_ && !reads_ordered(byte, now)) {
      return {"is written without a barrier after a read", at, byte.read_code, byte.reader < kLanes ? byte.reader : -1};
    }
    if (access == Access::atomic && !written) return {"is updated, but nothing has written it", at, nullptr, -1};
    byte.write_epoch = now.epoch;
    byte.write_time = now.warp_time;
    byte.writer = now.thread;
    byte.by_atomic = access == Access::atomic;
    byte.in_flight = false;
    byte.write_code = code;
  }
  return {};
}

void RaceDetector::begin_async(size_t offset, size_t count) {
  for (size_t at = offset; at < offset + count; ++at) bytes_[at].in_flight = true;
}

void RaceDetector::end_async(size_t offset, size_t count, const Moment& now) {
  for (size_t at = offset; at < offset + count; ++at) {
    Byte& byte = bytes_[at];
    byte.in_flight = false;
    byte.write_epoch = now.epoch;
    byte.write_time = now.warp_time;
    byte.writer = now.thread;
  }
}

}  // namespace instaseg::cuda::emulation
