#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "bare.hpp"
#include "crew.hpp"
#include "map/cell.hpp"
#include "map/library.hpp"
#include "map/slice.hpp"

namespace bench::map {

/// The processes of one contender, which use the same map: one of its own for each team.
class Team final : public Crew {
 public:
  Team(Candidate const& candidate, std::string const& socket, Shape shape)
      : Team{candidate,
             Task{socket, fmt::format("{} {} {}", candidate.name, shape.processes, shape.threads),
                  shape.threads},
             shape} {}

  [[nodiscard]] Slice run(std::chrono::milliseconds length, std::string const& operation) {
    Slice out;
    for (auto const& answer : run_all(length, operation)) {
      out.in_window += static_cast<std::int64_t>(answer.number("in_window"));
      auto const took = answer.numbers<std::int64_t>("took_ns");
      out.took.insert(out.took.end(), took.begin(), took.end());
      out.cpu_microseconds += answer.number("cpu_us");
      if (answer.has("transfers"))
        out.transfers = out.transfers.value_or(0) + answer.number("transfers");
    }
    if (operation == operations::update) updates_ += static_cast<std::int64_t>(out.took.size());
    return out;
  }

  /// How many of the updates that its callers have made are not in the entry.
  [[nodiscard]] std::int64_t lost() {
    auto const reply = server_.command("HGET", map_, Task::updated);
    auto const there =
        reply->type == REDIS_REPLY_STRING ? std::strtoll(reply->str, nullptr, 10) : 0;
    return updates_ - there;
  }

 private:
  Team(Candidate const& candidate, Task const& task, Shape shape)
      : Crew{candidate, shape, task.words()},
        server_{Bare::over_unix(task.socket)},
        map_{task.map} {
    server_.command("DEL", map_);  // a team of the same shape was on one core before
    fill(server_, map_);
  }

  Bare server_;
  std::string map_;
  std::int64_t updates_ = 0;
};

}  // namespace bench::map
