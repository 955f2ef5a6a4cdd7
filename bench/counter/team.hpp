#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "bare.hpp"
#include "counter/library.hpp"
#include "counter/slice.hpp"
#include "crew.hpp"

namespace bench::counter {

/// The processes of one contender, which add to the same number: one of its own for each team.
class Team final : public Crew {
 public:
  Team(Candidate const& candidate, std::string const& socket, Shape shape)
      : Team{candidate,
             Task{socket, fmt::format("{} {} {}", candidate.name, shape.processes, shape.threads),
                  shape.threads},
             shape} {}

  [[nodiscard]] Slice run(std::chrono::milliseconds length) {
    Slice out;
    for (auto const& answer : run_all(length)) {
      out.added += static_cast<std::int64_t>(answer.number("added"));
      out.in_window += static_cast<std::int64_t>(answer.number("in_window"));
      auto const took = answer.numbers<std::int64_t>("took_ns");
      out.took.insert(out.took.end(), took.begin(), took.end());
      out.cpu_microseconds += answer.number("cpu_us");
      if (answer.has("transfers"))
        out.transfers = out.transfers.value_or(0) + answer.number("transfers");
    }
    added_ += out.added;
    return out;
  }

  /// How much of what its callers have added is not in the number, after a flush.
  [[nodiscard]] std::int64_t lost() {
    (void)ask_all("flush");
    return added_ - (counted() - before_);
  }

 private:
  Team(Candidate const& candidate, Task const& task, Shape shape)
      : Crew{candidate, shape, task.words()},
        server_{Bare::over_unix(task.socket)},
        key_{task.key()},
        before_{counted()} {}

  /// With the hour before, where one has ended meanwhile.
  std::int64_t counted() {
    std::int64_t out = 0;
    for (auto const& key : {key_, key_ + ":last"}) {
      auto const reply = server_.command("GET", key);
      if (reply->type == REDIS_REPLY_STRING) out += std::strtoll(reply->str, nullptr, 10);
    }
    return out;
  }

  Bare server_;
  std::string key_;
  std::int64_t before_;
  std::int64_t added_ = 0;
};

}  // namespace bench::counter
