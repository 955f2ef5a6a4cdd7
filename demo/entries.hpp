#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <tandem/core/codec.hpp>

namespace demo {

/// A moment that all processes of this machine agree on: its steady clock.
using Moment = std::chrono::steady_clock::time_point;

/// One entry of the tally: how often a key was seen, and in which chunks of the file.
///
/// The number knows what is in it. So a chunk may be counted again, by anybody, at any time, and
/// adds nothing: after the death of a worker that was half through with it, and after an update
/// whose answer was lost. The result is exact because of this, and of nothing else.
struct Count {
  std::int64_t times = 0;
  std::string chunks{};  // the n-th is '#' when chunk n is in `times`, '.' or missing otherwise

  void add(std::int64_t chunk, std::int64_t more);
};

/// Who was the first to finish a chunk, and how many lines it has.
struct Finished {
  int worker = 0;
  std::int64_t lines = 0;

  bool operator==(Finished const&) const = default;
};

/// One hold of the report's lock, as its holder noted it down.
struct Holding {
  enum class State {
    open,   // the holder is at it, or was killed
    ended,  // the report was written whole, and the lock given back
    lost,   // the lease ended before that; the holder noticed, and stopped writing
  };

  int worker = 0;
  std::int64_t chunk = 0;  // it was counting this one
  State state = State::open;
  Moment begin{};
  Moment end{};           // unless open
  bool repaired = false;  // it found the report half written by a holder that had died
};

}  // namespace demo

// How they are written in Redis.

template <>
struct tandem::Codec<demo::Count> {
  static std::string encode(demo::Count const& count);
  static demo::Count decode(std::string_view bytes);
};

template <>
struct tandem::Codec<demo::Finished> {
  static std::string encode(demo::Finished const& finished);
  static demo::Finished decode(std::string_view bytes);
};

template <>
struct tandem::Codec<demo::Holding> {
  static std::string encode(demo::Holding const& holding);
  static demo::Holding decode(std::string_view bytes);
};
