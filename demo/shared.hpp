#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <tandem/counter.hpp>
#include <tandem/lock.hpp>
#include <tandem/rolling_counter.hpp>
#include <tandem/shared_map.hpp>

#include "entries.hpp"

namespace demo {

/// What the processes of one run share. Each makes one of these for itself; what it stands for is
/// in Redis.
struct Shared {
  static constexpr std::chrono::seconds period{3};
  static constexpr std::chrono::milliseconds lease{1000};

  /// All keys have `run` in their name, so that runs do not meet.
  Shared(tandem::Client client, std::string_view run);

  /// Deletes every key of the run.
  void erase_all();

  tandem::Client redis;
  tandem::Counter next_chunk;                          // hands out the chunks
  tandem::SharedMap<std::string, Count> tally;         // the result
  tandem::SharedMap<std::int64_t, Finished> finished;  // chunk -> who finished it
  tandem::RollingCounter lines;  // how many of them in this period and the one before
  tandem::SharedMap<std::int64_t, std::int64_t>
      rate;                  // second in which a period began -> lines in all of it
  tandem::Lock report_lock;  // who has it may write the report
  tandem::SharedMap<std::uint64_t, Holding> holdings;  // fence -> what was done under it

 private:
  std::string run_;
};

}  // namespace demo
