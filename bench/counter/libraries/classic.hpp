#pragma once

#include <cstddef>
#include <ctime>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "bare.hpp"
#include "counter/library.hpp"

namespace bench::counter {

/// The classic function for a count of each hour (docs/counters.md tells its faults), in C++:
/// watches the hour's start, reads it, and counts in a transaction; again where somebody else has
/// changed the start. tests/support/update_stats.py is the same in Python.
class Classic final : public Library {
 public:
  explicit Classic(Task const& task) : count_{task.key()}, start_{count_ + ":start"} {
    for (int i = 0; i < task.callers; ++i) connections_.push_back(Bare::over_unix(task.socket));
  }

  [[nodiscard]] std::string text() const override {
    return "WATCH, GET, then MULTI INCRBY EXEC in one write, by hiredis, a connection for each "
           "caller";
  }
  void add(int caller) override {
    auto& server = connections_[static_cast<std::size_t>(caller)];
    while (!try_to_add(server)) {
    }
  }

 private:
  bool try_to_add(Bare& server) {
    server.command("WATCH", start_);
    auto const hour = fmt::format("{:%Y-%m-%dT%H:00:00}", fmt::gmtime(std::time(nullptr)));
    auto const known = server.command("GET", start_);
    int queued = 0;
    auto const queue = [&](auto const&... words) {
      server.append(words...);
      ++queued;
    };
    server.append("MULTI");
    if (known->type == REDIS_REPLY_NIL) {
      queue("SET", start_, hour);
    } else if (std::string{known->str, known->len} < hour) {
      queue("RENAME", count_, count_ + ":last");
      queue("RENAME", start_, count_ + ":pstart");
      queue("SET", start_, hour);
    }
    queue("INCRBY", count_, "1");
    server.append("EXEC");
    for (int i = 0; i <= queued; ++i) server.next();  // OK, and QUEUED for each
    auto const done = server.next();
    if (done->type == REDIS_REPLY_NIL) return false;
    for (std::size_t i = 0; i < done->elements; ++i) {
      if (done->element[i]->type == REDIS_REPLY_ERROR)
        throw std::runtime_error{done->element[i]->str};
    }
    return true;
  }

  std::string count_;
  std::string start_;
  std::vector<Bare> connections_{};
};

}  // namespace bench::counter
