#pragma once

#include <cstdint>
#include <string>

#include <tandem/core/options.hpp>

#include "log_file.hpp"
#include "report.hpp"
#include "tally.hpp"

namespace demo {

/// What all workers of a run are told: it is the same in all of them, because they are forks of one
/// process.
struct Job {
  LogFile log;
  Keys keys{log};
  std::int64_t chunks;
  tandem::Options redis;
  std::string run;
  Report report{};
};

/// The whole life of worker number `number`: counts chunks until there are none left, and between
/// times writes the report. Throws when anything is not as it must be.
void work(Job const& job, int number);

}  // namespace demo
